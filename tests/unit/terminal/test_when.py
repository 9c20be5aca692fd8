# SPDX-License-Identifier: GPL-3.0-or-later
"""People read the time on their own clock, and which clock that is."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from linode_coder.terminal.when import ago, when

NOON = 1_799_928_000  # 2027-01-14T12:00:00Z


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("moment", "shown"),
    [
        ("2027-01-14T13:05:00Z", "14:05 CET"),
        ("2027-01-14T22:59:00Z", "23:59 CET"),
        ("2027-01-14T23:00:00Z", "15 Jan 00:00 CET"),
        ("2027-07-01T10:00:00Z", "1 Jul 12:00 CEST"),
        ("2026-12-31T23:30:00Z", "1 Jan 00:30 CET"),
        ("2026-12-31T22:30:00Z", "31 Dec 2026 23:30 CET"),
        (NOON, "13:00 CET"),
        (None, "unknown"),
        ("no time", "no time"),
        (10**30, str(10**30)),
    ],
)
def test_local_with_its_zone_and_its_date_unless_today(moment: str | int | None, shown: str) -> None:
    assert when(moment, NOON) == shown


def test_the_zone_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    assert when(NOON, NOON) == "12:00 UTC"


def test_how_old_a_value_is() -> None:
    assert ago(NOON - 300, NOON) == "as of 5 min ago"
    assert ago("2027-01-14T12:00:00Z", NOON + 9) == ""
