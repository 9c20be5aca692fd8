# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks as a person runs them: ansible-playbook against the sandbox with simulated hosts and real SSH."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ready_session import ready_session
from tests.sandbox_fixture import RunningSandbox, start_sandbox

ROOT = Path(__file__).resolve().parents[2]
RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


def prepare(running: RunningSandbox, directory: Path) -> None:
    """An environment for ansible-playbook."""
    # Control sockets outlive a test; short-lived ones do not keep its processes.
    running.env.update(
        ANSIBLE_HOME=str(directory / "ansible"),
        ANSIBLE_SSH_ARGS="-C -o ControlMaster=auto -o ControlPersist=2s",
        ANSIBLE_NOCOLOR="1",
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{running.env['PATH']}",
    )
    running.env.pop("ANSIBLE_CONFIG", None)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    directory = tmp_path_factory.mktemp("playbooks")
    with start_sandbox(directory, hosts="simulated") as running:
        prepare(running, directory)
        yield running


def command(name: str, *more: str, **extra: str) -> list[str]:
    given = [part for key, value in extra.items() for part in ("-e", f"{key}={value}")]
    return ["ansible-playbook", f"playbooks/{name}.yml", *given, *more]


def play(sandbox: RunningSandbox, name: str, *more: str, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(name, *more, **extra), cwd=ROOT, env=sandbox.env, capture_output=True, text=True, timeout=120
    )


def changed(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """Changed tasks of each host; the play has to have succeeded."""
    assert done.returncode == 0, done.stdout + done.stderr
    return {row[0]: int(row[2]) for row in RECAP.findall(done.stdout)}


def instances(sandbox: RunningSandbox) -> list[dict[str, Any]]:
    return sandbox.api("GET", "linode/instances")["data"]


def test_a_session_from_first_to_last(sandbox: RunningSandbox) -> None:
    fresh = play(sandbox, "up", "--check", "--diff", session="whole")
    assert changed(fresh)["localhost"] > 0
    assert "lc:session:whole" in fresh.stdout
    assert instances(sandbox) == []
    assert sandbox.api("GET", "networking/firewalls")["data"] == []

    first = changed(play(sandbox, "up", session="whole"))
    assert first["whole"] > 0
    key = sandbox.home / "state" / "sessions" / "whole" / "api_key"
    assert key.stat().st_mode & 0o777 == 0o600

    second = play(sandbox, "up", "--diff", session="whole")
    assert changed(second) == {"localhost": 0, "whole": 0}
    assert key.read_text().strip() not in second.stdout + second.stderr
    assert changed(play(sandbox, "up", "--check", "--diff", session="whole")) == {"localhost": 0, "whole": 0}

    graph = subprocess.run(
        ["ansible-inventory", "--graph"], cwd=ROOT, env=sandbox.env, capture_output=True, text=True, timeout=60
    )
    assert "--whole" in graph.stdout
    assert "name: whole" in play(sandbox, "status", session="whole").stdout

    would = play(sandbox, "down", "--check", "--diff", session="whole")
    assert changed(would)["localhost"] > 0
    assert len(instances(sandbox)) == 1
    assert changed(play(sandbox, "down", session="whole"))["localhost"] > 0
    assert instances(sandbox) == []
    assert changed(play(sandbox, "down", session="whole")) == {"localhost": 0}


@pytest.fixture
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    """With the session main, which serves."""
    directory = tmp_path_factory.mktemp("pinned")
    with ready_session(tmp_path_factory, directory) as running:
        prepare(running, directory)
        yield running


def test_another_host_key_is_refused(ready: RunningSandbox) -> None:
    instance = instances(ready)[0]
    tags = [f"lc:hk{tag[5]}:{'a' * 26}" if tag.startswith("lc:hk") else tag for tag in instance["tags"]]
    ready.api("PUT", f"linode/instances/{instance['id']}", {"tags": tags})
    refused = play(ready, "up", session="main")
    assert refused.returncode == 2
    assert "presents another host key" in refused.stdout
    assert "kind: host_key" in refused.stdout
    assert "is billing" in refused.stdout
