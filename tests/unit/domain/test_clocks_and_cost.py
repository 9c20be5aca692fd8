# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations, leases and money."""

from __future__ import annotations

import math

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.cost import (
    cost,
    format_time,
    paid_until,
    parse_time,
    started_hours,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.duration import format_duration, parse_duration
from ansible_collections.linode_coder.gpu.plugins.module_utils.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.lease import new_lease, parse_idle
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


def test_idle_off_zero_and_unset_are_three_things() -> None:
    assert parse_idle("off") is None
    assert parse_idle(None) == parse_idle("") == 45
    assert parse_idle("90m") == 90
    for text in ("0", "0m", "9m"):
        with pytest.raises(Failure):
            parse_idle(text)
