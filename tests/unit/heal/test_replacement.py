# SPDX-License-Identifier: GPL-3.0-or-later
"""A VM that only another one can replace: whatever the order in which watchers take their steps, and wherever one of them is
killed, one new VM is made, and the old one lives until it serves."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal.provider import Provider
from ansible_collections.linode_coder.gpu.plugins.modules import linode_gpu_instance, linode_gpu_watch

from tests.unit.heal.account import PLACE, Account, virtual_time, watch_pass
from tests.unit.heal.cases import finding
from tests.unit.heal.interleaving import Choose, Run, chance, one_after_another, schedules
from tests.unit.heal.watching import passes, story

BAD = finding("gpu.ecc.sram")
MUTE = finding("vm.ssh", ladder=("recreate_vm",))
SCENES: dict[str, dict[str, Any]] = {
    "VM answers": {"trouble": (BAD,)},
    "VM does not answer": {"trouble": (MUTE,), "reachable": False},
}


@pytest.fixture(autouse=True)
def world(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (linode_gpu_instance, linode_gpu_watch):
        monkeypatch.setattr(module, "time", virtual_time())
    monkeypatch.setattr(linode_gpu_instance, "new_host_key", lambda: ("PRIVATE", bytes(range(32))))
    monkeypatch.setattr(Provider, "offers", lambda _self, _provider: [PLACE])


def drive(choose: Any, count: int, **more: Any) -> Account:
    run = Run(choose)
    model = Account(run, more["trouble"], more.get("reachable", True))
    model.faults = list(more.get("faults", ()))
    passes(model, run, count, more.get("kill"))
    run.finish()
    return model


def told(model: Account) -> str:
    return f"{model.created} {model.deleted} {[row['label'] for row in model.rows()]} {story(model)}"


def finish_later(model: Account, watchers: int = 1, choose: Choose = one_after_another) -> None:
    """Passes, half an hour apart, until the new VM is alone."""
    for _pass in range(6):
        now = model.run.now
        model.run = Run(choose)
        model.run.now = now + 1900
        if [row["label"] for row in model.rows()] == ["lc-demo-2"] and model.serves:
            return
        passes(model, model.run, watchers)
        model.run.finish()
    raise AssertionError(f"not replaced: {told(model)}")


def once(model: Account) -> bool:
    return len(model.created) <= 1 and len(model.deleted) <= 1


@pytest.mark.parametrize("scene", SCENES)
def test_two_watchers_make_one_new_vm(scene: str, preemptions: int = 1, orders: int = 40) -> None:
    tried = 0
    for choose in schedules(preemptions):
        model = drive(choose, count=2, **SCENES[scene])
        tried += 1
        assert model.created == ["lc-demo-2"] and model.deleted == ["lc-demo-1"], told(model)
    assert tried > orders


@pytest.mark.parametrize("scene", SCENES)
def test_five_watchers_make_one_new_vm(scene: str) -> None:
    for seed in range(30):
        model = drive(chance(seed), count=5, **SCENES[scene])
        assert once(model), f"seed {seed}: {told(model)}"
        finish_later(model)
        assert once(model), f"seed {seed}: {told(model)}"


@pytest.mark.parametrize("scene", SCENES)
def test_after_a_kill_at_any_step_the_next_pass_finishes_the_job(scene: str) -> None:
    for step in range(1, 400):
        model = drive(one_after_another, count=1, kill=(0, step), **SCENES[scene])
        dead = model.run.watchers[0].dead
        finish_later(model)
        assert once(model), f"killed at {step}: {told(model)}"
        if not dead:
            break
    assert 30 < step < 399, step


@pytest.mark.parametrize("scene", SCENES)
def test_after_a_kill_two_that_finish_it_do_not_get_into_each_others_way(scene: str) -> None:
    for step in range(1, 60, 2):
        for seed in range(3):
            model = drive(one_after_another, count=1, kill=(0, step), **SCENES[scene])
            finish_later(model, watchers=2, choose=chance(seed))
            assert once(model), f"killed at {step}, seed {seed}: {told(model)}"


@pytest.mark.parametrize("scene", SCENES)
def test_a_kill_while_others_watch_does_no_harm(scene: str) -> None:
    for step in range(1, 60):
        model = drive(chance(step), count=3, kill=(0, step), **SCENES[scene])
        assert once(model), f"killed at {step}: {told(model)}"
        finish_later(model)
        assert once(model), f"killed at {step}: {told(model)}"


@pytest.mark.parametrize("scene", SCENES)
def test_watchdogs_finish_what_served_when_its_maker_died_and_keep_what_did_not(scene: str) -> None:
    ends = set()
    for step in range(1, 70):
        model = drive(one_after_another, count=1, kill=(0, step), **SCENES[scene])
        served, labels = model.serves, [row["label"] for row in model.rows()]
        for _pass in range(4):
            now = model.run.now
            model.run = Run(chance(step))
            model.run.now = now + 1900
            for _watchdog in range(2):
                model.run.add(lambda watcher, model=model: watch_pass(model, watcher))
            model.run.finish()
        left = [row["label"] for row in model.rows()]
        assert left == (["lc-demo-2"] if served else labels), f"killed at {step}: {told(model)}"
        assert len(model.deleted) <= 1, f"killed at {step}: {told(model)}"
        ends.add((served, *left))
    assert ends == {(False, "lc-demo-1"), (False, "lc-demo-1", "lc-demo-2"), (True, "lc-demo-2")}


@pytest.mark.parametrize("scene", SCENES)
def test_healers_and_watchdogs_together_replace_once(scene: str) -> None:
    for seed in range(40):
        run = Run(chance(seed))
        model = Account(run, SCENES[scene]["trouble"], SCENES[scene].get("reachable", True))
        passes(model, run, 3, (0, 3 + seed) if seed % 2 else None)
        for _watchdog in range(2):
            run.add(lambda watcher, model=model: watch_pass(model, watcher))
        run.finish()
        assert once(model), f"seed {seed}: {told(model)}"
        finish_later(model)
        assert once(model), f"seed {seed}: {told(model)}"


FAULTS = [(path, kind) for path in ("PUT", "create", "delete") for kind in ("429", "before", "after")]


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: " ".join(fault))
def test_an_answer_that_is_lost_leaves_no_third_vm(scene: str, fault: tuple[str, str]) -> None:
    for seed in range(10):
        model = drive(chance(seed), count=2, faults=[fault], **SCENES[scene])
        assert once(model), f"seed {seed}: {told(model)}"
        finish_later(model)
        assert once(model), f"seed {seed}: {told(model)}"
