# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations as people write them: 8h, 90m, 2h30m, 1d, 45s."""

from __future__ import annotations

import re

from .failure import Failure

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?", re.ASCII)


def parse_duration(text: str, field: str) -> int:
    """Seconds in ``text``; Failure(usage) names ``field`` when it is not a duration."""
    compact = str(text).strip().lower().replace(" ", "")
    match = _DURATION.fullmatch(compact)
    if not compact or match is None:
        raise Failure(
            "usage",
            f"{field} {text!r} is not a duration.",
            remedy="Write it with units, for example 8h, 90m, 2h30m or 1d.",
            field=field,
            value=text,
        )
    return sum(int(number) * _UNITS[unit] for number, unit in zip(match.groups(), "dhms", strict=True) if number)


def format_duration(seconds: float) -> str:
    """``seconds`` in at most two units: '45 s', '12 min', '2 h 30 min', '3 d 4 h'."""
    left = max(0, int(seconds))
    if left < 60:
        return f"{left} s"
    parts = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
        if len(parts) == 2:
            break
    return " ".join(parts)
