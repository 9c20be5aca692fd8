# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.finding import Finding
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.rungs import (
    API_RUNGS,
    NAMES,
    ORDER,
    RUNGS,
    WHEN_IDLE,
    sharing,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal.attempts import Attempt, Record, key_of
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal.ladder import (
    Event,
    Observation,
    Policy,
    Step,
    Stop,
    World,
    next_step,
    root_of,
    verdict,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.catalogue import CHECKS
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.healed_faults import FIRST_RUNGS, LATER_RUNGS, WHEN_UNUSED
from tests.unit.heal.cases import NOW, finding, tried, world

LOST = finding("gpu.lost")
DEAD = finding("ctr.state", cause="exited")
MUTE = finding("vllm.health")
STRANGER = finding("vm.ssh", "unknown", cause="unknown_key")
OOM = finding("ctr.oom", cause="context_too_long")
STANDARD = Policy()
CONTEXT = {"max-model-len": 28672}


def ask(
    *findings: Finding, attempts: tuple[Attempt, ...] = (), policy: Policy = STANDARD, **changes: Any
) -> Step | Stop:
    return next_step(findings, Record(attempts), world(*findings, **changes), policy, NOW)


def rung_of(answer: Step | Stop) -> str:
    return answer.rung if isinstance(answer, Step) else answer.reason


def test_the_catalogue_knows_no_rung_that_nobody_takes() -> None:
    used = {rung for check in CHECKS.values() for rung in check.ladder}
    assert {WHEN_IDLE.get(rung, rung) for rung in used} <= {*ORDER, "alert"}
    assert {WHEN_IDLE.get(rung, rung) for rung in NAMES} == {*ORDER, "alert"}


def test_every_rung_is_taken_by_some_fault_of_the_sandbox() -> None:
    """In tests/slow, where its row is also healed by it."""
    taken = {rung for _name, _faults, rung in FIRST_RUNGS}
    taken |= {rung for _name, _fault, rungs in LATER_RUNGS for rung, outcome in rungs if outcome == "healed"}
    taken |= {entry for _name, _fault, entry, _rung in WHEN_UNUSED}
    assert taken == {*ORDER, *WHEN_IDLE}


# -- what is acted on --------------------------------------------------------------------------------------------------

FIRST_RUNG = (
    ((DEAD, MUTE), "restart_container"),
    ((MUTE,), "restart_container"),
    ((finding("ctr.gpu"), MUTE), "recreate_container"),
    ((OOM, DEAD, MUTE), "change_parameters"),
    ((finding("ctr.engine"), DEAD, MUTE), "restart_services"),
    ((finding("drv.module"), DEAD, MUTE), "reload_driver"),
    ((finding("drv.mismatch"), MUTE), "reboot"),
    ((LOST, finding("gpu.count"), DEAD, MUTE), "reboot"),
    ((finding("gpu.recovery"), MUTE), "reset_gpu"),
    ((finding("gpu.ecc.sram"),), "recreate_vm"),
    ((finding("gpu.hang"), MUTE), "reboot"),
    ((finding("vm.ssh"),), "reboot"),
    ((finding("gpu.temp"), DEAD), "restart_container"),
    ((finding("vm.disk"),), "needs_human"),
    ((finding("ctr.state", cause="gated_model", ladder=("alert",)), MUTE), "config_error"),
    ((finding("ctr.state", cause="unknown_flag", ladder=()), MUTE), "config_error"),
    ((LOST, finding("ctr.state", cause="gated_model", ladder=("alert",))), "reboot"),
    ((finding("vllm.health", "pass"),), "nothing"),
    ((finding("vllm.health", "warn"),), "nothing"),
    ((finding("vllm.health", "unknown"),), "blind"),
    ((finding("vllm.health", "warn", cause="starting"), finding("vllm.gen", "unknown")), "busy"),
    ((finding("gpu.count", "unknown"), finding("vllm.health", "pass")), "blind"),
    ((finding("gpu.count", "unknown"), finding("vllm.gen", "pass")), "nothing"),
    ((), "blind"),
)


@pytest.mark.parametrize(("findings", "expected"), FIRST_RUNG, ids=lambda value: str(value)[:60])
def test_the_root_of_the_trouble_decides_the_rung(findings: tuple[Finding, ...], expected: str) -> None:
    assert rung_of(ask(*findings, suggested=CONTEXT)) == expected


def test_a_failure_is_seen_twice_before_anything_is_touched() -> None:
    alone = next_step([MUTE], Record(), world(), Policy(), NOW)
    assert isinstance(alone, Stop) and alone.reason == "confirm" and alone.until is not None and alone.until > NOW
    twice = world(earlier=(Observation(NOW - 60, (MUTE,)), Observation(NOW - 30, (MUTE,))))
    assert rung_of(next_step([MUTE], Record(), twice, Policy(), NOW)) == "restart_container"
    too_soon = world(earlier=(Observation(NOW - 4, (MUTE,)), Observation(NOW - 2, (MUTE,))))
    assert rung_of(next_step([MUTE], Record(), too_soon, Policy(), NOW)) == "confirm"
    long_ago = world(earlier=(Observation(NOW - 4000, (MUTE,)), Observation(NOW - 3000, (MUTE,))))
    assert rung_of(next_step([MUTE], Record(), long_ago, Policy(), NOW)) == "confirm"
    between = (Observation(NOW - 90, (MUTE,)), Observation(NOW - 60, ()), Observation(NOW - 30, (MUTE,)))
    assert rung_of(next_step([MUTE], Record(), world(earlier=between), Policy(), NOW)) == "confirm"


def test_a_witness_confirms_and_a_plain_text_needs_one_more_look() -> None:
    assert rung_of(next_step([DEAD, MUTE], Record(), world(), Policy(), NOW)) == "restart_container"
    assert rung_of(next_step([LOST], Record(), world(), Policy(), NOW)) == "confirm"
    again = world(earlier=(Observation(NOW - 1, (LOST,)),))
    assert rung_of(next_step([LOST], Record(), again, Policy(), NOW)) == "reboot"


def test_a_configuration_error_is_told_with_its_remedy() -> None:
    gated = finding("ctr.state", cause="gated_model", ladder=("alert",), remedy="Accept the licence.")
    answer = ask(gated, MUTE)
    assert isinstance(answer, Stop) and answer.needs_person and not answer.trips
    assert answer.message == gated.summary and answer.remedy == "Accept the licence."


# -- climbing ----------------------------------------------------------------------------------------------------------


def test_the_ladder_is_climbed_one_rung_at_a_time_to_its_end() -> None:
    attempts: list[Attempt] = []
    climbed = []
    for hour in range(10):
        answer = ask(MUTE, attempts=tuple(attempts))
        if isinstance(answer, Stop):
            break
        climbed.append((answer.rung, answer.number))
        attempts.append(tried(MUTE, answer.rung, 36000 - 3600 * hour, number=answer.number))
    assert climbed == [("restart_container", 1), ("recreate_container", 2), ("reboot", 3)]
    assert isinstance(answer, Stop) and answer.reason == "needs_human" and answer.trips
    assert "tried: restart_container, recreate_container, reboot" in answer.message


def test_what_healed_before_is_not_repeated_within_a_day() -> None:
    healed = tried(MUTE, "restart_container", 7200, outcome="healed")
    assert rung_of(ask(MUTE, attempts=(healed,))) == "recreate_container"
    yesterday = tried(MUTE, "restart_container", 90000, outcome="healed")
    assert rung_of(ask(MUTE, attempts=(yesterday,))) == "restart_container"
    cancelled = tried(MUTE, "restart_container", 7200, outcome="cancelled")
    assert rung_of(ask(MUTE, attempts=(cancelled,))) == "restart_container"


def test_budgets_count_over_all_troubles_and_an_acknowledgement_starts_anew() -> None:
    other = finding("ctr.cuda")
    spent = tuple(tried(other, "restart_container", 3600 * hour) for hour in (1, 2, 3))
    answer = ask(DEAD, MUTE, attempts=spent)
    assert isinstance(answer, Stop) and answer.reason == "budget" and answer.trips and "3 of 3" in answer.message
    acknowledged = Record(tuple(replace(one, acknowledged=True) for one in spent), NOW - 60)
    assert rung_of(next_step([DEAD, MUTE], acknowledged, world(), Policy(), NOW)) == "restart_container"
    both = (tried(other, "reboot", 3600), tried(other, "power_cycle", 7200))
    assert rung_of(ask(LOST, attempts=both)) == "budget"
    assert rung_of(ask(finding("gpu.ecc.sram"), account_recreations=2)) == "budget"


def test_the_breaker_stops_everything_until_a_person_acknowledges() -> None:
    open_breaker = Record(breaker="The budget is used up.")
    answer = next_step([DEAD, MUTE], open_breaker, world(), Policy(), NOW)
    assert isinstance(answer, Stop) and answer.reason == "needs_human" and "--ack" in answer.remedy


def test_an_unreadable_record_stops_and_is_not_empty() -> None:
    answer = next_step([DEAD, MUTE], None, world(), Policy(), NOW)
    assert isinstance(answer, Stop) and answer.reason == "needs_human"


def test_parameters_change_one_after_another_and_never_twice() -> None:
    flags: dict[str, Any] = {"max-model-len": 32768}
    given = {"suggested": {"max-num-seqs": 32}, "flags": flags}
    first = ask(OOM, **given)
    assert isinstance(first, Step) and first.change is not None
    assert first.change.as_dict() == {"flag": "max-num-seqs", "old": None, "new": 32}
    made = tried(OOM, "change_parameters", 3600, change=first.change.as_dict())
    second = ask(OOM, attempts=(made,), suggested={"max-num-seqs": 32}, flags={**flags, "max-num-seqs": 32})
    assert isinstance(second, Step) and second.change is not None and second.change.new == 16
    # Somebody put the old value back: what failed once does not come again.
    third = ask(OOM, attempts=(made,), **given)
    assert isinstance(third, Step) and third.change is not None and third.change.new != 32


# -- whether now -------------------------------------------------------------------------------------------------------


def event(action: str, ago: int, **changes: Any) -> Event:
    return Event(**({"id": 1, "action": action, "status": "finished", "at": NOW - ago, "user": "bob"} | changes))


WAITING: tuple[tuple[str, tuple[Finding, ...], dict[str, Any], str], ...] = (
    ("container started", (DEAD, MUTE), {"container_started": NOW - 30}, "cooldown"),
    ("booted", (LOST,), {"boot_time": NOW - 300}, "cooldown"),
    ("new VM", (finding("gpu.ecc.sram"),), {"created": NOW - 300}, "cooldown"),
    ("somebody rebooted", (LOST,), {"events": (event("linode_reboot", 300),)}, "cooldown"),
    ("Linode's host rebooted", (LOST,), {"events": (event("host_reboot", 300),)}, "cooldown"),
    ("a job runs", (LOST,), {"events": (event("linode_snapshot", 3000, status="started"),)}, "busy"),
    ("events unreadable", (LOST,), {"events": None}, "blind"),
    ("unreachable", (DEAD, MUTE), {"reachable": False}, "blind"),
    ("requests run", (LOST, finding("vllm.gen", "pass")), {"running": 2}, "busy"),
    ("requests hang", (LOST, finding("vllm.gen")), {"running": 2}, "reboot"),
    (
        "requests run, container",
        (finding("ctr.gpu"), finding("vllm.gen", "pass")),
        {"running": 2},
        "recreate_container",
    ),
    ("paused", (DEAD, MUTE), {"paused_until": NOW + 60}, "paused"),
    ("pause over", (DEAD, MUTE), {"paused_until": NOW - 60}, "restart_container"),
    ("being deleted", (DEAD, MUTE), {"status": "deleting"}, "nothing"),
    ("the same card again", (finding("gpu.ecc.sram"),), {"gpus": {"x"}, "bad_gpus": frozenset("x")}, "needs_human"),
)


@pytest.mark.parametrize(("name", "findings", "changes", "expected"), WAITING, ids=[row[0] for row in WAITING])
def test_what_others_do_is_respected(
    name: str, findings: tuple[Finding, ...], changes: dict[str, Any], expected: str
) -> None:
    assert rung_of(ask(*findings, **changes)) == expected


def test_our_own_reboot_is_not_somebody_elses() -> None:
    ours = tried(LOST, "reboot", 900)
    changes = {"events": (event("linode_reboot", 899),), "boot_time": NOW - 880}
    assert (
        rung_of(ask(finding("gpu.count"), attempts=(tried(finding("gpu.count"), "reboot", 900),), **changes))
        == "power_cycle"
    )
    assert rung_of(ask(LOST, attempts=(ours,), **changes)) == "recreate_vm"


@pytest.mark.parametrize("cap", ["off", "alert", "container", "host", "vm"])
def test_the_policy_caps(cap: str) -> None:
    policy = Policy(cap=cap)
    container = rung_of(ask(DEAD, MUTE, policy=policy))
    boot = rung_of(ask(LOST, policy=policy))
    replace_vm = rung_of(ask(finding("gpu.ecc.sram"), policy=policy))
    expected = {
        "off": ("policy", "policy", "policy"),
        "alert": ("policy", "policy", "policy"),
        "container": ("restart_container", "policy", "policy"),
        "host": ("restart_container", "reboot", "policy"),
        "vm": ("restart_container", "reboot", "recreate_vm"),
    }
    assert (container, boot, replace_vm) == expected[cap]


def test_a_warning_is_answered_only_in_an_idle_moment() -> None:
    pending = finding("gpu.remap", "warn", ladder=("reboot_when_idle",))
    assert rung_of(ask(pending, running=1)) == "nothing"
    assert rung_of(ask(pending, running=None)) == "nothing"
    assert rung_of(ask(pending, idle_seconds=30)) == "nothing"
    assert rung_of(ask(pending, idle_seconds=3000)) == "reboot"
    after = ask(pending, attempts=(tried(pending, "reboot", 3600),))
    assert isinstance(after, Stop) and after.reason == "nothing" and not after.trips
    bold = finding("gpu.throttle", "warn", ladder=("recreate_vm",))
    assert rung_of(ask(bold)) == "nothing"


def test_an_attempt_belongs_to_who_made_it_then_to_anybody() -> None:
    fresh = tried(DEAD, "restart_container", 10, outcome="pending")
    assert rung_of(ask(DEAD, MUTE, attempts=(fresh,))) == "pending"
    made = tried(DEAD, "restart_container", 600, outcome="pending")
    assert rung_of(ask(DEAD, MUTE, attempts=(made,))) == "recreate_container"
    reserved = tried(DEAD, "restart_container", 600, outcome="pending", acted=False)
    again = ask(DEAD, MUTE, attempts=(reserved,))
    assert isinstance(again, Step) and (again.rung, again.resume) == ("restart_container", reserved.id)
    hopeless = replace(reserved, resumed=2)
    assert rung_of(ask(DEAD, MUTE, attempts=(hopeless,))) == "recreate_container"


def test_a_reserved_reboot_is_looked_for_before_it_is_asked_for_again() -> None:
    reserved = tried(LOST, "reboot", 1300, outcome="pending", acted=False)
    nothing_came = ask(LOST, attempts=(reserved,))
    assert isinstance(nothing_came, Step) and (nothing_came.rung, nothing_came.resume) == ("reboot", reserved.id)
    it_booted = ask(LOST, attempts=(reserved,), boot_time=NOW - 1250)
    assert rung_of(it_booted) == "recreate_vm"
    in_the_feed = ask(LOST, attempts=(reserved,), events=(event("linode_reboot", 1299),))
    assert rung_of(in_the_feed) == "recreate_vm"


def test_healed_needs_a_token() -> None:
    assert verdict(MUTE.fingerprint, [finding("vllm.gen", "pass")]) == "healed"
    assert verdict(MUTE.fingerprint, [MUTE, finding("vllm.gen", "pass")]) == "failed"
    assert verdict(MUTE.fingerprint, [finding("vllm.gen")]) == "failed"
    assert verdict(MUTE.fingerprint, [finding("vllm.health", "warn")]) is None
    assert verdict(MUTE.fingerprint, []) is None


# -- for any history ---------------------------------------------------------------------------------------------------

IDS = sorted(CHECKS)


@st.composite
def troubles(draw: st.DrawFn) -> tuple[Finding, ...]:
    ids = draw(st.lists(st.sampled_from(IDS), max_size=4, unique=True))
    made = []
    for check in ids:
        severity = draw(st.sampled_from(["pass", "warn", "fail", "unknown"]))
        cause = draw(st.sampled_from([None, "a", "b"]))
        ladder = CHECKS[check].ladder
        if draw(st.booleans()):
            ladder = tuple(draw(st.lists(st.sampled_from(NAMES), max_size=4, unique=True)))
        made.append(finding(check, severity, cause=cause, ladder=ladder))
    return tuple(made)


SUGGESTED = st.sampled_from(
    [None, {}, CONTEXT, {"max-num-seqs": 32, "enforce-eager": True}, {"reasoning-parser": None}]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(troubles(), st.integers(1, 7200), SUGGESTED, st.booleans()), max_size=60), st.booleans())
def test_whatever_happens_budgets_hold_and_it_ends(history: list[Any], crashes: bool) -> None:
    """Any faults in any order, each attempt judged by chance or left by a crash: what was done stays within the budgets,
    nothing is set twice, unknown is never acted on, and a trouble that stays is given up after finitely many steps."""
    record, now, flags = Record(), NOW, {"max-model-len": 65536}
    for findings, passed, suggested, healed in history:
        now += passed
        seen = tuple(Observation(now - seconds, findings) for seconds in (60, 200))
        here = World(created=0, boot_time=0, running=0, waiting=0, earlier=seen, flags=flags, suggested=suggested)
        answer = next_step(findings, record, here, Policy(), now)
        if isinstance(answer, Stop):
            if answer.trips:
                record = replace(record, breaker=answer.message)
            continue
        blamed = [one for one in findings if one.fingerprint == answer.fingerprint]
        assert blamed and blamed[0].severity in ("fail", "warn")
        assert record.breaker is None
        if answer.change is not None:
            flags = {**flags, answer.change.flag: answer.change.new}
        change = answer.change.as_dict() if answer.change else None
        outcome = "pending" if crashes else "healed" if healed else "failed"
        made = Attempt(
            answer.rung, key_of(answer.fingerprint), now, answer.fingerprint, change=change, acted=True, outcome=outcome
        )
        if answer.resume is None:
            record = replace(record, attempts=(*record.attempts, made))
        day = [one for one in record.attempts if one.at > now - 86400]
        for rung in RUNGS:
            assert sum(one.rung in sharing(rung.budget) for one in day) <= rung.budget.allowed
        per_trouble = Counter((one.key, one.rung) for one in day if one.rung != "change_parameters")
        assert not per_trouble or max(per_trouble.values()) == 1
    changes = [(one.change["flag"], one.change["new"]) for one in record.attempts if one.change]
    assert len(changes) == len(set(changes))


@settings(max_examples=100, deadline=None)
@given(troubles(), SUGGESTED)
def test_a_trouble_that_stays_ends_with_a_person(findings: tuple[Finding, ...], suggested: Any) -> None:
    record, now = Record(), NOW
    for _ in range(30):
        now += 2400
        seen = tuple(Observation(now - seconds, findings) for seconds in (60, 200))
        here = World(created=0, boot_time=0, running=0, waiting=0, earlier=seen, suggested=suggested)
        answer = next_step(findings, record, here, Policy(), now)
        if isinstance(answer, Stop):
            break
        change = answer.change.as_dict() if answer.change else None
        made = Attempt(answer.rung, key_of(answer.fingerprint), now, change=change, acted=True, outcome="failed")
        record = replace(record, attempts=(*record.attempts, made))
    assert isinstance(answer, Stop)
    failing = [one for one in findings if one.severity == "fail"]
    assert answer.needs_person if failing else answer.reason in ("nothing", "blind")


@settings(max_examples=100, deadline=None)
@given(troubles(), st.booleans())
def test_unknown_never_acts(findings: tuple[Finding, ...], reachable: bool) -> None:
    unknown = tuple(replace(one, severity="unknown") for one in findings)
    answer = next_step(unknown, Record(), world(*unknown, reachable=reachable), Policy(), NOW)
    assert isinstance(answer, Stop) and answer.reason == "blind"


@settings(max_examples=100, deadline=None)
@given(troubles())
def test_without_the_events_nothing_is_asked_of_the_provider(findings: tuple[Finding, ...]) -> None:
    answer = ask(*findings, events=None)
    assert isinstance(answer, Stop) or answer.rung not in API_RUNGS


@given(troubles())
def test_a_root_is_a_failure_of_these(findings: tuple[Finding, ...]) -> None:
    fails = [one for one in findings if one.severity == "fail"]
    root = root_of(fails)
    assert root is None or root in fails


# -- a replacement that was begun --------------------------------------------------------------------------------------

SRAM = finding("gpu.ecc.sram")


def begun(ago: int, **changes: Any) -> Attempt:
    return tried(SRAM, "recreate_vm", ago, **({"outcome": "pending", "acted": False} | changes))


@pytest.mark.parametrize("findings", [(SRAM,), (finding("vm.ssh"),), (finding("vllm.gen", "pass"),), ()])
def test_a_replacement_that_was_begun_is_finished_whatever_fails_by_now(findings: tuple[Finding, ...]) -> None:
    attempt = begun(2000)
    lassie = {"events": (event("lassie_reboot", 60),), "boot_time": NOW - 50}
    answer = ask(*findings, attempts=(attempt,), successor="lc-demo-2", **lassie)
    assert isinstance(answer, Step) and (answer.rung, answer.resume) == ("recreate_vm", attempt.id)
    assert "lc-demo-2 was made to replace this VM" in answer.reason
    assert rung_of(ask(*findings, attempts=(begun(600),), successor="lc-demo-2")) == "pending"
    resumed = begun(4000, resumed=1, resumed_at=NOW - 600)
    assert rung_of(ask(*findings, attempts=(resumed,), successor="lc-demo-2")) == "pending"
    low = ask(*findings, attempts=(attempt,), successor="lc-demo-2", policy=Policy(cap="host"))
    assert isinstance(low, Stop) and low.reason == "policy" and "finish it" in low.message
    spent = ask(*findings, attempts=(begun(9000, resumed=2),), successor="lc-demo-2")
    assert isinstance(spent, Stop) and spent.trips and "both VMs bill" in spent.message


def test_without_a_successor_a_replacement_that_came_to_nothing_is_tried_again() -> None:
    attempt = begun(2000)
    answer = ask(SRAM, attempts=(attempt,))
    assert isinstance(answer, Step) and answer.resume == attempt.id
    # On the new VM its own creation shows that it was done.
    assert rung_of(ask(SRAM, attempts=(attempt,), created=NOW - 1990)) == "needs_human"


def test_an_attempt_that_has_to_wait_is_no_reason_to_give_up() -> None:
    busy = ask(SRAM, attempts=(begun(2000),), events=(event("linode_snapshot", 60, status="started"),))
    assert isinstance(busy, Stop) and (busy.reason, busy.trips) == ("busy", False)


def test_what_was_seen_before_something_was_done_is_looked_at_again() -> None:
    healed = tried(DEAD, "restart_container", 300, outcome="healed", acted_at=NOW - 290)
    late = ask(DEAD, MUTE, attempts=(healed,), seen_at=NOW - 295)
    assert isinstance(late, Stop) and (late.reason, late.trips) == ("pending", False)
    assert rung_of(ask(DEAD, MUTE, attempts=(healed,), seen_at=NOW - 280)) == "recreate_container"
    cancelled = replace(healed, outcome="cancelled")
    assert rung_of(ask(DEAD, MUTE, attempts=(cancelled,), seen_at=NOW - 295)) == "restart_container"


# -- exactly when ------------------------------------------------------------------------------------------------------


def told(answer: Step | Stop) -> str | tuple[str, int | None]:
    """The rung, or why not and how many seconds from now to look again."""
    if isinstance(answer, Step):
        return answer.rung
    return (answer.reason, None if answer.until is None else answer.until - NOW)


PATIENT = Policy(patience=2.0)
REMAP = finding("gpu.remap", "warn", ladder=("reboot_when_idle",))
REMAP_FAILS = finding("gpu.remap", ladder=("reboot_when_idle",))
SERVES = finding("vllm.gen", "pass")
NO_DRIVER = finding("drv.module")
NO_DOCKER = finding("ctr.engine")

MOMENTS: tuple[tuple[str, tuple[Finding, ...], dict[str, Any], str | tuple[str, int | None]], ...] = (
    ("container just started", (DEAD, MUTE), {"container_started": NOW - 119}, ("cooldown", 1)),
    ("container started", (DEAD, MUTE), {"container_started": NOW - 120}, "restart_container"),
    ("container, patient", (DEAD, MUTE), {"container_started": NOW - 239, "policy": PATIENT}, ("cooldown", 1)),
    (
        "container, patience over",
        (DEAD, MUTE),
        {"container_started": NOW - 240, "policy": PATIENT},
        "restart_container",
    ),
    ("just booted", (LOST,), {"boot_time": NOW - 1199}, ("cooldown", 1)),
    ("booted", (LOST,), {"boot_time": NOW - 1200}, "reboot"),
    (
        "booted, after something inside was tried",
        (finding("gpu.xid"),),
        {"boot_time": NOW - 300, "attempts": (tried(finding("gpu.xid"), "restart_container", 3600),)},
        ("cooldown", 900),
    ),
    ("boot not known", (LOST,), {"boot_time": None}, "reboot"),
    ("booted, patient", (LOST,), {"boot_time": NOW - 2399, "policy": PATIENT}, ("cooldown", 1)),
    ("new VM", (SRAM,), {"created": NOW - 1799}, ("cooldown", 1)),
    ("VM old enough", (SRAM,), {"created": NOW - 1800}, "recreate_vm"),
    ("age not known", (SRAM,), {"created": None}, "recreate_vm"),
    ("new VM, patient", (SRAM,), {"created": NOW - 3599, "policy": PATIENT}, ("cooldown", 1)),
    ("somebody just rebooted", (LOST,), {"events": (event("linode_reboot", 1199),)}, ("cooldown", 1)),
    ("somebody rebooted", (LOST,), {"events": (event("linode_reboot", 1200),)}, "reboot"),
    (
        "the newest counts",
        (LOST,),
        {"events": (event("linode_reboot", 900), event("linode_boot", 300), event("linode_boot", 600))},
        ("cooldown", 900),
    ),
    ("just migrated", (LOST,), {"events": (event("linode_migrate", 1199),)}, ("cooldown", 1)),
    ("migrated", (LOST,), {"events": (event("linode_migrate", 1200),)}, "reboot"),
    ("migrated, patient", (LOST,), {"events": (event("linode_migrate", 2399),), "policy": PATIENT}, ("cooldown", 1)),
    ("a job waits", (LOST,), {"events": (event("linode_snapshot", 5, status="scheduled"),)}, ("busy", 15)),
    ("a job failed", (LOST,), {"events": (event("linode_snapshot", 5, status="failed"),)}, "reboot"),
    ("events unreadable", (LOST,), {"events": None}, ("blind", 300)),
    ("unreachable", (DEAD, MUTE), {"reachable": False}, ("blind", 60)),
    ("unreachable, from outside", (LOST,), {"reachable": False}, "reboot"),
    ("a request runs", (LOST, SERVES), {"running": 1}, ("busy", 60)),
    ("a request waits", (LOST, SERVES), {"waiting": 1}, ("busy", 60)),
    ("no request", (LOST, SERVES), {}, "reboot"),
    ("driver just loaded", (NO_DRIVER,), {"attempts": (tried(DEAD, "reload_driver", 1799),)}, ("cooldown", 1)),
    (
        "driver just loaded, patient",
        (NO_DRIVER,),
        {"attempts": (tried(DEAD, "reload_driver", 3599),), "policy": PATIENT},
        ("cooldown", 1),
    ),
    ("driver loaded", (NO_DRIVER,), {"attempts": (tried(DEAD, "reload_driver", 1800),)}, "reload_driver"),
    (
        "driver, never done",
        (NO_DRIVER,),
        {"attempts": (tried(DEAD, "reload_driver", 9, outcome="cancelled"),)},
        "reload_driver",
    ),
    ("driver, another rung", (NO_DRIVER,), {"attempts": (tried(DEAD, "restart_services", 9),)}, "reload_driver"),
    ("GPU just reset", (finding("gpu.recovery"),), {"attempts": (tried(DEAD, "reset_gpu", 1799),)}, ("cooldown", 1)),
    ("GPU reset once", (finding("gpu.recovery"),), {"attempts": (tried(DEAD, "reset_gpu", 1800),)}, ("budget", None)),
    ("Docker just restarted", (NO_DOCKER,), {"attempts": (tried(DEAD, "restart_services", 299),)}, ("cooldown", 1)),
    ("Docker restarted", (NO_DOCKER,), {"attempts": (tried(DEAD, "restart_services", 300),)}, "restart_services"),
    (
        "Docker restarted, CDI generated",
        (NO_DOCKER,),
        {"attempts": (tried(DEAD, "restart_services", 900), tried(DEAD, "regenerate_cdi", 300))},
        ("budget", None),
    ),
    ("just used", (REMAP,), {"idle_seconds": 299}, ("nothing", None)),
    ("unused", (REMAP,), {"idle_seconds": 300}, "reboot"),
    ("unused, patient", (REMAP,), {"idle_seconds": 599, "policy": PATIENT}, ("nothing", None)),
    ("use not known, nothing runs", (REMAP,), {"idle_seconds": None}, "reboot"),
    ("something waits", (REMAP,), {"waiting": 1}, ("nothing", None)),
    ("what waits is not known", (REMAP,), {"waiting": None}, ("nothing", None)),
    ("fails and is in use", (REMAP_FAILS,), {"running": 1}, ("busy", 60)),
    ("fails and is unused", (REMAP_FAILS,), {}, "reboot"),
    ("paused", (DEAD, MUTE), {"paused_until": NOW + 1}, ("paused", 1)),
    ("pause over", (DEAD, MUTE), {"paused_until": NOW}, "restart_container"),
    ("paused, nothing fails", (SERVES,), {"paused_until": NOW + 1}, ("nothing", None)),
    ("begun", (DEAD, MUTE), {"attempts": (tried(DEAD, "restart_container", 179, outcome="pending"),)}, ("pending", 1)),
    (
        "not judged",
        (DEAD, MUTE),
        {"attempts": (tried(DEAD, "restart_container", 180, outcome="pending"),)},
        "recreate_container",
    ),
    (
        "begun, patient",
        (DEAD, MUTE),
        {"attempts": (tried(DEAD, "restart_container", 359, outcome="pending"),), "policy": PATIENT},
        ("pending", 1),
    ),
    ("begun a boot", (LOST,), {"attempts": (tried(LOST, "reboot", 599, outcome="pending"),)}, ("pending", 1)),
    (
        "the newest that is pending counts",
        (DEAD, MUTE),
        {
            "attempts": (
                tried(MUTE, "restart_container", 100, outcome="pending"),
                tried(LOST, "restart_services", 900, outcome="pending"),
            )
        },
        ("pending", 80),
    ),
    ("a day ago", (MUTE,), {"attempts": (tried(MUTE, "restart_container", 86400),)}, "recreate_container"),
    ("more than a day ago", (MUTE,), {"attempts": (tried(MUTE, "restart_container", 86401),)}, "restart_container"),
    (
        "done since",
        (DEAD,),
        {"attempts": (tried(MUTE, "restart_container", 300),), "seen_at": NOW - 301},
        ("pending", 1),
    ),
    (
        "seen since",
        (DEAD,),
        {"attempts": (tried(MUTE, "restart_container", 300),), "seen_at": NOW - 300},
        "restart_container",
    ),
    ("account recreated once", (SRAM,), {"account_recreations": 1}, "recreate_vm"),
    ("account recreated twice", (SRAM,), {"account_recreations": 2}, ("budget", None)),
    ("account, another rung", (LOST,), {"account_recreations": 2}, "reboot"),
    ("another card", (SRAM,), {"gpus": frozenset("x"), "bad_gpus": frozenset("y")}, "recreate_vm"),
    ("bad card, another rung", (LOST,), {"gpus": frozenset("x"), "bad_gpus": frozenset("x")}, "reboot"),
    ("nothing could be read", (finding("vllm.gen", "unknown"),), {}, ("blind", 60)),
    ("not all could be read", (finding("gpu.count", "unknown"), finding("vm.ssh", "pass")), {}, ("blind", 60)),
    # A control node whose key the VM does not know heals nothing, and finishes no replacement of others.
    ("key not known", (finding("vm.status", "pass"), STRANGER), {}, ("blind", 60)),
    ("key not known, and off", (finding("vm.status"), STRANGER), {}, ("blind", 60)),
    (
        "key not known, a replacement was begun",
        (STRANGER,),
        {"attempts": (begun(3600),), "successor": "lc-demo-2"},
        ("blind", 60),
    ),
    ("starting", (finding("vllm.health", "warn", cause="starting"), finding("vllm.gen", "unknown")), {}, ("busy", 60)),
    ("warned, not starting", (finding("vllm.health", "warn"), finding("vllm.gen", "unknown")), {}, ("blind", 60)),
)


@pytest.mark.parametrize(("name", "findings", "changes", "expected"), MOMENTS, ids=[row[0] for row in MOMENTS])
def test_the_exact_moments(
    name: str, findings: tuple[Finding, ...], changes: dict[str, Any], expected: str | tuple[str, int | None]
) -> None:
    assert told(ask(*findings, **changes)) == expected


# A VM of 1000 s that booted by itself when it was made.
MADE, FIRST_BOOT = NOW - 1000, event("linode_boot", 960, user="ada")
NEW: dict[str, Any] = {"created": MADE, "boot_time": NOW - 950, "events": (FIRST_BOOT,), "set_up": True}
YOUNG = "The VM was made a moment ago, and may still be being set up."
BOOTED = "The VM booted a moment ago."
BY_OTHERS = "Somebody else acted: linode_boot by ada."


def at(seconds: int) -> dict[str, Any]:
    """Booted, and the event of it, so long after the VM was made."""
    return {"boot_time": MADE + seconds, "events": (replace(FIRST_BOOT, at=MADE + seconds),)}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "reboot"),
        ({"set_up": False}, (YOUNG, 200)),
        ({"set_up": False, "boot_time": None}, (YOUNG, 200)),
        ({"set_up": False, "created": None}, (BY_OTHERS, 240)),
        ({"set_up": False, "created": NOW - 1200, "boot_time": None, "events": ()}, "reboot"),
        ({"set_up": False, "policy": PATIENT}, (YOUNG, 1400)),
        (at(-5), "reboot"),
        (at(-6), (BY_OTHERS, 194)),
        (at(600), "reboot"),
        (at(601), (BY_OTHERS, 801)),
        ({"boot_time": MADE + 601}, (BOOTED, 801)),
        ({"boot_time": MADE + 601, "created": None, "events": ()}, (BOOTED, 801)),
        # Whoever boots it once more is somebody else.
        ({"events": (replace(FIRST_BOOT, id=2, at=MADE + 90), FIRST_BOOT)}, (BY_OTHERS, 290)),
        ({"events": (event("linode_reboot", 900, user="ada"), FIRST_BOOT)}, (BY_OTHERS.replace("_boot", "_reboot"), 300)),
    ],
)  # fmt: skip
def test_our_own_creation_is_not_somebody_else(changes: dict[str, Any], expected: str | tuple[str, int]) -> None:
    answer = ask(LOST, **{**NEW, **changes})
    if isinstance(answer, Step):
        assert (answer.rung, answer.pushed) == (expected, "")
    else:
        assert answer.until is not None and (answer.message, answer.until - NOW) == expected
        assert (answer.reason, answer.waits) == ("cooldown", True)


AT_ONCE = Policy(now=True)
OPEN = event("linode_snapshot", 5, status="started")


@pytest.mark.parametrize(
    ("findings", "changes", "expected", "pushed"),
    [
        ((DEAD, MUTE), {"container_started": NOW - 30}, "restart_container", "The container was started a moment ago."),
        ((LOST,), {"boot_time": NOW - 300}, "reboot", BOOTED),
        ((SRAM,), {"created": NOW - 300}, "recreate_vm", "The VM is new."),
        ((NO_DRIVER,), {"attempts": (tried(DEAD, "reload_driver", 9),)}, "reload_driver", "reload_driver was tried a moment ago."),
        ((LOST, SERVES), {"running": 2}, "reboot", "Requests are running, and the engine serves them."),
        (
            (LOST, SERVES),
            {"running": 2, "boot_time": NOW - 300, "events": (event("lassie_reboot", 60), event("linode_boot", 70))},
            "reboot",
            "Requests are running, and the engine serves them. Linode did lassie_reboot a moment ago. "
            f"Somebody else acted: lassie_reboot by bob. {BOOTED}",
        ),
        ((DEAD, MUTE), {}, "restart_container", ""),
        # What no insisting changes.
        ((LOST,), {"boot_time": NOW - 300, "events": (event("lassie_reboot", 60), OPEN)}, "busy", None),
        ((LOST,), {"events": None}, "blind", None),
        ((LOST,), {"reachable": False, "paused_until": NOW + 60}, "paused", None),
        ((DEAD, MUTE), {"attempts": (tried(DEAD, "restart_container", 10, outcome="pending"),)}, "pending", None),
        ((finding("gpu.recovery"),), {"attempts": (tried(DEAD, "reset_gpu", 60),)}, "budget", None),
        ((REMAP_FAILS,), {"running": 1}, "busy", None),
        ((MUTE,), {"earlier": ()}, "confirm", None),
    ],
)  # fmt: skip
def test_who_insists_does_not_wait_for_what_time_settles(
    findings: tuple[Finding, ...], changes: dict[str, Any], expected: str, pushed: str | None
) -> None:
    answer = ask(*findings, policy=AT_ONCE, **changes)
    assert rung_of(answer) == expected
    if isinstance(answer, Step):
        assert answer.pushed == pushed
        patient = ask(*findings, **changes)
        assert isinstance(patient, Step) if not pushed else isinstance(patient, Stop) and patient.waits
    else:
        assert not answer.waits and answer.as_dict()["waits"] is False


def test_an_interrupted_attempt_is_insisted_on_too() -> None:
    reserved = tried(LOST, "reboot", 1300, outcome="pending", acted=False)
    others = {"events": (event("linode_reboot", 1310),), "boot_time": NOW - 90000}
    assert rung_of(ask(LOST, attempts=(reserved,), policy=PATIENT, **others)) == "cooldown"
    answer = ask(LOST, attempts=(reserved,), policy=Policy(patience=2.0, now=True), **others)
    assert isinstance(answer, Step) and (answer.resume, answer.pushed) == (
        reserved.id,
        "Somebody else acted: linode_reboot by bob.",
    )


@pytest.mark.parametrize(
    ("what", "looks", "policy", "expected"),
    [
        ("vm.ssh", (90, 180), STANDARD, "reboot"),
        ("vm.ssh", (90, 179), STANDARD, ("confirm", 90)),
        ("vm.ssh", (180,), STANDARD, ("confirm", 90)),
        ("vm.ssh", (90, 180), PATIENT, ("confirm", 180)),
        ("vm.ssh", (180, 360), PATIENT, "reboot"),
        ("vllm.gen", (30,), STANDARD, "restart_container"),
        ("vllm.gen", (29,), STANDARD, ("confirm", 30)),
        ("gpu.lost", (), STANDARD, ("confirm", 1)),
        ("gpu.lost", (900,), STANDARD, "reboot"),
        ("gpu.lost", (901,), STANDARD, ("confirm", 1)),
    ],
)
def test_how_often_and_how_long_a_failure_is_seen_before_it_counts(
    what: str, looks: tuple[int, ...], policy: Policy, expected: str | tuple[str, int]
) -> None:
    seen = finding(what)
    for order in (looks, looks[::-1]):
        earlier = tuple(Observation(NOW - ago, (seen,)) for ago in order)
        assert told(next_step([seen], Record(), world(earlier=earlier), policy, NOW)) == expected
    # Only as a failure, and only this one.
    for other in (replace(seen, severity="warn"), replace(seen, subject="gpu:other")):
        earlier = tuple(Observation(NOW - ago, (other,)) for ago in looks)
        assert rung_of(next_step([seen], Record(), world(earlier=earlier), policy, NOW)) == "confirm"


def test_a_check_that_is_not_known_here_is_seen_twice() -> None:
    assert told(next_step([UNHEARD], Record(), world(), STANDARD, NOW)) == ("confirm", 30)
    assert rung_of(ask(UNHEARD)) == "restart_container"


@pytest.mark.parametrize(("user", "said"), [("bob", "linode_reboot by bob."), (None, "linode_reboot.")])
def test_who_else_acted_is_said(user: str | None, said: str) -> None:
    answer = ask(LOST, events=(event("linode_reboot", 300, user=user),))
    assert isinstance(answer, Stop) and answer.message.endswith(f": {said}")


@pytest.mark.parametrize("cap", ["off", "alert"])
def test_what_is_never_healed_need_not_be_seen_twice(cap: str) -> None:
    answer = next_step([MUTE], Record(), world(), Policy(cap=cap), NOW)
    assert isinstance(answer, Stop) and (answer.reason, answer.trips) == ("policy", False)
    assert f"switched off ({cap})" in answer.message


def test_a_witness_that_only_warns_confirms_nothing() -> None:
    quiet = replace(MUTE, severity="warn")
    assert rung_of(next_step([DEAD, quiet], Record(), world(), Policy(), NOW)) == "confirm"
    assert rung_of(next_step([DEAD, finding("gpu.temp")], Record(), world(), Policy(), NOW)) == "confirm"


@pytest.mark.parametrize(
    ("ago", "expected"), [(706, "cooldown"), (705, "recreate_vm"), (100, "recreate_vm"), (99, "cooldown")]
)
def test_which_events_our_own_reboot_explains(ago: int, expected: str) -> None:
    ours = tried(LOST, "reboot", 700)
    assert rung_of(ask(LOST, attempts=(ours,), events=(event("linode_reboot", ago),))) == expected
    # What is done inside the VM explains none.
    inside = tried(LOST, "restart_container", 700)
    assert rung_of(ask(LOST, attempts=(inside,), events=(event("linode_reboot", 700),))) == "cooldown"


@pytest.mark.parametrize(
    ("changes", "done"),
    [
        ({}, False),
        ({"boot_time": NOW - 1300}, False),
        ({"boot_time": NOW - 1299}, True),
        ({"events": (event("linode_reboot", 1301),)}, True),
        ({"events": (event("linode_reboot", 1302),)}, False),
        ({"events": (event("linode_shutdown", 1290),)}, False),
        ({"events": (event("linode_boot", 1290),)}, True),
        ({"events": (event("linode_snapshot", 1290),)}, False),
    ],
)
def test_whether_a_power_cycle_that_was_reserved_was_made(changes: dict[str, Any], done: bool) -> None:
    gone = finding("vm.ssh")
    before = tried(gone, "reboot", 9000)
    reserved = tried(gone, "power_cycle", 1300, outcome="pending", acted=False, number=2)
    seen = (Observation(NOW - 90, (gone,)), Observation(NOW - 200, (gone,)))
    answer = next_step([gone], Record((before, reserved)), world(earlier=seen, **changes), STANDARD, NOW)
    assert isinstance(answer, Step)
    assert (answer.rung, answer.resume) == (("recreate_vm", None) if done else ("power_cycle", reserved.id))


def test_a_reboot_that_shut_down_was_made() -> None:
    reserved = tried(LOST, "reboot", 1300, outcome="pending", acted=False)
    assert rung_of(ask(LOST, attempts=(reserved,), events=(event("linode_shutdown", 1290),))) == "recreate_vm"


@pytest.mark.parametrize(("created", "expected"), [(2000, "needs_human"), (2001, "recreate_vm"), (None, "recreate_vm")])
def test_whether_a_replacement_that_was_reserved_was_made(created: int | None, expected: str) -> None:
    at = None if created is None else NOW - created
    assert rung_of(ask(SRAM, attempts=(begun(2000),), created=at, boot_time=NOW - 1900)) == expected


def test_events_that_cannot_be_read_are_no_reason_to_give_up() -> None:
    before = (tried(MUTE, "restart_container", 9000), tried(MUTE, "recreate_container", 6000))
    last = tried(MUTE, "reboot", 1300, outcome="pending", acted=False)
    assert told(ask(MUTE, attempts=(*before, last), events=None)) == ("blind", 300)
    booted = ask(MUTE, attempts=(*before, last), events=None, boot_time=NOW - 1250)
    assert isinstance(booted, Stop) and booted.reason == "needs_human"


def test_what_an_interrupted_attempt_was_to_do_is_done() -> None:
    change = {"flag": "max-num-seqs", "old": None, "new": 32}
    reserved = tried(OOM, "change_parameters", 600, outcome="pending", acted=False, change=change, number=3)
    answer = ask(OOM, attempts=(reserved,), suggested={"max-num-seqs": 32})
    assert isinstance(answer, Step) and answer.change is not None
    assert (answer.change.as_dict(), answer.number, answer.resume) == (change, 3, reserved.id)
    assert answer.scope == "guest" and answer.as_dict()["scope"] == "guest"
    assert (
        rung_of(ask(OOM, attempts=(replace(reserved, resumed=1),), suggested={"max-num-seqs": 32}))
        == "change_parameters"
    )
    assert rung_of(ask(OOM, attempts=(reserved,), suggested=CONTEXT, reachable=False)) == "blind"
    # A boot in the meantime shows nothing of what was to be done inside.
    booted = ask(OOM, attempts=(reserved,), suggested={"max-num-seqs": 32}, boot_time=NOW - 500)
    assert isinstance(booted, Step) and booted.resume == reserved.id
    # Of another trouble it is none of this one's.
    others = tried(LOST, "restart_container", 600, outcome="pending", acted=False)
    answer = ask(DEAD, MUTE, attempts=(others,))
    assert isinstance(answer, Step) and answer.resume is None
    # What the policy no longer allows is not resumed either.
    reboot = tried(LOST, "reboot", 1300, outcome="pending", acted=False)
    assert rung_of(ask(LOST, attempts=(reboot,), policy=Policy(cap="container"))) == "policy"
    assert rung_of(ask(LOST, attempts=(reboot,), events=None)) == "blind"


def test_a_step_says_what_was_tried_before() -> None:
    first = ask(LOST, suggested=CONTEXT)
    assert isinstance(first, Step)
    assert (first.reason, first.number, first.when, first.fingerprint) == (LOST.summary, 1, NOW, LOST.fingerprint)
    assert first.change is None  # which belongs to a rung of its own
    assert first.scope == "api" and first.as_dict()["rung"] == "reboot" and first.as_dict()["scope"] == "api"
    again = ask(LOST, attempts=(tried(LOST, "reboot", 3600),))
    assert isinstance(again, Step)
    assert (again.reason, again.number) == (f"{LOST.summary} reboot did not last.", 2)


def test_a_stop_as_data() -> None:
    stopped = ask(LOST, boot_time=NOW - 300)
    assert isinstance(stopped, Stop)
    data = stopped.as_dict()
    assert (data["reason"], data["until"], data["needs_person"]) == ("cooldown", NOW + 900, False)
    assert data["fingerprint"] == LOST.fingerprint
    assert ask(LOST, policy=Policy(cap="off")).as_dict()["needs_person"] is True


@pytest.mark.parametrize(
    ("cap", "expected"),
    [
        ("restart_container", ["restart_container", "policy", "policy"]),
        ("recreate_container", ["restart_container", "recreate_container", "policy"]),
        ("reset_gpu", ["restart_container", "recreate_container", "policy"]),
        ("reboot", ["restart_container", "recreate_container", "reboot"]),
    ],
)
def test_a_policy_may_name_the_highest_rung(cap: str, expected: list[str]) -> None:
    attempts: list[Attempt] = []
    found = []
    for rung in ("restart_container", "recreate_container", "reboot"):
        found.append(rung_of(ask(MUTE, attempts=tuple(attempts), policy=Policy(cap=cap))))
        attempts.append(tried(MUTE, rung, 7200 - 600 * len(attempts)))
    assert found == expected


UNHEARD = Finding("new.check", "fail", "vm", "A later version's check fails.", ladder=("restart_container",))


@pytest.mark.parametrize(
    ("fails", "root"),
    [
        ((), None),
        ((finding("gpu.temp"),), None),
        # Of one level what asks for most, then the catalogue's order.
        ((finding("gpu.persist"), LOST), LOST),
        ((LOST, finding("drv.mismatch")), finding("drv.mismatch")),
        ((finding("gpu.xid"), finding("gpu.ecc.unc")), finding("gpu.ecc.unc")),
        # Of two levels the lower one, even if it asks for less.
        ((finding("gpu.xid"), finding("ctr.gpu")), finding("gpu.xid")),
        # A cause that only a person can remove explains the engine's trouble, not that of the card.
        ((finding("gpu.temp", cause="fan"), LOST), LOST),
        (
            (finding("vm.mem", cause="leak", ladder=("alert",)), DEAD),
            finding("vm.mem", cause="leak", ladder=("alert",)),
        ),
        ((finding("vm.mem", ladder=("alert",)), DEAD), DEAD),
        # What no level knows comes last.
        ((UNHEARD,), UNHEARD),
        ((UNHEARD, finding("vllm.model")), finding("vllm.model")),
    ],
)
def test_the_failure_that_explains_the_others(fails: tuple[Finding, ...], root: Finding | None) -> None:
    assert root_of(fails) == root_of(fails[::-1]) == root


def test_what_nobody_can_heal_is_told_in_the_catalogues_order() -> None:
    for fails in ((finding("gpu.temp"), finding("vm.disk")), (finding("vm.disk"), finding("gpu.temp"))):
        answer = ask(*fails)
        assert isinstance(answer, Stop)
        assert (answer.reason, answer.message, answer.fingerprint) == (
            "needs_human",
            finding("vm.disk").summary,
            finding("vm.disk").fingerprint,
        )


def test_of_several_warnings_what_asks_for_most_goes_first() -> None:
    persist = finding("gpu.persist", "warn", ladder=("restart_services",))
    assert rung_of(ask(persist)) == "restart_services"
    assert rung_of(ask(persist, REMAP)) == rung_of(ask(REMAP, persist)) == "reboot"


def test_only_a_replacement_whose_vm_exists_is_finished_first() -> None:
    assert rung_of(ask(DEAD, MUTE, attempts=(begun(2000),))) == "restart_container"
    reboot = tried(LOST, "reboot", 1300, outcome="pending", acted=False)
    assert rung_of(ask(SERVES, attempts=(reboot,), successor="lc-demo-2")) == "nothing"
    once = ask(SERVES, attempts=(begun(9000, resumed=1),), successor="lc-demo-2")
    assert isinstance(once, Step) and once.resume
