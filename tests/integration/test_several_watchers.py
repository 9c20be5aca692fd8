# SPDX-License-Identifier: GPL-3.0-or-later
"""The decision, the lock, the record and the requests as they are, over a model of the VM and the API: whatever the order
in which two or five watchers take their steps, and wherever one of them is killed, a trouble is answered once."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.finding import Finding
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal_attempts import Attempt, Record, key_of
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal_guest import Healer
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal_ladder import (
    Policy,
    Step,
    next_step,
    verdict,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal_provider import Provider
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal_world import world_of

from tests.unit.heal.cases import finding
from tests.unit.heal.interleaving import Run, Watcher, chance, one_after_another, schedules
from tests.unit.heal.model import Gone, Model, ModelApi, ModelGuest

LOST = (finding("gpu.lost"),)
MUTE = (finding("ctr.state", cause="exited"), finding("vllm.health"))
POLICY = Policy()


def one_pass(model: Model, watcher: Watcher) -> str:
    """What playbooks/tasks/heal_session.yml does, in its order."""
    api = ModelApi(model, watcher)
    provider = Provider(api, api, "demo", wait_timeout=120)
    seen = provider.look()
    watcher.step()
    findings = model.findings()
    earlier = [{"at": watcher.now() - ago, "findings": [one.as_dict() for one in findings]} for ago in (60, 200)]
    healer: Healer | None = None
    try:
        healer = Healer(ModelGuest(model, watcher), f"w{watcher.number}", f"{watcher.number:04x}token", "/engine")
        world = world_of(seen, {}, earlier, True)
        decided, attempt = healer.heal(findings, world, POLICY, seen["tags"], False)
    except Gone:
        healer = None
        if findings[0].id not in ("vm.ssh", "vm.status"):
            return "unreachable"
        world = world_of(seen, {}, earlier, False)
        decided = next_step(findings, Record().with_tags(seen["tags"]), world, POLICY, int(watcher.now()))
        attempt = None
        if isinstance(decided, Step):
            again = Attempt.from_id(decided.resume) if decided.resume else None
            attempt = again or Attempt(
                decided.rung, key_of(decided.fingerprint), int(watcher.now()), f"{watcher.number:04x}"
            )
    if not isinstance(decided, Step):
        return decided.reason
    assert attempt is not None
    outcome = "acted"
    if decided.scope == "api":
        outcome = provider.take(seen, attempt).outcome
    if outcome == "unclear":
        return outcome
    after = model.findings()
    judged = {"acted": verdict(decided.fingerprint, after), "stood_down": "cancelled", "failed": "failed"}[outcome]
    try:
        guest = ModelGuest(model, watcher)
        written = Healer(guest, f"w{watcher.number}", f"{watcher.number:04x}again", "/engine")
        if judged is not None and healer is not None:
            written.judge(attempt.id, judged, acted=outcome == "acted")
    except (Gone, Failure):
        return f"{outcome}, not recorded"
    return outcome


def passes(model: Model, run: Run, count: int, kill: tuple[int, int] | None = None) -> list[Watcher]:
    made = [run.add(lambda watcher: one_pass(model, watcher)) for _number in range(count)]
    if kill is not None:
        made[kill[0]].kill_at = kill[1]
    return made


def drive(choose: Any, trouble: tuple[Finding, ...], cure: tuple[str, ...], count: int, **more: Any) -> Model:
    run = Run(choose)
    model = Model(run, trouble, cure, more.get("reachable", True))
    model.lag = more.get("lag", 0.0)
    model.faults = list(more.get("faults", ()))
    passes(model, run, count, more.get("kill"))
    run.finish()
    return model


def finish_later(model: Model, limit: int = 6) -> None:
    """Passes of one watcher, half an hour apart, until the trouble is over."""
    for _pass in range(limit):
        model.run = Run(one_after_another)
        model.run.now = model_time(model) + 1900
        model.advance()
        if not model.trouble and model.ssh and model.status == "running":
            return
        model.run.watchers.clear()
        passes(model, model.run, 1)
        model.run.finish()
    raise AssertionError(f"not healed: {story(model)}")


def model_time(model: Model) -> float:
    return max(model.run.now, model.job[1] if model.job else 0.0)


SCENES: dict[str, dict[str, Any]] = {
    "container": {"trouble": MUTE, "cure": ("restart_container",)},
    "reboot, VM answers": {"trouble": LOST, "cure": ("reboot",)},
    "reboot, VM does not answer": {"trouble": LOST, "cure": ("reboot",), "reachable": False},
    "reboot, events come late": {"trouble": LOST, "cure": ("reboot",), "reachable": False, "lag": 3.0},
}


def once(model: Model) -> bool:
    return len(model.asked) <= 1 and model.made.count("restart_container") <= 1


def story(model: Model) -> str:
    return f"{model.asked} {model.made} {model.status} {model.tags} {model.record.decode()}"


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
        assert once(model), f"seed {seed}: {story(model)}"


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

    def breaks(choose: Any) -> bool:
        try:
            return not once(drive(choose, count=2, **SCENES["container"]))
        except AssertionError:
            return True

    assert any(breaks(choose) for choose in schedules(preemptions=2))


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
