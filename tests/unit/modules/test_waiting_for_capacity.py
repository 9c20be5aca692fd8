# SPDX-License-Identifier: GPL-3.0-or-later
"""`linode_gpu_instance` with wait_for_capacity: it asks again, within what was agreed to, and makes one VM."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import decode
from ansible_collections.linode_coder.gpu.plugins.modules import linode_gpu_instance
from scripted_linode import KEY, NO_STOCK, Fault, ScriptedLinode

OFFERS = [
    {"plan": "g2-gpu-rtx4000a1-s", "region": "us-ord", "hourly": 0.52},
    {"plan": "g2-gpu-rtx4000a1-s", "region": "us-sea", "hourly": 0.52},
]
WANTED = {"session": "demo", "offers": OFFERS, "model": "org/Model-7B", "authorized_keys": [KEY], "lease": "2h"}


class Clock:
    """Time that passes while it is rested, and only then. ``meanwhile`` is done in each rest."""

    def __init__(self) -> None:
        self.rests: list[float] = []
        self.meanwhile: Any = lambda: None


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made, wall, steady = Clock(), time.time, time.monotonic

    def rest(session: Any, seconds: float) -> None:
        made.rests.append(seconds)
        session.result["rounds"] = len(made.rests)
        made.meanwhile()

    monkeypatch.setattr(linode_gpu_instance.Session, "rest", rest)
    monkeypatch.setattr(time, "time", lambda: wall() + sum(made.rests))
    monkeypatch.setattr(time, "monotonic", lambda: steady() + sum(made.rests))
    return made


def creates(api: ScriptedLinode) -> int:
    return api.count("POST", r"^linode/instances$")


def test_it_asks_again_until_there_is_capacity_and_the_lease_begins_then(
    api: ScriptedLinode, run: Any, clock: Clock
) -> None:
    api.faults.append(Fault("POST", "linode/instances", 400, NO_STOCK, count=5))
    began = time.time()
    result = run("linode_gpu_instance", **WANTED, wait_for_capacity="2h")
    assert len(clock.rests) == result["rounds"] == 2 and creates(api) == 6 and len(api.instances) == 1
    # Only the last round is told.
    assert [row["outcome"] for row in result["attempts"]] == ["no capacity", "created"]
    (instance,) = api.instances.values()
    ends = decode(instance["tags"]).lease_end or 0
    assert 7200 + sum(clock.rests) - 1 <= ends - began <= 7200 + sum(clock.rests) + 30


def test_it_gives_up_in_time_and_leaves_nothing(api: ScriptedLinode, run: Any, clock: Clock) -> None:
    api.faults.append(Fault("POST", "linode/instances", 400, NO_STOCK, count=999))
    result = run("linode_gpu_instance", **WANTED, wait_for_capacity="10m")
    assert (result["failure"]["kind"], result["no_vm"], api.instances) == ("capacity", True, {})
    assert "tried for 10m" in result["msg"].replace(" min", "m") and 590 < sum(clock.rests) < 610


def test_without_it_nothing_is_waited_for(api: ScriptedLinode, run: Any, clock: Clock) -> None:
    api.faults.append(Fault("POST", "linode/instances", 400, NO_STOCK, count=999))
    assert run("linode_gpu_instance", **WANTED)["failure"]["kind"] == "capacity"
    assert clock.rests == [] and creates(api) == 2


def test_a_vm_that_somebody_else_made_meanwhile_is_adopted(api: ScriptedLinode, run: Any, clock: Clock) -> None:
    api.faults.append(Fault("POST", "linode/instances", 400, NO_STOCK, count=2))
    clock.meanwhile = lambda: run("linode_gpu_instance", **WANTED)
    result = run("linode_gpu_instance", **WANTED, wait_for_capacity="2h")
    assert len(api.instances) == 1 and any("adopted" in action for action in result["actions"])


def test_a_higher_price_is_not_paid(api: ScriptedLinode, run: Any, clock: Clock) -> None:
    api.faults.append(Fault("POST", "linode/instances", 400, NO_STOCK, count=2))
    cheaper = [{**offer, "hourly": 0.5} for offer in OFFERS]
    result = run("linode_gpu_instance", **{**WANTED, "offers": cheaper}, wait_for_capacity="2h")
    assert (result["failure"]["kind"], api.instances) == ("refused", {})


def test_a_budget_that_went_meanwhile_is_kept(api: ScriptedLinode, run: Any, clock: Clock) -> None:
    api.faults.append(Fault("POST", "linode/instances", 400, NO_STOCK, count=2))
    other = {**WANTED, "session": "other", "lease": "8h"}
    clock.meanwhile = lambda: run("linode_gpu_instance", **other)
    result = run("linode_gpu_instance", **WANTED, wait_for_capacity="2h", budget=4.5)
    assert result["failure"]["kind"] == "refused" and "budget" in result["msg"]
    assert [row["label"] for row in api.instances.values()] == ["lc-other-1"]


def test_an_unclear_answer_in_a_later_round_makes_no_second_vm(api: ScriptedLinode, run: Any, clock: Clock) -> None:
    api.faults += [
        Fault("POST", "linode/instances", 400, NO_STOCK, count=2),
        Fault("POST", "linode/instances", 502, after=True),
    ]
    result = run("linode_gpu_instance", **WANTED, wait_for_capacity="2h")
    assert len(api.instances) == 1 and result["attempts"][-1]["outcome"] == "adopted"
