# SPDX-License-Identifier: GPL-3.0-or-later
"""Passes of watchers over a model, as the playbooks make them, and what is to be true of them afterwards."""

from __future__ import annotations

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal.attempts import Attempt, Record, key_of
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal.guest import Healer
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal.ladder import Policy, Step, next_step, verdict
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal.provider import Provider
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal.situation import world_of

from tests.unit.heal.interleaving import Run, Watcher, one_after_another
from tests.unit.heal.model import Gone, Model, ModelGuest

POLICY = Policy()


def one_pass(model: Model, watcher: Watcher) -> str:
    """What playbooks/tasks/heal_session.yml does, in its order."""
    api = model.api(watcher)
    provider = Provider(api, api, "demo", wait_timeout=120)
    seen = provider.look()
    watcher.step()
    findings = model.findings()
    health = {"facts": {"clock": watcher.now()}}
    earlier = [{"at": watcher.now() - ago, "findings": [one.as_dict() for one in findings]} for ago in (60, 200)]
    healer: Healer | None = None
    try:
        healer = Healer(ModelGuest(model, watcher), f"w{watcher.number}", f"{watcher.number:04x}token", "/engine")
        world = world_of(seen, health, earlier, True)
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
    if outcome == "acted" and decided.rung == "recreate_vm":
        return model.replace(watcher, seen)
    after = model.findings()
    judged = {"acted": verdict(decided.fingerprint, after), "stood_down": "cancelled", "failed": "failed"}[outcome]
    try:
        guest = ModelGuest(model, watcher)
        written = Healer(guest, f"w{watcher.number}", f"{watcher.number:04x}again", "/engine")
        if judged is not None:
            written.judge(attempt.id, judged, acted=outcome == "acted")
    except (Gone, Failure):
        return f"{outcome}, not recorded"
    return outcome


def passes(model: Model, run: Run, count: int, kill: tuple[int, int] | None = None) -> list[Watcher]:
    made = [run.add(lambda watcher: one_pass(model, watcher)) for _number in range(count)]
    if kill is not None:
        made[kill[0]].kill_at = kill[1]
    return made


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


def story(model: Model) -> str:
    return f"{model.asked} {model.made} {model.status} {model.tags} {model.record.decode()}"
