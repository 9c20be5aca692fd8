# SPDX-License-Identifier: GPL-3.0-or-later
"""The pace of waiting for capacity, and what ends it."""

from __future__ import annotations

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.waiting import (
    JITTER,
    LONGEST_PAUSE_S,
    next_pause,
    rounds_until,
    still_priced,
    wait_s,
)


def test_nothing_is_waited_for_unless_it_is_said() -> None:
    assert [wait_s(text) for text in (None, "", "off", "2h", "1m", "7d")] == [None, None, None, 7200, 60, 604800]


@pytest.mark.parametrize("text", ["30s", "8d", "soon", "0", "-1h"])
def test_what_is_no_time_to_wait_is_refused(text: str) -> None:
    with pytest.raises(Failure) as refused:
        wait_s(text)
    assert refused.value.kind == "usage" and refused.value.field == "wait_for_capacity"


def test_pauses_grow_to_the_longest_and_differ_by_chance() -> None:
    middle = [next_pause(rounds, 1e9, 0.5) or 0 for rounds in range(1, 40)]
    assert middle == sorted(middle) and middle[0] == 30 and middle[-1] == LONGEST_PAUSE_S
    assert next_pause(40, 1e9, 0.0) == pytest.approx(LONGEST_PAUSE_S * (1 - JITTER))
    assert next_pause(40, 1e9, 1.0) == pytest.approx(LONGEST_PAUSE_S * (1 + JITTER))
    assert next_pause(10**6, 1e9, 0.5) == LONGEST_PAUSE_S


def test_the_last_round_is_at_the_end() -> None:
    now, pauses = [0.0], []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds

    again = rounds_until(7200, lambda: now[0], sleep, lambda: 0.5)
    rounds = 0
    while again():
        rounds += 1
    assert now[0] == 7200 and rounds == len(pauses) < 40


OFFERS = [
    {"plan": "p", "region": "us-ord", "hourly": 0.52},
    {"plan": "p", "region": "id-cgk", "hourly": 0.624},
    {"plan": "q", "region": "us-ord", "hourly": 1.0},
]


def test_only_what_costs_no_more_than_was_shown_is_taken() -> None:
    types = [{"id": "p", "price": {"hourly": 0.52}, "region_prices": [{"id": "id-cgk", "hourly": 0.7}]}]
    assert still_priced(OFFERS, types) == OFFERS[:1]
    with pytest.raises(Failure, match="costs more now") as refused:
        still_priced(OFFERS, [{"id": "p", "price": {"hourly": 2.0}, "region_prices": []}])
    assert refused.value.kind == "refused"
