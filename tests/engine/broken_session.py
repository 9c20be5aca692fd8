"""A session with the real vLLM that tests break and heal: what they do to it, and what they ask of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psutil
import pytest
from openai import OpenAI

from tests.engine.conftest import Coder, wait_for

# Its own context needs more cache than there is, and the session asks for less. A card that reads no fp8 cache leaves the
# context as the only thing to give up.
MODEL, PLAN, CONTEXT, TOO_LONG = "sandbox/tiny-coder-long", "g1-gpu-rtx6000-1", 16384, 786432
PROJECT = "/opt/linode-coder/vllm"
CORE, WORKER = "VLLM::EngineCore", "VLLM::Worker"


class Session:
    """The session, and what this file does to it."""

    def __init__(self, coder: Coder) -> None:
        self.coder = coder
        made = coder.done(
            "up", "real", "--model", MODEL, "--plan", PLAN, "--context", str(CONTEXT), "--lease", "8h", "--yes"
        )
        self.key = Path(made["api_key_file"]).read_text().strip()
        self.root = coder.host(made["session"]["linode_id"])
        (self.model,) = (self.root / "var/lib/linode-coder/models/hub").glob("models--*")

    @property
    def weights(self) -> Path:
        (file,) = self.model.glob("snapshots/*/model.safetensors")
        return file.resolve()

    def on_vm(self, *words: str) -> str:
        return self.coder.on_vm("real", *words)

    def one(self, title: str) -> psutil.Process:
        """The engine's process of that title; an earlier one may take a moment to end."""

        def only() -> psutil.Process | None:
            found = self.coder.processes(title)
            return found[0] if len(found) == 1 else None

        process = wait_for(only, f"there is not one {title}")
        assert isinstance(process, psutil.Process)
        return process

    def kill_core(self) -> None:
        self.one(CORE).kill()

    def check(self) -> tuple[int, dict[str, dict[str, Any]]]:
        """Exit code, and what did not pass by the name of the check."""
        done = self.coder.run("check", "real")
        findings = json.loads(done.stdout.splitlines()[-1])["findings"]
        return done.returncode, {found["id"]: found for found in findings if found["severity"] != "pass"}

    def heal(self) -> tuple[int, dict[str, dict[str, Any]]]:
        """Exit code, and the last event of each kind, the plan and the result or the error."""
        done = self.coder.run("heal", "real", "--patience", "0", "--yes")
        events = [json.loads(line) for line in done.stdout.splitlines()]
        return done.returncode, {event.get("event") or "error": event for event in events}

    def history(self) -> list[dict[str, Any]]:
        return list(self.coder.done("heal", "real", "--history")["attempts"])

    def healed_by(self, rung: str) -> dict[str, Any]:
        """Take one rung, which has to be this one and to help; the step."""
        code, events = self.heal()
        step = events["plan"]["step"]
        assert step is not None, events["plan"]["stop"]
        assert (code, step["rung"]) == (0, rung), events
        assert events["result"]["outcome"] == "healed"
        newest = self.history()[-1]
        assert (newest["rung"], newest["outcome"], newest["acted"]) == (rung, "healed", True)
        return dict(step)

    def wait_until_it_says(self, text: str) -> None:
        """In the engine's newest run."""

        def said() -> bool:
            log = self.on_vm("docker", "compose", "--project-directory", PROJECT, "logs", "--tail", "400", "vllm")
            return text in log.rpartition("non-default args")[2]

        wait_for(said, f"the engine never said: {text}")

    def token(self) -> bool:
        """Whether the model is served through the tunnel."""
        client = OpenAI(base_url=self.coder.done("use", "real")["endpoint"], api_key=self.key, max_retries=0)
        try:
            return bool(client.completions.create(model=MODEL, prompt="hi", max_tokens=1).usage)
        except Exception as error:
            if type(error).__name__ in ("APIConnectionError", "InternalServerError", "APITimeoutError"):
                return False
            raise

    def serves_again(self) -> None:
        wait_for(self.token, "the model is not served")


@pytest.fixture(scope="module")
def session(coder: Coder) -> Session:
    return Session(coder)


def failed(findings: dict[str, dict[str, Any]]) -> dict[str, str | None]:
    return {name: found["cause"] for name, found in findings.items() if found["severity"] == "fail"}
