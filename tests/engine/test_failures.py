"""What goes wrong with the real vLLM: caused for real, read by `check`, healed or refused by `heal`, served again or told.

One session for all. The budget of container restarts is three a day, and the faults here take just that: what begins
again by itself (a dead core, a dead worker) and what no restart helps (a taken port) must not use any of it.

The CPU build runs its worker in a process of its own with one card already, so a dead worker is the real thing; what
several workers say of each other's death is not to be seen here.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from openai import OpenAI

from tests.engine.conftest import BIN, Coder, wait_for

# Its own context needs more cache than there is, and the session asks for less. A card that reads no fp8 cache leaves the
# context as the only thing to give up.
MODEL, PLAN, CONTEXT, TOO_LONG = "sandbox/tiny-coder-long", "g1-gpu-rtx6000-1", 16384, 786432
PROJECT = "/opt/linode-coder/vllm"
SERVER, CORE, WORKER = "vllm.entrypoints.openai.api_server", "VLLM::EngineCore", "VLLM::Worker"


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


@contextmanager
def held(process: psutil.Process) -> Iterator[None]:
    """A start that does not get ahead while it is looked at."""
    process.suspend()
    try:
        yield
    finally:
        process.resume()


@pytest.mark.parametrize(
    ("title", "said"), [(CORE, "The engine died while serving."), (WORKER, "A worker process of the engine died")]
)
def test_a_process_that_dies_ends_the_engine_which_is_started_again_and_left_to_start(
    session: Session, title: str, said: str
) -> None:
    tried = len(session.history())
    before = session.one(SERVER)
    session.one(title).kill()
    wait_for(lambda: not before.is_running(), "the engine outlives its process")
    with held(session.one(SERVER)):
        code, findings = session.check()
        starting = findings["vllm.health"]
        assert (starting["severity"], starting["cause"], starting["ladder"]) == ("warn", "starting", [])
        assert starting["summary"].startswith(said)
        # No token could be asked for, which is no failure.
        assert (code, failed(findings), findings["vllm.gen"]["severity"]) == (11, {}, "unknown")
        code, events = session.heal()
        assert (code, events["plan"]["step"], events["plan"]["stop"]["reason"]) == (6, None, "busy")
    session.serves_again()
    assert len(session.history()) == tried


def test_a_frozen_engine_says_that_it_is_healthy_and_gives_no_token(session: Session) -> None:
    core = session.one(CORE)
    core.suspend()
    code, findings = session.check()
    assert (code, failed(findings)) == (6, {"vllm.gen": "no_token"})
    assert "vllm.health" not in findings
    session.healed_by("restart_container")
    assert not core.is_running()
    session.serves_again()


def test_damaged_weights_are_fetched_again(session: Session) -> None:
    whole = session.weights.stat().st_size
    session.kill_core()
    with session.weights.open("r+b") as file:
        file.truncate(whole // 2)
    session.wait_until_it_says("SafetensorError")
    code, findings = session.check()
    assert code == 6
    assert "corrupt_weights" in failed(findings).values()
    assert set(failed(findings).values()) <= {"corrupt_weights", "not_running"}
    session.healed_by("restart_container")
    assert session.weights.stat().st_size == whole
    session.serves_again()


def test_a_model_that_was_deleted_is_fetched_again(session: Session) -> None:
    session.kill_core()
    session.on_vm("rm", "-r", f"/var/lib/linode-coder/models/hub/{session.model.name}")
    session.wait_until_it_says("LocalEntryNotFoundError")
    code, findings = session.check()
    assert code == 6
    assert "model_not_cached" in failed(findings).values()
    assert set(failed(findings).values()) <= {"model_not_cached", "not_running"}
    session.healed_by("restart_container")
    session.serves_again()


def test_a_context_that_does_not_fit_is_shortened_by_the_engines_own_figure(session: Session) -> None:
    file = session.root / PROJECT.lstrip("/") / "vllm.yaml"
    before = f"max-model-len: {CONTEXT}\n"
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, f"max-model-len: {TOO_LONG}\n"))
    compose = ("docker", "compose", "--project-directory", PROJECT)
    session.on_vm(*compose, "up", "--detach", "--no-deps", "--force-recreate", "vllm")
    session.wait_until_it_says("estimated maximum model length")
    code, findings = session.check()
    assert code == 6
    assert "context_too_long" in failed(findings).values()
    assert set(failed(findings).values()) <= {"context_too_long", "not_running"}
    change = session.healed_by("change_parameters")["change"]
    assert (change["flag"], change["old"]) == ("max-model-len", TOO_LONG)
    assert CONTEXT < change["new"] < TOO_LONG and change["new"] % 1024 == 0
    assert f"max-model-len: {change['new']}\n" in file.read_text()
    session.serves_again()


# Takes the port as soon as the engine leaves it, and keeps it.
SQUATTER = """
import socket, time
while True:
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind(("127.0.0.1", 8001))
        taken.listen()
        break
    except OSError:
        taken.close()
        time.sleep(0.05)
time.sleep(3600)
"""


def test_a_port_that_another_program_holds_is_told_and_costs_no_restart(session: Session) -> None:
    tried = len(session.history())
    squatter = subprocess.Popen(
        [str(BIN / "linode-coder"), "ssh", "real", "--", shlex.join(("python3", "-c", SQUATTER))],
        env=session.coder.sandbox.env,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: session.coder.processes("import socket"), "nobody waits for the port")
        session.kill_core()
        session.wait_until_it_says("Errno 98")
        code, findings = session.check()
        assert code == 6
        assert findings["vllm.health"]["ladder"] in (["alert"], [])
        assert "port_in_use" in failed(findings).values()
        code, events = session.heal()
        error = events["error"]["error"]
        assert (code, error["kind"], events["plan"]["step"]) == (6, "unhealthy", None)
        assert "config error" in error["message"] and "already listens on the engine's port" in error["message"]
        assert error["remedy"]
    finally:
        for process in session.coder.processes("import socket"):
            process.kill()
        squatter.wait(60)
    session.serves_again()
    assert len(session.history()) == tried
