# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations, leases and money."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import (
    cost,
    format_time,
    paid_until,
    parse_time,
    started_hours,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.duration import format_duration, parse_duration
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.lease import (
    Lease,
    extended,
    new_lease,
    parse_idle,
    parse_until,
    paused_until,
)
from hypothesis import given
from hypothesis import strategies as st

TIMES = st.integers(min_value=0, max_value=4_000_000_000)


@given(
    st.integers(min_value=0, max_value=9),
    st.integers(min_value=0, max_value=99),
    st.integers(min_value=0, max_value=99),
    st.integers(min_value=0, max_value=99),
)
def test_durations_add_up(days: int, hours: int, minutes: int, seconds: int) -> None:
    text = f"{days}d{hours}h{minutes}m{seconds}s"
    assert parse_duration(text, "lease") == days * 86400 + hours * 3600 + minutes * 60 + seconds


@pytest.mark.parametrize("text", ["", "h", "8", "-1h", "1h1h", "8x", "1.5h", "٣h"])
def test_other_texts_are_no_durations(text: str) -> None:
    with pytest.raises(Failure) as caught:
        parse_duration(text, "lease")
    assert (caught.value.kind, caught.value.field, caught.value.value) == ("usage", "lease", text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (9000, "2 h 30 min"), (86400, "1 d"), (270000, "3 d 3 h"), (3601, "1 h")],
)
def test_durations_are_shown_in_two_units(seconds: int, text: str) -> None:
    assert format_duration(seconds) == text


@given(TIMES)
def test_times_survive(seconds: int) -> None:
    assert parse_time(format_time(seconds)) == parse_time(format_time(seconds).rstrip("Z")) == seconds


@given(TIMES, st.integers(min_value=0, max_value=10**7))
def test_started_hours_are_paid_in_full(created: int, lived: int) -> None:
    hours = started_hours(created, created + lived)
    assert hours >= 1
    assert (hours - 1) * 3600 <= lived <= hours * 3600
    assert paid_until(created, created + lived) == created + hours * 3600


@given(TIMES, st.integers(min_value=1, max_value=10**6), st.floats(min_value=0.001, max_value=100))
def test_cost_is_hours_times_price(created: int, lived: int, hourly: float) -> None:
    assert cost(created, created + lived, hourly) == pytest.approx(math.ceil(lived / 3600) * hourly, abs=1e-3)


@pytest.mark.parametrize(("lived", "hours"), [(-5, 1), (0, 1), (1, 1), (3600, 1), (3601, 2), (7200, 2)])
def test_which_hours_have_started(lived: int, hours: int) -> None:
    assert started_hours(1000, 1000 + lived) == hours
    assert paid_until(1000, 1000 + lived) == 1000 + hours * 3600
    assert cost(1000, 1000 + lived, 0.123456) == round(hours * 0.123456, 4)


@pytest.mark.parametrize("hourly", [None, 0, 0.0])
def test_an_unknown_price_is_not_free(hourly: float | None) -> None:
    assert cost(0, 3600, hourly) is None


def test_leases_have_bounds() -> None:
    assert new_lease(1000, None, None) == (1000 + 8 * 3600, 1000 + 24 * 3600)
    assert new_lease(0, "24h", "1d").end == 86400
    for lease in ("0h", "5m", "25h", "-1h"):
        with pytest.raises(Failure) as caught:
            new_lease(0, lease, "24h")
        assert caught.value.exit_code == 2


def test_the_shortest_lease_and_idle_limit() -> None:
    assert new_lease(0, "10m", None).end == 600
    assert parse_idle("10m") == parse_idle("600s") == parse_idle("659s") == 10
    with pytest.raises(Failure, match="too short"):
        new_lease(0, "599s", None)
    with pytest.raises(Failure, match="too short"):
        parse_idle("599s")


def test_idle_off_zero_and_unset_are_three_things() -> None:
    assert parse_idle("off") is None
    assert parse_idle(None) == parse_idle("") == 45
    assert parse_idle("90m") == 90
    assert parse_idle("False") is None  # what YAML makes of off
    for text in ("0", "0m", "9m", "0h"):
        with pytest.raises(Failure) as caught:
            parse_idle(text)
        assert (caught.value.kind, caught.value.field) == ("usage", "idle") and "'off'" in str(caught.value.remedy)


def test_a_lease_off_zero_and_unset_are_three_things() -> None:
    assert new_lease(0, None, "") == new_lease(0, "", None) == (8 * 3600, 24 * 3600)
    for text in ("off", "False", "never", "0"):
        for asked in ({"lease": text, "cap": None}, {"lease": None, "cap": text}):
            with pytest.raises(Failure) as caught:
                new_lease(0, **asked)
            assert caught.value.kind == "usage" and "every session ends" in caught.value.message
    for text in ("0h", "0m"):
        with pytest.raises(Failure):
            new_lease(0, text, None)


NOON = 1_800_014_400  # 2027-01-15T12:00:00Z
CET = timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("18:30", "2027-01-15T17:30:00Z"),
        ("09:00", "2027-01-16T08:00:00Z"),  # over today
        ("13:00", "2027-01-16T12:00:00Z"),  # now is over as well
        ("2027-01-15T18:30Z", "2027-01-15T18:30:00Z"),
        ("2027-01-15 18:30", "2027-01-15T17:30:00Z"),
        ("2027-01-15T18:30+05:00", "2027-01-15T13:30:00Z"),
    ],
)
def test_times_as_people_write_them(text: str, expected: str) -> None:
    assert format_time(parse_until(text, NOON, CET)) == expected


def test_a_clock_time_is_the_next_one_of_its_minute() -> None:
    day = 24 * 3600
    assert parse_until("13:01", NOON + 59, CET) == NOON + 60
    assert parse_until("13:01", NOON + 60, CET) == NOON + 60 + day
    assert parse_until("13:00", NOON + 1, CET) == NOON + day


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("text", "now", "expected"),
    [
        ("18:30", "2026-10-24T15:00:00Z", "2026-10-24T16:30:00Z"),
        ("18:30", "2026-10-24T18:00:00Z", "2026-10-25T17:30:00Z"),  # summer time ends in the night between
        ("18:30", "2026-10-24T23:30:00Z", "2026-10-25T17:30:00Z"),
        ("18:30", "2027-03-27T18:00:00Z", "2027-03-28T16:30:00Z"),
        ("2026-12-24T18:30", "2026-10-24T18:00:00Z", "2026-12-24T17:30:00Z"),
        ("2026-12-24T18:30Z", "2026-10-24T18:00:00Z", "2026-12-24T18:30:00Z"),
    ],
)
@pytest.mark.usefixtures("in_berlin")
def test_a_time_is_what_the_clock_on_this_machines_wall_will_show(text: str, now: str, expected: str) -> None:
    assert format_time(parse_until(text, parse_time(now))) == expected


def test_times_of_this_machine() -> None:
    local = datetime.fromtimestamp(NOON + 7200).astimezone()
    assert (
        parse_until(local.strftime("%Y-%m-%dT%H:%M"), NOON) == parse_until(local.strftime("%H:%M"), NOON) == NOON + 7200
    )


@pytest.mark.parametrize("text", ["", "soon", "25:00", "12:60", "2027-01-15", "2027-13-01T00:00", "9999999999"])
def test_other_texts_are_no_times(text: str) -> None:
    with pytest.raises(Failure) as caught:
        parse_until(text, NOON, CET)
    assert (caught.value.kind, caught.value.field) == ("usage", "until")


LEASE = Lease(NOON + 3600, NOON + 6 * 3600)


def test_a_lease_is_extended_from_its_end_and_never_shortened() -> None:
    assert extended(LEASE, NOON, "2h", None) == NOON + 3 * 3600
    assert extended(LEASE, NOON + 4 * 3600, "2h", None) == NOON + 6 * 3600  # it was over
    assert extended(LEASE, NOON, None, "2027-01-15T15:00Z") == NOON + 3 * 3600
    once = LEASE._replace(end=NOON + 3 * 3600)
    assert extended(once, NOON, None, "2027-01-15T15:00Z") == NOON + 3 * 3600
    assert extended(once, NOON, None, "2027-01-15T12:30Z") == NOON + 3 * 3600


@pytest.mark.parametrize(
    ("by", "until", "kind", "field"),
    [
        ("6h", None, "refused", "extend"),
        (None, "2027-01-15T18:01Z", "refused", "until"),
        (None, "2027-01-15T11:00Z", "usage", "until"),
        ("x", None, "usage", "extend"),
        (None, None, "usage", "extend"),
        ("1h", "18:00", "usage", "extend"),
    ],
)
def test_what_a_lease_cannot_be(by: str | None, until: str | None, kind: str, field: str) -> None:
    with pytest.raises(Failure) as caught:
        extended(LEASE, NOON, by, until, UTC)
    assert (caught.value.kind, caught.value.field) == (kind, field)
    assert caught.value.remedy


def test_the_exact_limits_of_an_extension() -> None:
    assert extended(LEASE, NOON, "5h", None) == LEASE.cap
    assert extended(LEASE, NOON, None, "2027-01-15T18:00Z") == LEASE.cap
    with pytest.raises(Failure, match="beyond its hard cap"):
        extended(LEASE, NOON, "5h1s", None)
    with pytest.raises(Failure, match="is over"):
        extended(LEASE, NOON, None, "2027-01-15T12:00:00Z")
    assert extended(LEASE, NOON, None, "2027-01-15T12:00:01Z") == LEASE.end


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (NOON, "by at most 5 h,"),
        (NOON + 2 * 3600, "by at most 4 h,"),
        (NOON + 6 * 3600 - 1, "by at most 1 s,"),
        (NOON + 6 * 3600, "cannot be extended any more"),
    ],
)
def test_how_much_longer_a_lease_can_be_is_said(now: int, said: str) -> None:
    with pytest.raises(Failure) as caught:
        extended(LEASE, now, "9h", None)
    assert said in str(caught.value.remedy)


def test_a_pause_ends_with_the_session_at_the_latest() -> None:
    assert paused_until(NOON, "60s", NOON + 600) == NOON + 60
    assert paused_until(NOON, "2h", NOON + 600) == NOON + 600
    with pytest.raises(Failure, match="is too short"):
        paused_until(NOON, "59s", NOON + 600)
