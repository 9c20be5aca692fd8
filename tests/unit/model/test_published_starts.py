# SPDX-License-Identifier: GPL-3.0-or-later
"""The fit against every published start that was found: none is further off than the page says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.published_starts import STARTS, Errors, Start, errors_of

WORST_PERCENT = 10.0


@pytest.mark.parametrize("start", STARTS, ids=lambda start: f"{start.model} {start.gpus}x{start.card}")
def test_a_published_start_is_met(start: Start) -> None:
    found = errors_of(start)
    assert found.worst() <= WORST_PERCENT, found


def test_the_starts_are_enough_to_judge_by() -> None:
    found = [errors_of(start) for start in STARTS]
    for part in ("weights", "room", "tokens"):
        assert sum(getattr(each, part) is not None for each in found) >= 10, part
    assert all(start.source for start in STARTS)


@pytest.mark.parametrize(
    ("change", "part"),
    [({"loaded_gib": 10.0}, "weights"), ({"room_gib": 0.5}, "room"), ({"held": (40960, 1.0)}, "tokens")],
)
def test_a_start_that_is_not_met_is_seen(change: dict[str, object], part: str) -> None:
    whole = next(start for start in STARTS if start.card == "L40S")
    off = errors_of(replace(whole, **change))  # type: ignore[arg-type]
    assert abs(getattr(off, part)) > WORST_PERCENT


def test_what_was_not_published_is_no_error() -> None:
    assert errors_of(Start("m", "c", 1, "s", files_gb=1.0, loaded_gib=1.0)) == Errors(
        pytest.approx(-6.87, abs=0.01), None, None
    )
