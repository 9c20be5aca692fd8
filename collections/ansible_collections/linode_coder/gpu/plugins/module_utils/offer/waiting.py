# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for capacity: how long, at which pace, and what may still be taken when it comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..core.duration import format_duration, parse_duration
from ..core.failure import Failure
from ..linode.gpu_plans import hourly_price

DEFAULT_WAIT = "2h"
MIN_WAIT_S, MAX_WAIT_S = 60, 7 * 86400
# Seconds between two rounds: the first, how much longer each next one is, and the longest. A round asks for every place once.
FIRST_PAUSE_S, GROWTH, LONGEST_PAUSE_S = 30.0, 1.5, 300.0
# What a round deviates from that, so that those who wait for the same do not ask at the same moment.
JITTER = 0.2


def wait_s(text: str | None) -> int | None:
    """Seconds that ``text`` asks to wait for capacity; None for not at all. Failure(usage) for what is no such time."""
    if text in (None, "", "off"):
        return None
    seconds = parse_duration(str(text), "wait_for_capacity")
    if not MIN_WAIT_S <= seconds <= MAX_WAIT_S:
        raise Failure(
            "usage",
            f"wait_for_capacity {text!r} is not between {format_duration(MIN_WAIT_S)} and {format_duration(MAX_WAIT_S)}.",
            remedy=f"Name how long it may take, for example {DEFAULT_WAIT}.",
            field="wait_for_capacity",
            value=text,
        )
    return seconds


def next_pause(rounds: int, left: float, chance: float) -> float | None:
    """Seconds until the next round after so many of them; None when none begins within the seconds that are ``left``.

    ``chance`` is from 0 to 1 and decides on the jitter.
    """
    pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * GROWTH ** min(rounds - 1, 20))
    pause *= 1 - JITTER + 2 * JITTER * chance
    # The last one is at the end.
    return None if left <= 0 else min(pause, left)


def still_priced(offers: Sequence[dict[str, Any]], types: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The offers that cost no more now than what was shown; Failure(refused) when there is none."""
    by_id = {row["id"]: row for row in types}

    def holds(offer: dict[str, Any]) -> bool:
        price = hourly_price(by_id[offer["plan"]], offer["region"]) if offer["plan"] in by_id else None
        return price is not None and price <= offer["hourly"]

    found = [offer for offer in offers if holds(offer)]
    if not found:
        raise Failure(
            "refused",
            "Every place that was tried costs more now than when the wait began.",
            remedy="See the new prices: linode-coder plans. Begin anew to agree to one.",
            field="wait_for_capacity",
        )
    return found


def rounds_until(
    seconds: float, clock: Callable[[], float], sleep: Callable[[float], None], chance: Callable[[], float]
) -> Callable[[], bool]:
    """A function that pauses before the next round and says whether there is one."""
    end, done = clock() + seconds, 0

    def again() -> bool:
        nonlocal done
        done += 1
        pause = next_pause(done, end - clock(), chance())
        if pause is None:
            return False
        sleep(pause)
        return True

    return again
