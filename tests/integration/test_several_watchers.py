# SPDX-License-Identifier: GPL-3.0-or-later
"""The decision, the lock, the record and the requests as they are, over a model of the VM and the API: whatever the order
in which two or five watchers take their steps, and wherever one of them is killed, a trouble is answered once."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.finding import Finding
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal.guest import Healer
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal.provider import Provider

from tests.unit.heal.cases import finding
from tests.unit.heal.interleaving import Run, chance, one_after_another, schedules
from tests.unit.heal.model import Model
from tests.unit.heal.watching import finish_later, passes, story

LOST = (finding("gpu.lost"),)
MUTE = (finding("ctr.state", cause="exited"), finding("vllm.health"))


def drive(choose: Any, trouble: tuple[Finding, ...], cure: tuple[str, ...], count: int, **more: Any) -> Model:
    run = Run(choose)
    model = Model(run, trouble, cure, more.get("reachable", True))
    model.lag = more.get("lag", 0.0)
    model.faults = list(more.get("faults", ()))
    passes(model, run, count, more.get("kill"))
    run.finish()
    return model


SCENES: dict[str, dict[str, Any]] = {
    "container": {"trouble": MUTE, "cure": ("restart_container",)},
    "reboot, VM answers": {"trouble": LOST, "cure": ("reboot",)},
    "reboot, VM does not answer": {"trouble": LOST, "cure": ("reboot",), "reachable": False},
    "reboot, events come late": {"trouble": LOST, "cure": ("reboot",), "reachable": False, "lag": 3.0},
}


def once(model: Model) -> bool:
    return len(model.asked) <= 1 and len(model.made) <= 1


@pytest.mark.parametrize("scene", SCENES)
def test_two_watchers_in_every_order_act_once(scene: str) -> None:
    tried = 0
    for choose in schedules(preemptions=2):
        model = drive(choose, count=2, **SCENES[scene])
        tried += 1
        assert once(model), story(model)
        assert model.asked or model.made, story(model)
    assert tried > 300


@pytest.mark.parametrize("scene", SCENES)
def test_five_watchers_act_once(scene: str) -> None:
    for seed in range(100):
        model = drive(chance(seed), count=5, **SCENES[scene])
        assert once(model) and model.made, f"seed {seed}: {story(model)}"


# What keeps two apart, one after the other taken away: the exploration has to notice.
SAFEGUARDS = (
    ("reboot, VM does not answer", "reserve", lambda *_: None),
    ("reboot, VM does not answer", "_guard", lambda self, number, *_: self.api.get(f"linode/instances/{number}")),
)


@pytest.mark.parametrize(("scene", "name", "without"), SAFEGUARDS, ids=[row[1] for row in SAFEGUARDS])
def test_the_exploration_notices_a_missing_safeguard(
    scene: str, name: str, without: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Provider, name, without)
    assert any(not once(drive(choose, count=2, **SCENES[scene])) for choose in schedules(preemptions=2))


def test_the_exploration_notices_a_missing_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Healer, "take_lock", lambda _self: None)
    monkeypatch.setattr(Healer, "still_mine", lambda _self: None)

    together = 0

    def twice(choose: Any) -> bool:
        nonlocal together
        try:
            return not once(drive(choose, count=2, **SCENES["container"]))
        except AssertionError as error:
            # All else that the model refuses is a fault of this test.
            if not str(error).startswith("two commands at once"):
                raise
            together += 1
            return False

    assert sum(twice(choose) for choose in schedules(preemptions=2)) > 100
    assert together > 0


CYCLE = {"trouble": (finding("gpu.count", ladder=("power_cycle",)),), "cure": ("power_cycle",)}
KILLED = {
    **SCENES,
    "power cycle": CYCLE,
    "power cycle, VM does not answer": {
        **CYCLE,
        "reachable": False,
        "trouble": (finding("vm.ssh", ladder=("power_cycle",)),),
    },
}


@pytest.mark.parametrize("scene", KILLED)
def test_after_a_kill_at_any_step_the_next_pass_finishes_the_job(scene: str) -> None:
    for step in range(1, 200):
        model = drive(one_after_another, count=1, kill=(0, step), **KILLED[scene])
        finish_later(model)
        assert len([action for action in model.asked if action != "boot"]) <= 1, f"killed at {step}: {story(model)}"


@pytest.mark.parametrize("scene", SCENES)
def test_a_kill_while_another_watches_does_no_harm(scene: str) -> None:
    for step in range(1, 40):
        for seed in range(4):
            model = drive(chance(seed), count=2, kill=(0, step), **SCENES[scene])
            assert once(model), f"killed at {step}, seed {seed}: {story(model)}"
            finish_later(model)
            assert len(model.asked) <= 1, f"killed at {step}, seed {seed}: {story(model)}"


FAULTS = [(path, kind) for path in ("PUT", "reboot") for kind in ("429", "before", "after")]


@pytest.mark.parametrize("scene", [name for name in SCENES if name.startswith("reboot")])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: " ".join(fault))
def test_an_answer_that_is_lost_is_no_reason_to_do_it_twice(scene: str, fault: tuple[str, str]) -> None:
    for seed in range(25):
        model = drive(chance(seed), count=2, faults=[fault], **SCENES[scene])
        assert once(model), f"seed {seed}: {story(model)}"
        finish_later(model)
        assert len(model.asked) == 1, f"seed {seed}: {story(model)}"


@pytest.mark.parametrize("scene", [name for name in SCENES if name.startswith("reboot")])
def test_a_request_that_is_held_up_in_the_network_is_waited_for(scene: str) -> None:
    model = drive(one_after_another, count=1, faults=[("reboot", "late")], **SCENES[scene])
    finish_later(model)
    assert model.asked == ["reboot"], story(model)
