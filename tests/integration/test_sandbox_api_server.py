"""The server as a process: restarts, faults on the wire, the command line."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from linode_coder.sandbox.own_token import TOKEN
from tests.sandbox_fixture import RunningSandbox, start_sandbox

CREATE = {"type": "g6-nanode-1", "region": "us-ord", "image": "linode/debian12", "root_pass": "Correct-Horse-42"}


def api(url: str, method: str, path: str, body: Any = None) -> tuple[int, Any, http.client.HTTPResponse]:
    connection = http.client.HTTPConnection(str(urlsplit(url).netloc), timeout=20)
    try:
        connection.request(
            method, "/v4" + path, json.dumps(body) if body else None, {"Authorization": f"Bearer {TOKEN}"}
        )
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read()), answer
    finally:
        connection.close()


def command(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "linode_coder", "sandbox", *arguments],
        env={**os.environ, "LINODE_CODER_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def labels(sandbox: RunningSandbox) -> list[str]:
    return [row["label"] for row in api(sandbox.url, "GET", "/linode/instances")[1]["data"]]


def test_state_survives_a_killed_server_and_the_port_stays(tmp_path: Path) -> None:
    with start_sandbox(tmp_path) as first:
        assert api(first.url, "POST", "/linode/instances", {**CREATE, "label": "kept"})[0] == 200
        os.kill(first.facts["pid"], signal.SIGKILL)
        while b"linode_coder" in _command_line(first.facts["pid"]):
            time.sleep(0.01)
    with start_sandbox(tmp_path) as second:
        assert second.url == first.url
        assert labels(second) == ["kept"]
        deadline = time.monotonic() + 20
        while api(second.url, "GET", "/linode/instances")[1]["data"][0]["status"] != "running":
            assert time.monotonic() < deadline
            time.sleep(0.1)


def _command_line(pid: int) -> bytes:
    path = Path(f"/proc/{pid}/cmdline")
    return path.read_bytes() if path.exists() else b""


def test_connections_are_reset_before_and_after_the_commit(tmp_path: Path) -> None:
    with start_sandbox(tmp_path) as sandbox:
        sandbox.fault(kind="reset", on="POST /linode/instances")
        with pytest.raises(ConnectionError):
            api(sandbox.url, "POST", "/linode/instances", {**CREATE, "label": "before"})
        sandbox.fault(kind="reset_after_commit", on="POST /linode/instances")
        with pytest.raises(ConnectionError):
            api(sandbox.url, "POST", "/linode/instances", {**CREATE, "label": "after"})
        assert labels(sandbox) == ["after"]
        for _ in range(20):
            status, body, answer = api(
                sandbox.url, "POST", "/linode/instances", {"type": "g6-nanode-1", "region": "us-ord"}
            )
            if status == 429:
                break
        assert status == 429
        assert body == {"errors": [{"reason": "Too many requests"}]}
        assert 1 <= int(answer.headers["Retry-After"]) <= 15


def test_the_command_line(tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = command(home, "status")
    assert done.returncode == 9
    assert "linode-coder sandbox start" in done.stderr
    with start_sandbox(tmp_path):
        again = command(home, "start", "--hosts", "none")
        assert again.returncode == 0
        assert "runs already" in again.stdout
        other = command(home, "start", "--hosts", "none", "--seed-instances", "3")
        assert other.returncode == 10
        shown = json.loads(command(home, "env", "--json").stdout)
        assert shown["env"]["LINODE_API_URL"].endswith("/")
        assert not shown["env"]["LINODE_URL"].endswith("/")
        armed = json.loads(command(home, "fault", "add", "delay", "--delay", "0.1", "--count", "3", "--json").stdout)
        assert (armed["fault"]["kind"], armed["fault"]["count"]) == ("delay", 3)
        bad = command(home, "fault", "add", "nonsense")
        assert bad.returncode == 2
        assert "capacity" in bad.stderr
        assert command(home, "fault", "clear").stdout == "Disarmed 1.\n"
        assert command(home, "reset").returncode == 0
        taken = json.loads(command(home, "status", "--json").stdout)["sandbox"]["port"]
        clash = command(tmp_path / "other", "start", "--hosts", "none", "--port", str(taken))
        assert clash.returncode == 2
        assert str(taken) in clash.stderr
        assert command(home, "stop").returncode == 0
        assert "No sandbox was running" in command(home, "stop").stdout
