# SPDX-License-Identifier: GPL-3.0-or-later
"""The month's budget against a whole account: commands and playbooks stand before it, and count what others spent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import SessionTags, encode

from tests.mid_month import set_clock_of_children
from tests.sandbox_fixture import RunningSandbox, start_sandbox

BIN = Path(sys.executable).parent
PLAN = "g2-gpu-rtx4000a1-s"  # $0.52/h


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningSandbox]:
    set_clock_of_children(monkeypatch, tmp_path / "clock")
    with start_sandbox(tmp_path, plants_vms=True) as running:
        yield running


def run(sandbox: RunningSandbox, *command: str, code: int, **env: str) -> str:
    environment = {**sandbox.env, "PATH": f"{BIN}{os.pathsep}{sandbox.env['PATH']}", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        list(command),
        env={**environment, "LINODE_CODER_PLAN": PLAN, "LINODE_CODER_REGION": "us-ord", **env},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def coder(sandbox: RunningSandbox, *arguments: str, code: int = 0, **env: str) -> dict[str, Any]:
    """The last event of a command."""
    return dict(json.loads(run(sandbox, "linode-coder", *arguments, "--json", code=code, **env).splitlines()[-1]))


def of_another_node(sandbox: RunningSandbox, name: str, lease_h: int) -> int:
    """A session that another control node made: this machine's history knows nothing of it."""
    now = int(time.time())
    model = "Qwen/Qwen2.5-Coder-7B-Instruct-AWQ"
    tags = SessionTags(name, 1, "eve", now + lease_h * 3600, now + 86400, 45, 520_000, model, bytes(range(32)))
    body = {
        "label": f"lc-{name}-1",
        "type": PLAN,
        "region": "us-ord",
        "image": "linode/ubuntu24.04",
        "authorized_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me"],
        "tags": [tag.upper() for tag in encode(tags)],
    }
    return int(sandbox.api("POST", "linode/instances", body)["id"])


def test_every_door_stands_before_the_budget(sandbox: RunningSandbox) -> None:
    refused = coder(sandbox, "up", "mine", "--yes", code=3, LINODE_CODER_BUDGET="1")["error"]
    assert (refused["kind"], refused["field"]) == ("refused", "budget")
    assert "would add $4.16" in refused["message"]
    coder(sandbox, "up", "mine", "--dry-run", code=3, LINODE_CODER_BUDGET="1")
    playbook = ("ansible-playbook", "linode_coder.gpu.up", "-e", f"session=mine plan={PLAN} region=us-ord")
    assert "does not allow the session mine" in run(sandbox, *playbook, "-e", "budget=1", code=2)
    assert sandbox.api("GET", "linode/instances")["results"] == 0

    number = of_another_node(sandbox, "theirs", 4)
    said = coder(sandbox, "up", "mine", "--dry-run", "--lease", "4h", code=3, LINODE_CODER_BUDGET="4")["error"]
    assert "$0.52 are spent" in said["message"] and "$1.56 more are promised" in said["message"]
    coder(sandbox, "up", "mine", "--dry-run", "--lease", "3h", LINODE_CODER_BUDGET="4")
    checked = json.loads(run(sandbox, "linode-coder", "validate", "--json", code=3, LINODE_CODER_BUDGET="4"))
    assert checked["error"]["field"] == "preflight.budget"
    assert coder(sandbox, "extend", "theirs", "2h", code=3, LINODE_CODER_BUDGET="3")["error"]["field"] == "budget"
    extend = ("ansible-playbook", "linode_coder.gpu.extend", "-e", "session=theirs extend=2h")
    assert "does not allow a longer lease of theirs" in run(sandbox, *extend, "-e", "budget=3", code=2)

    watched = coder(sandbox, "watchdog", "--once", "--heal", "off", LINODE_CODER_BUDGET="1")
    assert (watched["budget"]["state"], watched["marked"], watched["failures"]) == ("foreseen", {}, {})

    # Gone again, it still counts: at the price that this machine saw, and on one that never saw it by the events alone.
    sandbox.api("DELETE", f"linode/instances/{number}")
    while sandbox.api("GET", "linode/instances")["results"]:
        time.sleep(0.1)
    hour = ("up", "mine", "--dry-run", "--lease", "1h")
    said = coder(sandbox, *hour, code=3, LINODE_CODER_BUDGET="1")["error"]
    assert "$0.52 are spent" in said["message"] and said["cause"] is None
    other = {"LINODE_CODER_BUDGET": "1", "LINODE_CODER_HOME": str(sandbox.home.parent / "other")}
    said = coder(sandbox, *hour, code=3, **other)["error"]
    assert "$0.52 are spent" in said["message"] and "lc-theirs-1, 1 h" in said["cause"]
    # Without the scope for events all that is not invoiced counts, and that is said.
    scopes = "linodes:read_write account:read_only"
    made = run(
        sandbox, "linode-cli", "profile", "token-create", "--label", "blind", "--scopes", scopes, "--json", code=0
    )
    said = coder(sandbox, *hour, code=3, LINODE_TOKEN=json.loads(made)[0]["token"], **other)["error"]
    assert "$0.52 are spent" in said["message"] and "cannot be seen" in said["cause"]
