# SPDX-License-Identifier: GPL-3.0-or-later
"""A home that cannot be written: every command says so in one sentence and does its work, above all what ends a bill."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests import product
from tests.ready_session import ready_session
from tests.sandbox_fixture import RunningSandbox

# Each in a mount namespace of its own: $1 is the state directory, the rest the command.
DISKS = {
    "read-only": 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"',
    "full": """
        set -e
        kept=$(mktemp -d)
        mount -t tmpfs -o size=2m tmpfs "$kept"
        find "$1" -mindepth 1 -maxdepth 1 ! -name sandbox -exec cp -a {} "$kept" ';'
        dd if=/dev/zero of="$kept/fill" bs=512 2>/dev/null || true
        mount --bind "$kept" "$1"
        shift
        exec "$@"
    """,
}
# Whoever is not root mounts as the root of a user namespace, and is who it was again for ssh, which drops its groups as root.
ROOT = os.getuid() == 0
MOUNTS = ("unshare", "-m") if ROOT else ("unshare", "-rm")
AS_BEFORE = () if ROOT else ("unshare", "-U", f"--map-user={os.getuid()}", f"--map-group={os.getgid()}")
Coder = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module", params=DISKS)
def disk(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RunningSandbox, Coder]]:
    with ready_session(tmp_path_factory, tmp_path_factory.mktemp("unwritable")) as sandbox:
        within = (*MOUNTS, "sh", "-c", DISKS[request.param], "sh", str(sandbox.home / "state"), *AS_BEFORE)
        # Nor can Ansible's own home be made.
        environment = {"ANSIBLE_HOME": "/proc/nowhere/ansible"}

        def coder(*arguments: str) -> subprocess.CompletedProcess[str]:
            done = product.coder(sandbox, *arguments, timeout=300, within=within, **environment)
            assert done.stderr.count("cannot be written") == 1, done.stderr
            return done

        yield sandbox, coder


def test_use_prints_the_environment(disk: tuple[RunningSandbox, Coder]) -> None:
    done = disk[1]("use", "main")
    assert done.returncode == 0, done.stderr
    assert "export OPENAI_BASE_URL=" in done.stdout


def test_extend_moves_the_lease(disk: tuple[RunningSandbox, Coder]) -> None:
    sandbox, coder = disk
    before = product.result_of(product.coder(sandbox, "status", "main", "--json", timeout=60))["session"]["lease_end"]
    assert product.result_of(coder("extend", "main", "1h", "--json"))["session"]["lease_end"] > before


def test_check_looks(disk: tuple[RunningSandbox, Coder]) -> None:
    document = json.loads(disk[1]("check", "main", "--json").stdout)
    assert len(document["sessions"][0]["findings"]) > 5, document


def test_the_watchdog_watches(disk: tuple[RunningSandbox, Coder]) -> None:
    seen = product.result_of(disk[1]("watchdog", "--once", "--json"))
    assert [view["name"] for view in seen["sessions"]] == ["main"]
    assert not seen["unobserved"]


def test_down_ends_the_bill(disk: tuple[RunningSandbox, Coder]) -> None:
    sandbox, coder = disk
    done = coder("down", "main", "--yes")
    assert done.returncode == 0, done.stderr
    assert "is gone" in done.stdout
    assert sandbox.api("GET", "linode/instances")["data"] == []
    assert not [row for row in sandbox.api("GET", "networking/firewalls")["data"] if row["label"] == "lc-main"]
