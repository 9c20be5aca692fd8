# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks that end: a VM that never answers is one that cannot be reached, and whatever else goes wrong stays what it is."""

from __future__ import annotations

import importlib
import subprocess
import sys
import textwrap
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.linode_coder.gpu.plugins.action import gpu_heal
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.rungs import RUNGS
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal.guest import LOCK_S
from ansible_collections.linode_coder.gpu.plugins.plugin_utils import look_action
from ansible_collections.linode_coder.gpu.plugins.plugin_utils.look_action import LookAction, children


def test_children_are_read_from_the_table_of_processes() -> None:
    assert children("    1     0\n   20     7\n   21    77\n  300     7\nwhat\n 5 6 7\n", 7) == [20, 300]


def test_what_a_worker_waits_for_is_ended_again_and_again_and_nothing_else() -> None:
    """In a Python of its own, since it ends that one's children."""
    program = """
        import subprocess, sys
        from ansible_collections.linode_coder.gpu.plugins.plugin_utils.look_action import Limit
        with Limit(0.2) as limit:
            codes = [subprocess.run(["sleep", "600"]).returncode for _child in range(2)]
        with Limit(600) as other:
            codes.append(subprocess.run(["true"]).returncode)
        print(codes, limit.passed, other.passed)
    """
    bystander = subprocess.Popen(["sleep", "600"])
    try:
        done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True)
        assert done.stdout.strip() == "[-15, -15, 0] True False", done.stderr
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


class PassedLimit:
    def __init__(self, seconds: float) -> None:
        self.passed = seconds < 100

    def __enter__(self) -> PassedLimit:
        return self

    def __exit__(self, *_exc: object) -> None:
        """Nothing runs."""


def act(
    normal: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
    transport: str = "ssh",
    kind: type[LookAction] = LookAction,
    args: dict[str, Any] | None = None,
    **variables: Any,
) -> Any:
    monkeypatch.setattr(look_action, "Limit", PassedLimit)
    loader = DataLoader()
    action = kind(
        task=SimpleNamespace(async_val=0, args=args or {}),
        connection=SimpleNamespace(transport=transport, _shell=SimpleNamespace(tmpdir=None)),
        play_context=None,
        loader=loader,
        templar=Templar(loader=loader, variables={}),
        shared_loader_obj=None,
    )
    ran = SimpleNamespace(run=lambda task_vars: normal())
    action._shared_loader_obj = SimpleNamespace(action_loader=SimpleNamespace(get=lambda _name, **_more: ran))
    return action.run(task_vars=variables)


def broken() -> Any:
    raise ValueError("of its own")


@pytest.mark.parametrize("normal", [lambda: {"rc": -15, "failed": True}, broken])
def test_over_time_is_out_of_reach_however_it_ended(normal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AnsibleConnectionFailure, match=r"did not answer in 7 s\."):
        act(normal, monkeypatch, look_timeout="7")


def test_in_time_everything_is_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    assert act(lambda: {"clock": 1}, monkeypatch) == {"clock": 1}
    assert act(lambda: {"clock": 1}, monkeypatch, transport="local", look_timeout=1) == {"clock": 1}
    with pytest.raises(ValueError, match="of its own"):
        act(broken, monkeypatch)


@pytest.mark.parametrize("given", ["soon", -1, 0.5, 1e9, [1], "nan"])
def test_a_limit_that_is_none_is_refused(given: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AnsibleActionFail, match="look_timeout"):
        act(dict, monkeypatch, look_timeout=given)


@pytest.mark.parametrize("name", ["session_look", "session_activity", "gpu_health", "gpu_heal"])
def test_every_look_at_a_vm_has_the_limit(name: str) -> None:
    action = importlib.import_module(f"ansible_collections.linode_coder.gpu.plugins.action.{name}")
    assert issubclass(action.ActionModule, LookAction)


@pytest.mark.parametrize("state", ["planned", "judged", "acknowledged", "read"])
def test_what_healing_only_decides_or_writes_down_is_a_look(state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AnsibleConnectionFailure, match=r"did not answer in 7 s\."):
        act(dict, monkeypatch, kind=gpu_heal.ActionModule, args={"state": state}, look_timeout=7)


@pytest.mark.parametrize("args", [{}, {"state": "healed"}])
def test_a_rung_has_longer_than_its_commands_take(args: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert act(lambda: {"changed": True}, monkeypatch, kind=gpu_heal.ActionModule, args=args, look_timeout=7)
    for rung in RUNGS:
        assert rung.run is None or sum(command.timeout for command in rung.run("/engine", "")) < LOCK_S, rung.id
