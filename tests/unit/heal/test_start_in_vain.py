# SPDX-License-Identifier: GPL-3.0-or-later
"""A start that fails with the same error as the one before, with a configuration that never served: a person is told once,
and at most one restart is spent on it. What has served before is healed by the ladder."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.failed_start import FailedStart
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal.attempts import (
    Attempt,
    Record,
    attempt_line,
    failure_key,
    line,
    parse,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal.ladder import Policy, Step, Stop, next_step

from tests.unit.heal.cases import NOW, finding, tried, world
from tests.unit.heal.test_gpu_heal import CONFIG, Vm, vm

__all__ = ["vm"]

ERROR = "FrobError: no frob of size 31 at 0x7f31."
AGAIN = "FrobError: no frob of size 977 at 0x7ab1."
ONCE, TWICE = FailedStart(ERROR, False, 1), FailedStart(AGAIN, False, 2)
DEAD = finding("ctr.state", cause="unknown_error", ladder=("restart_container", "recreate_container", "alert"))
MUTE = finding("vllm.health", cause="not_running")
KEY = failure_key("c1", ERROR)


def ask(*attempts: Attempt, failed: FailedStart | None = ONCE, what: Any = DEAD, **more: Any) -> Step | Stop:
    record = more.pop("record", Record(attempts))
    policy = more.pop("policy", Policy())
    here = world(what, MUTE, failed_start=failed, **{"configuration": "c1", **more})
    return next_step((what, MUTE), record, here, policy, NOW)


def restarted(ago: int = 3600, **changes: Any) -> Attempt:
    return tried(DEAD, "restart_container", ago, **{"failure": KEY, **changes})


def test_the_first_end_gets_one_restart_that_remembers_the_error() -> None:
    answer = ask()
    assert isinstance(answer, Step) and (answer.rung, answer.failure) == ("restart_container", KEY)
    assert failure_key("c1", AGAIN) == KEY != failure_key("c2", ERROR)


@pytest.mark.parametrize(
    ("attempts", "failed"), [((restarted(),), ONCE), ((), TWICE)], ids=["after our restart", "after Docker's own"]
)
def test_the_second_end_with_the_same_error_is_told(attempts: tuple[Attempt, ...], failed: FailedStart) -> None:
    answer = ask(*attempts, failed=failed)
    assert isinstance(answer, Stop)
    assert (answer.reason, answer.needs_person, answer.trips, answer.tells) == ("start_error", True, False, True)
    assert failed.error.rstrip(".") in answer.message and "same error" in answer.message
    assert answer.remedy.startswith(DEAD.remedy) and "linode-coder up" in answer.remedy
    assert answer.as_dict()["failure"] == KEY and answer.fingerprint == DEAD.fingerprint
    # Somebody was told, by whichever watcher.
    again = ask(failed=failed, record=Record(attempts, told=frozenset({KEY})))
    assert isinstance(again, Stop) and (again.reason, again.tells) == ("start_error", False)


def test_it_need_not_be_looked_at_again() -> None:
    answer = next_step(
        (DEAD,), Record(), replace(world(), failed_start=TWICE, configuration="c1"), Policy(patience=9.0), NOW
    )
    assert isinstance(answer, Stop) and answer.reason == "start_error"


NOT_REPEATED: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("it has served like this", {"served": True, "failed": TWICE}, "restart_container"),
    ("healing saw it serve", {"record": Record(served=frozenset({"c1"})), "failed": TWICE}, "restart_container"),
    ("another one has served", {"record": Record(served=frozenset({"c2"})), "failed": TWICE}, "start_error"),
    ("what it starts with is not known", {"configuration": "", "failed": TWICE}, "restart_container"),
    ("nothing is known of the start", {"failed": None}, "restart_container"),
    (
        "other words",
        {"failed": FailedStart("FrobError: no frob file", False, 1), "record": Record((restarted(),))},
        "recreate_container",
    ),
    ("another configuration", {"configuration": "c2", "record": Record((restarted(),))}, "recreate_container"),
    ("the restart was not made", {"record": Record((restarted(outcome="cancelled", acted=False),))}, "restart_container"),
    ("a person looked", {"record": Record((restarted(acknowledged=True),), NOW - 60)}, "restart_container"),
    ("days ago", {"record": Record((restarted(200_000),))}, "start_error"),
    ("healing is off", {"failed": TWICE, "policy": Policy("alert")}, "policy"),
    ("the breaker is open", {"failed": TWICE, "record": Record(breaker="It gave up.")}, "needs_human"),
    ("ours is not judged yet", {"record": Record((restarted(10, outcome="pending"),))}, "pending"),
    ("another trouble", {"failed": TWICE, "what": finding("ctr.gpu")}, "recreate_container"),
)  # fmt: skip


@pytest.mark.parametrize(("name", "given", "expected"), NOT_REPEATED, ids=[row[0] for row in NOT_REPEATED])
def test_when_a_start_is_in_vain(name: str, given: dict[str, Any], expected: str) -> None:
    answer = ask(**given)
    assert (answer.rung if isinstance(answer, Step) else answer.reason) == expected
    if isinstance(answer, Step):
        served = given.get("served") or "c1" in given.get("record", Record()).served
        unknown = given.get("failed", ONCE) is None or given.get("configuration") == ""
        none = unknown or served or given.get("what") is not None
        assert (answer.failure == "") is none


KNOWN = replace(TWICE, known=True)


@pytest.mark.parametrize(
    ("ladder", "suggested", "failed", "expected"),
    [
        (("restart_container", "recreate_container", "alert"), None, KNOWN, "start_error"),
        (("restart_container", "reboot"), None, KNOWN, "restart_container"),
        (("recreate_container", "regenerate_cdi", "alert"), None, KNOWN, "recreate_container"),
        (("change_parameters", "alert"), {"max-num-seqs": 32}, KNOWN, "change_parameters"),
        (("restart_container", "change_parameters", "alert"), None, KNOWN, "start_error"),
        (("restart_container", "change_parameters", "alert"), {"max-num-seqs": 32}, KNOWN, "restart_container"),
        # What nobody knows is not rebooted for either.
        (("restart_container", "recreate_container", "reboot"), None, TWICE, "start_error"),
    ],
)
def test_a_cause_that_is_known_may_ask_for_more_than_another_start(
    ladder: tuple[str, ...], suggested: dict[str, Any] | None, failed: FailedStart, expected: str
) -> None:
    answer = ask(failed=failed, what=replace(DEAD, ladder=ladder), suggested=suggested)
    assert (answer.rung if isinstance(answer, Step) else answer.reason) == expected


def test_what_was_interrupted_remembers_the_error_too() -> None:
    answer = ask(restarted(600, outcome="pending", acted=False))
    assert isinstance(answer, Step) and answer.resume and answer.failure == KEY


# -- the record --------------------------------------------------------------------------------------------------------


def test_what_was_told_and_what_served_is_read_back() -> None:
    made = replace(restarted(), acted=False, outcome="pending")
    text = attempt_line(made) + line("told", NOW, failure=KEY, by="ada@laptop")
    text += line("outcome", NOW, id=made.id, outcome="healed", served="c1")
    record = parse(text)
    assert (record.told, record.served, record.attempts[0].failure) == ({KEY}, {"c1"}, KEY)
    # The first judgement counts, and what has served has served; who acknowledges is told again.
    late = line("outcome", NOW, id=made.id, outcome="healed", served="c2")
    after = parse(text + late + line("ack", NOW))
    assert (after.told, after.served) == (frozenset(), {"c1"})


# -- on the VM ---------------------------------------------------------------------------------------------------------

WANTED = {"model": "org/Model-7B", "image": "vllm:1", "flags": {}, "environment": {}}
RUNNING = {"model": "org/Model-7B", "image": "vllm:1", "flags": {"max-model-len": 65536}, "environment": {}}


def remember(vm: Vm, last_good: dict[str, Any] | None) -> None:
    file = vm.record.parent / "engine.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"schema": 1, "wanted": WANTED, "last_good": last_good}))


def seen(error: str = ERROR, times: int = 1) -> dict[str, Any]:
    return {"facts": {"engine": {"failed_start": {"error": error, "known": False, "times": times}}}}


def test_one_restart_and_one_message_whoever_looks(vm: Vm) -> None:
    remember(vm, None)
    first = vm.heal((DEAD, MUTE), health=seen())
    assert first["step"]["rung"] == "restart_container" and first["attempts"][0]["failure"]
    vm.heal((DEAD, MUTE), state="judged", attempt=first["attempt"]["id"], fingerprint=DEAD.fingerprint)
    calls = len(vm.calls())
    # Showing it is not telling it.
    assert vm.heal((DEAD, MUTE), state="planned", health=seen(AGAIN))["stop"]["tells"] is True
    told = [vm.heal((DEAD, MUTE), health=seen(AGAIN), owner=who)["stop"] for who in ("ada@laptop", "cron@other")]
    assert [(one["reason"], one["tells"]) for one in told] == [("start_error", True), ("start_error", False)]
    assert len(vm.calls()) == calls == 1
    assert [row["event"] for row in vm.lines()] == ["attempt", "acted", "outcome", "told"]
    # What a person changes is another configuration, which gets its own restart.
    vm.config.write_text(CONFIG.replace("65536", "8192"))
    assert vm.heal((DEAD, MUTE), health=seen(AGAIN))["step"]["rung"] == "recreate_container"


@pytest.mark.parametrize(("last_good", "expected"), [(RUNNING, "restart_container"), (WANTED, None), (None, None)])
def test_what_served_as_it_is_set_up_now_is_healed(
    vm: Vm, last_good: dict[str, Any] | None, expected: str | None
) -> None:
    remember(vm, last_good)
    answer = vm.heal((DEAD, MUTE), health=seen(times=2))
    assert (answer["step"] or {}).get("rung") == expected
    assert expected or answer["stop"]["reason"] == "start_error"


def test_what_healing_saw_serve_has_served(vm: Vm) -> None:
    remember(vm, None)
    healed = vm.heal((DEAD, MUTE), health=seen())
    given = {"fingerprint": DEAD.fingerprint, "attempt": healed["attempt"]["id"]}
    assert vm.heal((finding("vllm.gen", "pass"),), state="judged", **given)["outcome"] == "healed"
    assert vm.heal((DEAD, MUTE), health=seen(times=2))["step"]["rung"] == "recreate_container"
