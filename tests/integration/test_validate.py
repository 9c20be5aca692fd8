# SPDX-License-Identifier: GPL-3.0-or-later
"""`validate` against an account: what is checked before money is spent, from the command line and as a playbook."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox_fixture import RunningSandbox, start_sandbox

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with start_sandbox(tmp_path_factory.mktemp("validate")) as running:
        yield running


def run(sandbox: RunningSandbox, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {**sandbox.env, "PATH": f"{BIN}{os.pathsep}{sandbox.env['PATH']}", "HF_HUB_OFFLINE": "1", **env}
    return subprocess.run(
        list(command), env=environment, cwd="/", capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL
    )


def checks(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    findings = json.loads(done.stdout)["findings"]
    return {finding["id"].removeprefix("preflight."): finding["severity"] for finding in findings}


def test_all_that_can_be_asked(sandbox: RunningSandbox) -> None:
    done = run(sandbox, "linode-coder", "validate", "--json")
    assert done.returncode == 0, done.stderr
    found = checks(done)
    assert {name for name, severity in found.items() if severity != "pass"} == set() and len(found) == 12


def test_a_narrow_token_is_told_what_it_lacks(sandbox: RunningSandbox) -> None:
    scopes = "linodes:read_only images:read_only account:read_only"
    made = run(sandbox, "linode-cli", "profile", "token-create", "--label", "narrow", "--scopes", scopes, "--json")
    token = json.loads(made.stdout)[0]["token"]
    done = run(sandbox, "linode-coder", "validate", "--json", LINODE_TOKEN=token)
    assert done.returncode == 3
    assert checks(done)["scopes"] == "fail"
    message = json.loads(done.stdout)["error"]["message"]
    for scope in ("linodes:read_write", "firewall:read_write", "events:read_only"):
        assert scope in message
    assert "images:read_only" not in message


def test_a_mistyped_token_opens_nothing(sandbox: RunningSandbox) -> None:
    done = run(sandbox, "linode-coder", "validate", "--json", LINODE_TOKEN=sandbox.env["LINODE_TOKEN"][:-1])
    assert (done.returncode, checks(done)["token"]) == (3, "fail")
    assert "mistyped" in json.loads(done.stdout)["error"]["message"]


def test_configuration_and_options_meet(sandbox: RunningSandbox, tmp_path: Path) -> None:
    done = run(sandbox, "linode-coder", "validate", "--json", LINODE_CODER_MAX_COST="1", LINODE_CODER_REGION="us-ord")
    assert (done.returncode, checks(done)["budget"]) == (3, "fail")
    done = run(sandbox, "linode-coder", "validate", "--lease", "1h", "--json", LINODE_CODER_MAX_COST="1")
    assert (done.returncode, checks(done)["budget"]) == (0, "pass")
    done = run(sandbox, "linode-coder", "validate", LINODE_CODER_LEASE="soon")
    assert done.returncode == 3
    assert re.search("^FAIL +preflight.configuration ", done.stdout, re.MULTILINE), done.stdout
    assert "LINODE_CODER_LEASE" in done.stdout


@pytest.mark.parametrize(
    ("extra", "code", "severity", "failure"),
    [
        ("plan=g6-nanode-1", 2, "fail", "exit_code: 3     field: preflight.plan     kind: refused"),
        ("lease=2h", 0, "pass", "failure: null"),
    ],
)
def test_the_playbook_says_the_same(
    sandbox: RunningSandbox, extra: str, code: int, severity: str, failure: str
) -> None:
    playbook = ("ansible-playbook", "linode_coder.gpu.validate", "-e", extra)
    done = run(sandbox, *playbook, ANSIBLE_SHOW_CUSTOM_STATS="true")
    assert done.returncode == code, done.stdout
    stats: Any = done.stdout.partition("CUSTOM STATS")[2]
    assert f"severity: {severity}   " in stats.replace("\n", "   ") + "   "
    assert "command: validate" in stats and failure in stats.replace("\n", " ")
    # It is also shown where nobody asked for statistics.
    shown = done.stdout.partition("TASK [Report the checks]")[2].partition("PLAY [")[0]
    assert f"severity: {severity}\n" in shown and ("Every check passed." in shown) == (code == 0)
    # The failed task itself carries the failure, for whoever rescues it.
    assert ('"kind": "refused"' in done.stdout or "kind: refused" in done.stdout.partition("CUSTOM STATS")[0]) == (
        code != 0
    )
