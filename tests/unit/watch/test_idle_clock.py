# SPDX-License-Identifier: GPL-3.0-or-later
"""The idle clock: what counts as idle, and that it does not matter who looks and how often."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.watch.idle_clock import (
    HANG_S,
    START_BUDGET_S,
    IdleClock,
    Sample,
    advance,
    settled,
    start_overdue,
)
from hypothesis import given
from hypothesis import strategies as st

BASE = 1_800_000_000


def at(second: float, tokens: int = 1, **more: object) -> Sample:
    given = {"readable": True, "generation_tokens": tokens, "served": True, "process_start": 5.0, **more}
    return Sample("boot", second, BASE + int(second), **given)  # type: ignore[arg-type]


def after(*samples: Sample) -> IdleClock:
    clock = IdleClock()
    for sample in samples:
        clock = advance(clock, sample)
    return clock


def test_it_counts_from_the_last_token() -> None:
    clock = after(at(0, 1), at(60, 1), at(120, 9), at(420, 9))
    assert (clock.idle_s, clock.last_active) == (300, BASE + 120)


def test_boot_download_and_load_are_not_idle_but_have_a_budget() -> None:
    starting = after(at(0, 0, readable=False), at(900, 0, served=False), at(1800, 0, served=False))
    assert (starting.started, starting.idle_s) == (False, 0)
    assert not start_overdue(BASE, BASE + START_BUDGET_S, starting)
    assert start_overdue(BASE, BASE + START_BUDGET_S + 1, starting)
    assert start_overdue(BASE, BASE + START_BUDGET_S + 1, None)
    served = advance(starting, at(2000, 0, served=True))  # a check's token: served, but not used
    assert (served.started, served.idle_s) == (True, 0)
    assert not start_overdue(BASE, BASE + 99999, served)


def test_an_unreadable_engine_freezes_it() -> None:
    clock = after(at(0), at(100), at(200, 0, readable=False), at(5000, 0, readable=False), at(5100), at(5200))
    assert clock.idle_s == 200  # 0-100 and 5100-5200
    crashed = after(at(0), at(100), *(at(second, 0, readable=False) for second in range(200, 9000, 100)))
    assert (crashed.idle_s, crashed.readable) == (100, False)


@pytest.mark.parametrize(
    "sample", [at(200, 0), at(200, 1, process_start=77.0), replace(at(200, 1), boot_id="other", uptime=3.0)]
)
def test_a_restart_is_activity_once(sample: Sample) -> None:
    before = after(at(0), at(100))
    again = advance(before, sample)
    assert (again.idle_s, again.last_active) == (0, sample.at)
    assert advance(again, replace(sample, uptime=sample.uptime + 60, at=sample.at + 60)).idle_s == 60


def test_requests_without_tokens_hold_it_for_a_while_and_then_are_a_hang() -> None:
    waiting = after(at(0), at(100), *(at(second, running=1) for second in range(150, 401, 50)))
    assert (waiting.idle_s, waiting.hung) == (100, False)
    hung = advance(waiting, at(100 + HANG_S + 60, running=1))
    assert (hung.idle_s, hung.hung) == (160, True)
    assert advance(hung, at(1000, 2, running=1)).idle_s == 0
    assert advance(waiting, at(500, waiting=1)).hung


def test_who_samples_late_changes_nothing() -> None:
    clock = after(at(0), at(100))
    assert advance(clock, at(100)) == clock
    assert advance(clock, at(50, 0, readable=False)) == clock
    assert advance(clock, at(100, 0, readable=False)) == clock
    assert advance(clock, at(100.5)).idle_s == 100.5


def test_it_survives_its_file() -> None:
    clock = after(at(0), at(100), at(160, 0, readable=False))
    assert IdleClock.from_dict(clock.as_dict()) == clock
    for broken in (None, [], {}, {"schema": 2}, {**clock.as_dict(), "idle_s": -1}, {**clock.as_dict(), "at": "x"}):
        with pytest.raises(ValueError, match="idle clock"):
            IdleClock.from_dict(broken)


NUMBERED: dict[str, Any] = {
    one.name: at for at, one in enumerate(fields(IdleClock), start=1) if "int" in one.type or "float" in one.type
}
FULL = IdleClock(started=True, readable=True, boot_id="b", **NUMBERED)


@pytest.mark.parametrize("clock", [IdleClock(), FULL, replace(FULL, started=False), replace(FULL, readable=False)])
def test_every_field_survives_the_file(clock: IdleClock) -> None:
    assert IdleClock.from_dict(clock.as_dict()) == clock


@pytest.mark.parametrize(
    "name", ["idle_s", "stuck_s", "uptime", "at", "prompt_tokens", "generation_tokens", "requests"]
)
@pytest.mark.parametrize("value", [-1, -0.5, "1", None, True, []])
def test_what_is_no_number_is_no_clock(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        IdleClock.from_dict({**FULL.as_dict(), name: value})


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("last_active", "x", None),
        ("process_start", "x", None),
        ("process_start", 7.5, 7.5),
        ("boot_id", None, ""),
        ("started", "yes", False),
        ("readable", 1, False),
    ],
)
def test_what_else_is_not_what_it_should_be_is_not_known(name: str, value: object, read: object) -> None:
    assert IdleClock.from_dict({**FULL.as_dict(), name: value}) == replace(FULL, **{name: read})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("more", "idle_s"),
    [
        ({}, 160),
        ({"generation_tokens": 2}, 0),
        ({"prompt_tokens": 1}, 0),
        ({"requests": 1}, 0),
        ({"process_start": None}, 160),  # not known, which is no restart
        ({"process_start": 6.0}, 0),
        ({"readable": False}, 100),
        ({"running": 1}, 100),
        ({"waiting": 1}, 100),
    ],
)
def test_what_is_activity(more: dict[str, object], idle_s: float) -> None:
    assert advance(after(at(0), at(100)), at(160, **{"tokens": 1, **more})).idle_s == idle_s  # type: ignore[arg-type]


def test_a_start_that_was_not_known_stays_comparable() -> None:
    seen = after(at(0), at(100, process_start=None))
    assert seen.process_start == 5.0
    assert advance(seen, at(160)).idle_s == 160
    assert advance(seen, at(160, process_start=6.0)).idle_s == 0
    unknown = after(at(0, process_start=None), at(100, process_start=6.0))
    assert (unknown.idle_s, unknown.process_start) == (100, 6.0)


def test_every_second_of_a_hang_counts_once() -> None:
    clock = after(at(0), at(HANG_S, running=1))
    assert (clock.idle_s, clock.stuck_s, clock.hung) == (0, HANG_S, False)
    clock = advance(clock, at(HANG_S + 50, running=1))
    assert (clock.idle_s, clock.stuck_s, clock.hung) == (50, HANG_S + 50, True)
    clock = advance(clock, at(HANG_S + 70, waiting=1))
    assert (clock.idle_s, clock.stuck_s) == (70, HANG_S + 70)
    unread = advance(clock, at(HANG_S + 100, 0, readable=False))
    assert advance(unread, at(HANG_S + 130, running=1)).stuck_s == HANG_S + 70
    over = advance(clock, at(HANG_S + 80))
    assert (over.idle_s, over.stuck_s, over.hung) == (80, 0, False)
    assert advance(clock, at(HANG_S + 80, 2, running=1)).stuck_s == 0


@pytest.mark.parametrize(
    ("passed", "clock", "healed"),
    [
        (0, IdleClock(started=True), True),
        (START_BUDGET_S, IdleClock(), False),
        (START_BUDGET_S, None, False),
        (START_BUDGET_S + 1, IdleClock(), True),
        (START_BUDGET_S + 1, None, True),
    ],
)
def test_what_fails_is_healed_once_it_has_served_or_should_have(
    passed: int, clock: IdleClock | None, healed: bool
) -> None:
    assert settled(BASE, BASE + passed, clock) is healed


STEPS = st.lists(
    st.tuples(
        st.floats(min_value=1, max_value=4000),  # seconds since the step before
        st.integers(min_value=0, max_value=3),  # tokens produced in between
        st.booleans(),  # readable
        st.booleans(),  # restarted in between
    ),
    max_size=40,
)


@given(STEPS)
def test_idle_time_is_never_more_than_the_time_since_the_last_token(
    steps: list[tuple[float, int, bool, bool]],
) -> None:
    clock, now, tokens, process, last = IdleClock(), 0.0, 1, 1.0, 0.0
    for passed, produced, readable, restarted in steps:
        if restarted:
            tokens, process = 0, process + 1
        tokens += produced
        now += passed
        if produced:
            last = now - passed  # at the earliest
        clock = advance(clock, at(now, tokens, readable=readable, process_start=process))
        assert clock.idle_s >= 0
        if readable:  # before that a token may have been produced that nobody could see
            assert clock.idle_s <= now - last + 1e-6


@given(STEPS, st.data())
def test_more_watchers_and_restarted_ones_agree_with_one(
    steps: list[tuple[float, int, bool, bool]], data: st.DataObject
) -> None:
    """Extra looks by others at moments in which nothing changed leave the clock as it is."""
    one = other = IdleClock()
    now, tokens = 0.0, 1
    for passed, produced, _readable, _restarted in steps:
        # Before the end: at the very moment of the next look the tokens would be there already.
        extra = data.draw(st.lists(st.floats(min_value=0, max_value=passed * 0.99), max_size=3))
        for moment in sorted(extra):
            other = advance(IdleClock.from_dict(other.as_dict()), at(now + moment, tokens))
        now += passed
        tokens += produced
        one = advance(one, at(now, tokens))
        other = advance(other, at(now, tokens))
        # Known to the second, so that within it one may have seen the use earlier.
        if one.last_active == other.last_active:
            assert other.idle_s == pytest.approx(one.idle_s, abs=1)


def test_what_was_counted_is_told_only_while_it_can_be_read() -> None:
    counted = IdleClock(readable=True, prompt_tokens=7, generation_tokens=9, process_start=5.5, at=1800)
    assert counted.use() == {"prompt_tokens": 7, "generation_tokens": 9, "process_start": 5.5, "at": 1800}
    assert IdleClock(prompt_tokens=7, generation_tokens=9, at=1800).use() is None
