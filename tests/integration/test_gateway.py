# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway before a session of the sandbox: deleted as idle, woken by the next prompt, refused by the budget, taken down."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import with_doom

from tests.product import BIN, coder, error_of, result_of
from tests.ready_session import ready_session
from tests.sandbox_fixture import RunningSandbox

LIMIT = 240.0
HELLO: Any = [{"role": "user", "content": "say hello"}]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with ready_session(tmp_path_factory, tmp_path_factory.mktemp("gateway")) as running:
        yield running


class Running:
    """The command, its first event, and the SDKs as people set them up for it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process, self.started = process, json.loads(process.stdout.readline())
        url, key = f"http://127.0.0.1:{self.started['port']}", Path(self.started["api_key_file"]).read_text().strip()
        self.openai = openai.OpenAI(base_url=f"{url}/v1", api_key=key, timeout=LIMIT)
        self.anthropic = anthropic.Anthropic(base_url=url, api_key=key, timeout=LIMIT)

    def chat(self, model: str) -> str:
        """The text of a streamed answer."""
        chunks = self.openai.chat.completions.create(model=model, messages=HELLO, max_tokens=8, stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)

    def message(self, model: str) -> str:
        with self.anthropic.messages.stream(model=model, messages=HELLO, max_tokens=8) as stream:
            return stream.get_final_text()


@contextmanager
def gateway(sandbox: RunningSandbox) -> Iterator[Running]:
    process = subprocess.Popen(
        [str(BIN / "linode-coder"), "gateway", "--port", "0", "--json"],
        env=sandbox.env,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        running = Running(process)
        yield running
        running.openai.close()
        running.anthropic.close()
    finally:
        process.send_signal(signal.SIGTERM)
        said, _nothing = process.communicate(timeout=LIMIT)
    assert process.returncode == 0 and '"stopping"' in said


def instances(sandbox: RunningSandbox) -> list[dict[str, Any]]:
    return list(sandbox.api("GET", "linode/instances")["data"])


def watch(sandbox: RunningSandbox) -> dict[str, Any]:
    # One that looks every half hour may delete at any time of the paid hour.
    words = ("watchdog", "--once", "--interval", "30m", "--heal", "off", "--json")
    return result_of(coder(sandbox, *words, timeout=LIMIT))


def end_as_idle(sandbox: RunningSandbox) -> None:
    """By a watcher, after what its VM's clock takes for an hour without a token, announced a while ago."""
    while watch(sandbox)["sessions"][0]["idle_s"] is None:
        pass
    script = (
        "import json, pathlib; path = pathlib.Path('/var/lib/linode-coder/activity.json');"
        "record = json.loads(path.read_text()); record['clock']['idle_s'] = 3600; path.write_text(json.dumps(record))"
    )
    done = coder(sandbox, "ssh", "main", "--", "python3", "-c", script, timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    assert list(watch(sandbox)["marked"]) == ["lc-main-1"]
    (vm,) = instances(sandbox)
    sandbox.api("PUT", f"linode/instances/{vm['id']}", {"tags": with_doom(vm["tags"], int(time.time()) - 5)})
    assert [gone["cause"] for gone in watch(sandbox)["deleted"]] == ["idle"]


def test_a_session_that_went_is_woken_by_the_next_prompt(sandbox: RunningSandbox) -> None:
    result_of(coder(sandbox, "up", "main", "--json", timeout=LIMIT))
    (first,) = instances(sandbox)
    with gateway(sandbox) as running:
        (row,) = running.started["sessions"]
        model = row["models"][0]
        assert (row["session"], row["state"]) == ("main", "awake")
        assert running.chat(model) and running.message("claude-haiku-4-5")
        end_as_idle(sandbox)
        assert model in [row.id for row in running.openai.models.list()]
        assert instances(sandbox) == []

        with ThreadPoolExecutor() as clients:
            told = [clients.submit(running.chat, model), clients.submit(running.message, "main")]
            assert all(one.result() for one in told)
        (second,) = instances(sandbox)
        assert second["id"] != first["id"] and second["type"] == first["type"]
        busy = error_of(coder(sandbox, "gateway", "--port", "0", "--json", timeout=60), 10)
        assert f"process {running.process.pid}, port {running.started['port']}" in busy["message"]

        sandbox.api("DELETE", f"linode/instances/{second['id']}")
        settings = sandbox.home / "config" / "config.toml"
        settings.parent.mkdir(exist_ok=True)
        settings.write_text("budget = 0.01\n")
        with pytest.raises(openai.APIStatusError, match="budget") as refused:
            running.chat(model)
        assert (refused.value.status_code, instances(sandbox)) == (402, [])
        settings.unlink()

        result_of(coder(sandbox, "down", "main", "--yes", "--json", timeout=LIMIT))
        with pytest.raises(anthropic.APIStatusError, match="taken down by `linode-coder down`"):
            running.message("main")
    assert instances(sandbox) == []
