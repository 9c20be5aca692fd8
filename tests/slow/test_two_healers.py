# SPDX-License-Identifier: GPL-3.0-or-later
"""Two healers at the same moment, on a VM that nobody healed before: cooldowns must not decide which of them acts."""

from __future__ import annotations

from tests.sandbox_fixture import RunningSandbox
from tests.slow.test_heal import HOST, history, report_of, sandbox, start

__all__ = ["sandbox"]


def test_of_two_at_once_one_acts_and_the_other_stands_down(sandbox: RunningSandbox) -> None:
    before = len(history(sandbox))
    sandbox.fault(host=HOST, kind="docker_down", until="restart_services")
    # With some patience: what another watcher has begun a moment ago is its own to judge.
    reports = [report_of(one) for one in [start(sandbox, "-e", "heal_patience=0.2") for _watcher in range(2)]]
    sandbox.fault(kind="clear", host=HOST)
    acted = [one for one in reports if one["attempt"]]
    assert [one["outcome"] for one in acted] == ["healed"], [(one["step"], one["stop"]) for one in reports]
    assert {one["stop"]["reason"] for one in reports if not one["attempt"]} <= {
        "busy",
        "pending",
        "nothing",
        "cooldown",
    }
    assert len(history(sandbox)) == before + 1
