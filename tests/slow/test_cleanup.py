# SPDX-License-Identifier: GPL-3.0-or-later
"""cleanup on an account with everything that can be left over, and with everything that only looks like it."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pexpect
import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.linode.client import LinodeApi
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import SessionTags, encode, owner_slug

from tests import product
from tests.product import BIN, error_of, result_of
from tests.sandbox_fixture import RunningSandbox, start_sandbox

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me"
ME = owner_slug(getpass.getuser())
HALF = ["linode-coder", "lc:session:half"]

coder = partial(product.coder, timeout=300)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    directory = tmp_path_factory.mktemp("cleanup")
    with start_sandbox(directory, timing="instant", plants_vms=True) as running:
        running.env.update(
            ANSIBLE_HOME=str(directory / "ansible"), PATH=f"{BIN}{os.pathsep}{running.env['PATH']}", ANSIBLE_NOCOLOR="1"
        )
        yield running


def api(sandbox: RunningSandbox) -> LinodeApi:
    return LinodeApi(sandbox.env["LINODE_TOKEN"], sandbox.url, None, version="v4beta")


def vm(sandbox: RunningSandbox, label: str, tags: list[str], **more: Any) -> dict[str, Any]:
    body = {
        "label": label,
        "type": "g2-gpu-rtx4000a1-s",
        "region": "us-ord",
        "image": "linode/ubuntu24.04",
        "authorized_keys": [KEY],
        "tags": tags,
        **more,
    }
    made = dict(api(sandbox).post("linode/instances", body))
    sandbox.age(label, 5400)
    return made


def whole(name: str) -> list[str]:
    now = int(time.time())
    return encode(SessionTags(name, 1, ME, now + 7200, now + 86400, 45, 520_000, "o/M", bytes(32)))


def firewall(sandbox: RunningSandbox, label: str, tags: list[str]) -> dict[str, Any]:
    rules = {"inbound_policy": "DROP", "outbound_policy": "ACCEPT"}
    made = dict(api(sandbox).post("networking/firewalls", {"label": label, "tags": tags, "rules": rules}))
    sandbox.age(label, 5400)
    return made


def labels(sandbox: RunningSandbox) -> set[str]:
    """Of everything in the account."""
    paths = ("linode/instances", "networking/firewalls")
    return {row["label"] for path in paths for row in api(sandbox).list(path)}


@pytest.fixture(scope="module")
def living(sandbox: RunningSandbox) -> set[str]:
    """What no cleanup may touch."""
    wall = firewall(sandbox, "lc-alive", ["linode-coder", "lc:session:alive"])
    vm(sandbox, "lc-alive-1", whole("alive"), firewall_id=wall["id"])
    # Beside its replacement: nobody has seen the new one serve.
    vm(sandbox, "lc-alive-2", [*[tag for tag in whole("alive") if not tag.startswith("lc:gen")], "lc:gen:2"])
    vm(sandbox, "lc-lookalike-1", ["team-red"])
    vm(sandbox, "database", ["linode-coder"])
    firewall(sandbox, "lc-lookalike", ["team-red"])
    firewall(sandbox, "web", ["linode-coder"])
    attached = firewall(sandbox, "lc-attached", ["linode-coder"])
    vm(sandbox, "with-a-wall", [], firewall_id=attached["id"])
    # May still be being made.
    vm(sandbox, "lc-young-1", ["linode-coder", "lc:session:young"])
    sandbox.age("lc-young-1", 0.1)
    number = next(row["id"] for row in api(sandbox).list("linode/instances", {"label": "lc-young-1"}))
    api(sandbox).delete(f"linode/instances/{number}")
    body = {"label": "lc-young-1", "type": "g2-gpu-rtx4000a1-s", "region": "us-ord", "tags": HALF}
    api(sandbox).post("linode/instances", body)
    return labels(sandbox)


def leave_behind(sandbox: RunningSandbox) -> None:
    """One of everything that can be left over, on this machine and in the account."""
    vm(sandbox, "lc-half-1", [*HALF, f"lc:owner:{ME}", "lc:rate:520000"])
    firewall(sandbox, "lc-vanished", ["linode-coder", "lc:session:vanished"])
    files = sandbox.home / "state" / "sessions" / "vanished"
    files.mkdir(parents=True, exist_ok=True)
    (files / "api_key").write_text("old")


def test_every_kind_is_listed_and_removed_and_nothing_else(sandbox: RunningSandbox, living: set[str]) -> None:
    leave_behind(sandbox)
    vm(sandbox, "lc-theirs-1", ["linode-coder", "lc:session:theirs", "lc:owner:somebody-else"])
    # Seen here, deleted by somebody else.
    elsewhere = vm(sandbox, "lc-elsewhere-1", whole("elsewhere"))
    result_of(coder(sandbox, "list", "--json"))
    api(sandbox).delete(f"linode/instances/{elsewhere['id']}")

    seen = result_of(coder(sandbox, "cleanup", "--dry-run", "--json"))
    assert [(row["kind"], row["label"]) for row in seen["dead"]] == [
        ("linode", "lc-half-1"),
        ("firewall", "lc-vanished"),
    ]
    assert (seen["dead"][0]["hourly"], seen["dead"][0]["cost"]) == (0.52, 1.04)
    assert [row["label"] for row in seen["others"]] == ["lc-theirs-1"]
    assert seen["local"] == ["vanished"]
    assert [(row["name"], row["hours"], row["cost"]) for row in seen["history"]] == [("elsewhere", 2, 1.04)]

    before = labels(sandbox)
    refused = error_of(coder(sandbox, "cleanup", "--json"))
    assert (refused["exit_code"], refused["field"]) == (2, "yes")
    assert labels(sandbox) == before

    done = result_of(coder(sandbox, "cleanup", "--yes", "--json"))
    assert (sorted(done["removed"]), done["forgotten"], done["changed"]) == (
        ["lc-half-1", "lc-vanished"],
        ["vanished"],
        4,
    )
    assert labels(sandbox) == living | {"lc-theirs-1"}
    assert not (sandbox.home / "state" / "sessions" / "vanished").exists()
    gone = {row["name"]: row for row in result_of(coder(sandbox, "list", "--all", "--json"))["gone"]}
    assert (gone["elsewhere"]["hours"], gone["elsewhere"]["cost"]) == (2, 1.04)
    assert (gone["half"]["hours"], gone["half"]["cost"]) == (2, 1.04)

    everyone = result_of(coder(sandbox, "cleanup", "--everyone", "--yes", "--json"))
    assert everyone["removed"] == ["lc-theirs-1"]
    assert labels(sandbox) == living
    assert result_of(coder(sandbox, "cleanup", "--yes", "--json"))["changed"] == 0


def test_a_tunnel_without_a_session_is_closed(sandbox: RunningSandbox, living: set[str]) -> None:
    code = "from linode_coder.endpoint.tunnel import control_socket; print(control_socket('lost'))"
    path = Path(subprocess.check_output([sys.executable, "-c", code], env=sandbox.env, text=True).strip())
    path.touch()
    done = result_of(coder(sandbox, "cleanup", "--yes", "--json"))
    assert (done["local"], done["forgotten"]) == (["lost"], ["lost"])
    assert not path.exists()
    assert labels(sandbox) == living


def test_the_playbook_does_the_same(sandbox: RunningSandbox, living: set[str]) -> None:
    leave_behind(sandbox)
    command = ["ansible-playbook", "linode_coder.gpu.cleanup", "-e", "remove=all"]
    done = subprocess.run(command, cwd="/", env=sandbox.env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert labels(sandbox) == living


def test_at_a_terminal_it_asks_and_only_a_yes_removes(sandbox: RunningSandbox, living: set[str]) -> None:
    leave_behind(sandbox)
    for answer, code in (("", 3), ("y", 0)):
        child = pexpect.spawn(
            str(BIN / "linode-coder"),
            ["cleanup"],
            env=sandbox.env,  # type: ignore[arg-type]
            cwd="/",
            encoding="utf-8",
            timeout=300,
            dimensions=(40, 160),
        )
        child.expect(r"lc-half-1 .*\$0\.52 +\$1\.04")
        child.expect(r"Remove 2 from the account, 1 from this machine\? \[y/N\] ")
        child.sendline(answer)
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == code, child.before
        assert ("lc-half-1" in labels(sandbox)) is (code == 3)
    assert labels(sandbox) == living


def test_a_lock_keeps_it_and_says_so(sandbox: RunningSandbox, living: set[str]) -> None:
    leave_behind(sandbox)
    row = next(row for row in api(sandbox).list("linode/instances") if row["label"] == "lc-half-1")
    lock = {"entity_type": "linode", "entity_id": row["id"], "lock_type": "cannot_delete"}
    held = api(sandbox).post("locks", lock)
    error = error_of(coder(sandbox, "cleanup", "--yes", "--json"))
    assert "cannot_delete" in f"{error['message']} {error['cause']}", error
    assert "lc-half-1" in labels(sandbox)
    api(sandbox).delete(f"locks/{held['id']}")
    assert "lc-half-1" in result_of(coder(sandbox, "cleanup", "--yes", "--json"))["removed"]
    assert labels(sandbox) == living


def test_only_what_exists_is_made_older(sandbox: RunningSandbox) -> None:
    for wrong in (["nobody", "1h"], ["database", "soon"], ["database", "400d"]):
        assert error_of(coder(sandbox, "sandbox", "age", *wrong, "--json"))["exit_code"] == 2
