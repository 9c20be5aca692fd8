# SPDX-License-Identifier: GPL-3.0-or-later
"""Text from outside on its way through whole commands: a tag, the comment of a key, an engine's log, the name of a label.

None of it is run, on this machine or on the VM, and neither it nor a secret is among the arguments of a process.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import escape

from tests import product
from tests.arguments import Arguments
from tests.hostile import MARKER, canary
from tests.ready_session import ready_session, serving
from tests.sandbox_fixture import PLANTED, RunningSandbox

HOST = "lc-main-1"
VARIANTS = ("jinja", "jinja header", "jinja condition", "shell quote", "shell line")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "B" * 43

coder = partial(product.coder, timeout=280)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with ready_session(tmp_path_factory, tmp_path_factory.mktemp("outside")) as running:
        yield running
        coder(running, "down", "main", "--yes")


@pytest.fixture
def left(sandbox: RunningSandbox) -> Iterator[Path]:
    """What a canary would leave, here or on the VM. Its path is short: a model in tags has 390 characters."""
    with tempfile.TemporaryDirectory(prefix="lc", dir="/dev/shm") as directory:
        path = Path(directory) / "x"
        yield path
        assert not path.exists()
        on_vm = coder(sandbox, "ssh", "main", "--", f"test ! -e {path} && test -d /opt/linode-coder && echo clean")
        assert on_vm.stdout == "clean\n", on_vm.stderr


@pytest.fixture
def arguments(sandbox: RunningSandbox, left: Path) -> Iterator[Arguments]:
    """Looks at all processes of the machine, for what is in this test's text and in no other's."""
    key = Path(serving(sandbox)["api_key_file"]).read_text().strip()
    assert len(key) > 20
    with Arguments() as seen:
        yield seen
    assert seen.naming(f"{sandbox.env['XDG_RUNTIME_DIR']}/linode-coder-run-"), "no playbook of a command was seen"
    assert seen.naming(str(left), PLANTED, key) == []


def instance(sandbox: RunningSandbox, label: str = HOST) -> dict[str, Any]:
    found = sandbox.api("GET", "linode/instances")["data"]
    return dict(next(row for row in found if row["label"] == label))


def retag(sandbox: RunningSandbox, model: str) -> None:
    row = instance(sandbox)
    text = escape(model)
    chunks = [f"lc:model:{index}:{text[at : at + 39]}" for index, at in enumerate(range(0, len(text), 39))]
    kept = [tag for tag in row["tags"] if not tag.startswith("lc:model:")]
    sandbox.api("PUT", f"linode/instances/{row['id']}", {"tags": kept + chunks})


def playbook(sandbox: RunningSandbox, *more: str) -> subprocess.CompletedProcess[str]:
    environment = {**sandbox.env, "PATH": f"{product.BIN}{os.pathsep}{sandbox.env['PATH']}"}
    return subprocess.run(
        ["ansible-playbook", *more],
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        errors="replace",
        timeout=280,
        stdin=subprocess.DEVNULL,
    )


def test_a_tag(sandbox: RunningSandbox, left: Path, arguments: Arguments, tmp_path: Path) -> None:
    """Through the commands that run playbooks, and through the inventory."""
    before = instance(sandbox)
    play = tmp_path / "play.yml"
    tasks = [
        {"ansible.builtin.debug": {"var": "hostvars.main"}},
        {"ansible.builtin.debug": {"msg": "{{ linode_model }}"}},
        {"ansible.builtin.set_fact": {"kept": "{{ linode_model }}"}},
        {"ansible.builtin.debug": {"msg": "{{ kept }}"}},
        {"ansible.builtin.raw": "true"},
    ]
    play.write_text(json.dumps([{"hosts": "main", "gather_facts": False, "tasks": tasks}]))
    try:
        for name in VARIANTS:
            retag(sandbox, canary(left)[name])
            done = playbook(sandbox, "-i", sandbox.inventory, str(play))
            assert done.returncode == 0, done.stdout
            assert MARKER in done.stdout
            assert not left.exists(), name
        for command in (("extend", "main", "10m"), ("check", "main"), ("watchdog", "--once")):
            coder(sandbox, *command)
            assert not left.exists(), command
    finally:
        sandbox.api("PUT", f"linode/instances/{before['id']}", {"tags": before["tags"]})


def test_the_comment_of_a_key(sandbox: RunningSandbox, left: Path, arguments: Arguments, tmp_path: Path) -> None:
    """By option and by configuration. That there is no room for the VM is said after all of it was sent."""
    sandbox.fault(kind="capacity", count=None)
    try:
        for number, name in enumerate(("jinja", "jinja, double quotes", "jinja condition", "shell quote")):
            file = tmp_path / f"key-{number}.pub"
            file.write_text(f"{KEY} {canary(left)[name]}\n")
            option = () if number % 2 else ("--authorized-key", str(file))
            configured = {"LINODE_CODER_AUTHORIZED_KEYS": str(file)} if number % 2 else {}
            done = coder(sandbox, "up", f"other{number}", *option, "--yes", "--json", **configured)
            assert product.error_of(done)["kind"] == "capacity"
            assert not left.exists(), name
    finally:
        sandbox.clear_faults()


def test_a_log_that_healing_reads(sandbox: RunningSandbox, left: Path, arguments: Arguments) -> None:
    """It is in the observations that the second run of the playbook is given."""
    said = f"RuntimeError: {canary(left)['jinja']}"
    sandbox.fault(host=HOST, kind="engine_start_fails", text=said, stage="load", until="restart_container")
    sandbox.fault(host=HOST, kind="engine_crash", count=1, text="Segmentation fault")
    heal = ("heal", "main", "--patience", "0", "--json")
    for _look in range(20):
        found = json.loads(coder(sandbox, *heal, "--dry-run").stdout.splitlines()[-1])
        if found.get("step"):
            break
        time.sleep(1)
    assert MARKER in json.dumps(found["findings"]), "the log is not quoted"
    done = coder(sandbox, *heal, "--yes")
    sandbox.fault(kind="clear", host=HOST)
    result = product.result_of(done)
    assert (result["step"]["rung"], result["outcome"]) == ("restart_container", "healed"), result


def test_a_label_that_means_this_machine(sandbox: RunningSandbox, left: Path, arguments: Arguments) -> None:
    """What runs on localhost runs here all the same."""
    row = instance(sandbox)
    sandbox.api("PUT", f"linode/instances/{row['id']}", {"label": "localhost"})
    try:
        done = coder(sandbox, "check", "main", "--json")
        (session,) = json.loads(done.stdout)["sessions"]
        assert (session["label"], session["severity"]) == ("localhost", "unknown")
        listed = playbook(sandbox, "-i", sandbox.inventory, "linode_coder.gpu.list")
        assert listed.returncode == 0, listed.stdout
    finally:
        sandbox.api("PUT", f"linode/instances/{row['id']}", {"label": HOST})


def test_arguments_are_seen() -> None:
    """Else the tests above would say nothing."""
    with Arguments() as seen:
        subprocess.run(["sh", "-c", f"sleep 0.05; : {MARKER}"], check=True)
    assert seen.naming(MARKER)
