# SPDX-License-Identifier: GPL-3.0-or-later
"""The rungs that test_heal.py leaves out, each taken by a fault that nothing less ends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.healed_faults import LATER_RUNGS, WHEN_UNUSED
from tests.sandbox_fixture import RunningSandbox
from tests.slow.test_heal import HOST, coder, heal_once_it_fails, history, sandbox

__all__ = ["sandbox"]

CONFIG, CONTEXT = "/opt/linode-coder/vllm/vllm.yaml", 40960

COLLEAGUE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4 colleague"


def on_vm(sandbox: RunningSandbox, command: str) -> str:
    done = coder(sandbox, "ssh", "main", "--", command)
    assert done.returncode == 0, done.stderr
    return done.stdout


def labels(sandbox: RunningSandbox) -> list[str]:
    return [str(view["label"]) for view in json.loads(coder(sandbox, "list", "--json").stdout)["sessions"]]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("name", "fault", "rungs"), LATER_RUNGS, ids=[row[0] for row in LATER_RUNGS])
def test_each_fault_is_healed_by_its_rung(
    sandbox: RunningSandbox,
    name: str,
    fault: dict[str, Any],
    rungs: list[tuple[str, str]],
) -> None:
    # As healing changes a setting; the file is the same.
    on_vm(sandbox, f"sed -i 's/^max-model-len: .*/max-model-len: {CONTEXT}/' {CONFIG}")
    on_vm(sandbox, f"echo '{COLLEAGUE}' >> /root/.ssh/authorized_keys")
    sandbox.fault(host=HOST, **fault)
    for rung, outcome in rungs:
        report = heal_once_it_fails(sandbox)
        assert (report["step"]["rung"], report["outcome"]) == (rung, outcome), report
    if rungs[-1][0] != "recreate_vm":
        sandbox.fault(kind="clear", host=HOST)
        return
    assert labels(sandbox) == ["lc-main-2"]
    # The new VM would break the way the old one did without what was changed there.
    assert f"max-model-len: {CONTEXT}" in on_vm(sandbox, f"cat {CONFIG}").splitlines()
    # Whom the old one knew, the new one does, whoever made it.
    assert COLLEAGUE in on_vm(sandbox, "cat /root/.ssh/authorized_keys").splitlines()
    # What was tried goes on with the session, so that the budgets do.
    assert {one["rung"] for one in history(sandbox)} >= {"reboot", "power_cycle", "recreate_vm"}


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("name", "fault", "entry", "rung"), WHEN_UNUSED, ids=[row[0] for row in WHEN_UNUSED])
def test_a_warning_is_answered_while_nobody_uses_the_engine(
    sandbox: RunningSandbox, name: str, fault: dict[str, Any], entry: str, rung: str
) -> None:
    assert coder(sandbox, "heal", "main", "--ack").returncode == 0  # the rows above have used up what a day allows
    (before,) = labels(sandbox)
    sandbox.fault(host=before, **fault)
    report = heal_once_it_fails(sandbox)
    assert (report["step"]["rung"], report["outcome"]) == (rung, "healed"), report
    (after,) = labels(sandbox)
    assert (after == before) == (rung == "reboot")
    warned = [one for seen in report["observations"][:1] for one in seen["findings"] if one["severity"] == "warn"]
    assert [entry] in [one["ladder"] for one in warned]
