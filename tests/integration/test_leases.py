# SPDX-License-Identifier: GPL-3.0-or-later
"""Leases and watchers on an account without hosts: everything that tags and the API alone decide."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.cost import format_time
from ansible_collections.linode_coder.gpu.plugins.module_utils.session_tags import (
    SessionTags,
    decode,
    encode,
    with_doom,
)

from tests.sandbox_fixture import RunningSandbox, start_sandbox

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    directory = tmp_path_factory.mktemp("leases")
    with start_sandbox(directory, timing="instant") as running:
        running.env.update(
            ANSIBLE_HOME=str(directory / "ansible"),
            ANSIBLE_NOCOLOR="1",
            PATH=f"{BIN}{os.pathsep}{running.env['PATH']}",
        )
        yield running


def api(sandbox: RunningSandbox, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    request = urllib.request.Request(
        f"{sandbox.url}v4beta/{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {sandbox.env['LINODE_TOKEN']}", "Content-Type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def make(sandbox: RunningSandbox, name: str, lease: float = 3600, cap: float = 86400, **more: Any) -> dict[str, Any]:
    """A VM as `up` creates it, whose lease ends ``lease`` seconds from now: also in the past."""
    now = int(time.time())
    tags = SessionTags(name, 1, "ada", int(now + lease), int(now + cap), 45, 520_000, "org/M", bytes(range(32)))
    body = {
        "label": f"lc-{name}-1",
        "type": "g2-gpu-rtx4000a1-s",
        "region": "us-ord",
        "image": "linode/ubuntu24.04",
        "authorized_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me"],
        "tags": encode(tags),
        **more,
    }
    created = api(sandbox, "POST", "linode/instances", body)
    deadline = time.monotonic() + 60
    while api(sandbox, "GET", f"linode/instances/{created['id']}")["status"] != "running":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return dict(created)


def tags_of(sandbox: RunningSandbox, instance: dict[str, Any]) -> list[str]:
    return list(api(sandbox, "GET", f"linode/instances/{instance['id']}")["tags"])


def exists(sandbox: RunningSandbox, instance: dict[str, Any]) -> bool:
    try:
        api(sandbox, "GET", f"linode/instances/{instance['id']}")
    except urllib.error.HTTPError as error:
        assert error.code == 404
        return False
    return True


def mark(sandbox: RunningSandbox, instance: dict[str, Any], doom: float) -> None:
    tags = with_doom(tags_of(sandbox, instance), int(doom))
    api(sandbox, "PUT", f"linode/instances/{instance['id']}", {"tags": tags})


def coder(sandbox: RunningSandbox, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / "linode-coder"), *arguments],
        env={**sandbox.env, **environment},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=240,
        stdin=subprocess.DEVNULL,
    )


def result_of(done: subprocess.CompletedProcess[str], code: int = 0) -> dict[str, Any]:
    assert done.returncode == code, done.stderr + done.stdout
    return dict(json.loads(done.stdout.splitlines()[-1]))


def error_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode != 0, done.stdout
    error = dict(json.loads(done.stdout.splitlines()[-1])["error"])
    assert error["exit_code"] == done.returncode
    assert error["message"] and error["remedy"], error
    return error


def test_extend_moves_the_end_up_to_the_cap(sandbox: RunningSandbox) -> None:
    vm = make(sandbox, "longer", lease=3600, cap=4 * 3600)
    mark(sandbox, vm, time.time() + 300)
    before = decode(tags_of(sandbox, vm))
    assert before.lease_end is not None
    done = coder(sandbox, "extend", "longer", "1h", "--json")
    after = result_of(done)["session"]
    assert (after["lease_end"], after["doomed"]) == (format_time(before.lease_end + 3600), None)
    assert after["cost_to_lease_end"] == 1.04 or after["cost_to_lease_end"] == 1.56
    assert decode(tags_of(sandbox, vm)).lease_end == before.lease_end + 3600

    over = error_of(coder(sandbox, "extend", "longer", "5h", "--json"))
    assert (over["kind"], over["exit_code"], over["field"]) == ("refused", 3, "extend")
    until = after["lease_end"]
    assert result_of(coder(sandbox, "extend", "longer", "--until", until, "--json"))["changed"] == 0
    for wrong in (["--until", "yesterday"], ["soon"], [], ["1h", "--until", "18:00"]):
        assert error_of(coder(sandbox, "extend", "longer", *wrong, "--json"))["exit_code"] == 2
    assert error_of(coder(sandbox, "extend", "nobody", "1h", "--json"))["exit_code"] == 9
    assert decode(tags_of(sandbox, vm)).lease_end == before.lease_end + 3600
    api(sandbox, "DELETE", f"linode/instances/{vm['id']}")
