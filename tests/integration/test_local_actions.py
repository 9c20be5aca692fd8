# SPDX-License-Identifier: GPL-3.0-or-later
"""What works on the control node says the same in Ansible's own process and as a module of its own."""

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

from linode_coder.sandbox.own_token import TOKEN as OWN_TOKEN
from tests.integration.test_modules_on_sandbox import Served

BIN = Path(sys.executable).parent
ROOT = Path(__file__).resolve().parents[2]
TOKEN = "planted-secret-token"
HOSTILE = "{{ lookup('ansible.builtin.pipe', 'id') }}"

# Arguments of each module, and what of the task is beside them. What changes something is only asked for in check mode.
CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("client_key", {}, {"check_mode": True}),
    ("session_secret", {"session": "demo", "secrets": f"VLLM_API_KEY={TOKEN}"}, {"check_mode": True}),
    ("session_secret", {"session": "demo"}, {}),
    ("linode_gpu_instance_info", {}, {}),
    ("linode_gpu_instance_info", {"running_only": "no", "api_timeout": "20"}, {}),
    ("linode_gpu_instance_info", {"api_timeout": TOKEN, "api_token": TOKEN}, {}),
    ("linode_gpu_instance_info", {"session": "nobody", "must_exist": True}, {}),
    ("linode_gpu_instance_info", {"sesion": "demo"}, {}),
    ("linode_gpu_instance_info", {}, {"delegate_to": "localhost"}),
    ("linode_gpu_quote", {"session": "demo", "switch": True}, {}),
    ("linode_gpu_quote", {"session": f"It's {TOKEN}!", "api_token": TOKEN}, {}),
    ("linode_gpu_watch", {"session": "", "interval": "", "budget": "", "account": None}, {}),
    ("linode_gpu_watch", {"observations": {"lc-demo-1": {"clock": {"schema": 9}}}}, {}),
    ("linode_gpu_watch", {"observations": "nothing"}, {}),
    (
        "linode_firewall",
        {"session": "demo", "ssh_from": "10.0.0.0/8,::1/128"},
        {"check_mode": True, "diff": True},
    ),
    ("linode_firewall", {"session": "demo", "ssh_from": [HOSTILE]}, {}),
    ("linode_firewall", {"session": "demo", "state": "gone"}, {}),
    ("gpu_health_report", {"sessions": [{"name": HOSTILE, "label": "lc-demo-1", "status": "running"}]}, {}),
    ("gpu_health_bundle", {"path": "not/there.tar.gz", "bundle": {"a": "b"}}, {"check_mode": True}),
    ("gpu_health_bundle", {"path": "not/there.tar.gz", "bundle": {"a": "b"}}, {}),
    ("watchdog_notice", {"decided": {"blocked": {"lc-demo-1": HOSTILE}}, "desktop": False}, {"check_mode": True}),
]
OTHERWISE: dict[str, dict[str, Any]] = {
    "environment": {"environment": {"LINODE_CODER_UNUSED": "1"}},
    "become": {"become": True, "become_method": "ansible.builtin.su"},
    "async": {"async": 60, "poll": 1},
    "python": {"vars": {"ansible_python_interpreter": f"{BIN}/../bin/python"}},
}


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served()
    yield served
    served.stop()


def play(served: Served, tmp_path: Path, tasks: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """The results of the tasks of one play, none of which ends it, and which modules of ours were run as such."""
    names = [f"result_{number}" for number in range(len(tasks))]
    told = tmp_path / "results.json"
    ran = [{**task, "register": name, "ignore_errors": True} for task, name in zip(tasks, names, strict=True)]
    results = "{{ [" + ", ".join(names) + "] | to_json }}"
    ran.append({"ansible.builtin.copy": {"dest": str(told), "content": results, "mode": "0600"}})
    playbook = tmp_path / "play.yml"
    # Every text of a playbook is trusted as a template; what must not be one comes from a file.
    (tmp_path / "hostile").write_text(HOSTILE)
    hostile = f"{{{{ lookup('ansible.builtin.file', '{tmp_path}/hostile') }}}}"
    text = json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": ran}])
    playbook.write_text(text.replace(json.dumps(HOSTILE), json.dumps(hostile)))
    done = subprocess.run(
        [str(BIN / "ansible-playbook"), "-vvv", "-i", ",", str(playbook)],
        env={
            **os.environ,
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "LINODE_CODER_HOME": str(tmp_path / "home"),
            "LINODE_TOKEN": OWN_TOKEN,
            "LINODE_API_URL": served.url,
            "ANSIBLE_HOME": str(tmp_path / "ansible"),
        },
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "uid=" not in done.stdout and TOKEN not in done.stdout
    return json.loads(told.read_text()), re.findall(r"Using module file \S*/linode_coder/\S*/(\w+)\.py", done.stdout)


def told(result: dict[str, Any]) -> dict[str, Any]:
    """Without the clock's part, and without what AnsibleModule adds of a file that a result names."""
    added = {"gid", "group", "mode", "owner", "size", "state", "uid"} if "path" in result else set()
    return {name: value for name, value in result.items() if name not in {"skew", *added}}


def test_both_ways_say_the_same(served: Served, tmp_path: Path) -> None:
    here = [{f"linode_coder.gpu.{name}": given, **task} for name, given, task in CASES]
    results, modules = play(served, tmp_path, [*here, *({**task, **OTHERWISE["environment"]} for task in here)])
    assert modules == [name for name, _given, _task in CASES]
    in_process, as_module = results[: len(CASES)], results[len(CASES) :]
    for case, one, other in zip(CASES, in_process, as_module, strict=True):
        assert told(one) == told(other), case
    failed = [one["msg"] for one in in_process if one["failed"]]
    assert len(failed) == 10 and not any(TOKEN in text for text in failed)


@pytest.mark.parametrize("how", OTHERWISE)
def test_who_wants_more_gets_a_module_of_its_own(served: Served, tmp_path: Path, how: str) -> None:
    task = {"linode_coder.gpu.linode_gpu_instance_info": {"running_only": False}}
    (plain, other), modules = play(served, tmp_path, [task, {**task, **OTHERWISE[how]}])
    assert {name: other[name] for name in plain} == plain and plain["sessions"] == []
    assert modules == ["linode_gpu_instance_info"]
