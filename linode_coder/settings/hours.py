"""Hours of a day, as `08:00-20:00`: from when until when something may happen, by the clock of this machine."""

from __future__ import annotations

import re

_HOURS = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9]) ?- ?([01][0-9]|2[0-4]):([0-5][0-9])", re.ASCII)
_DAY = 24 * 60


def parse_hours(text: str) -> tuple[int, int]:
    """Minutes of the day of the first moment and of the first one after it; ValueError for what is none."""
    found = _HOURS.fullmatch(text.strip())
    if found is None:
        raise ValueError(text)
    first, last = (int(found[one]) * 60 + int(found[one + 1]) for one in (1, 3))
    if last > _DAY or first == last:
        raise ValueError(text)
    return first, last


def within(hours: tuple[int, int], minute: int) -> bool:
    """Whether a minute of the day is in them. They may go over midnight."""
    first, last = hours
    return first <= minute < last if first < last else minute >= first or minute < last
