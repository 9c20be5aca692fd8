# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the document of a performance run, of which any part may be missing or be something else than it should."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from ..core.visible import one_line

# Beyond them a figure is none, and what is made of two of them is finite.
_LEAST, _MOST = 1e-9, 1e15


def signed(value: Any) -> float | None:
    """A number that can be one of a run."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) and abs(found) <= _MOST else None


def number(value: Any) -> float | None:
    """One that is not negative."""
    found = signed(value)
    return found if found is not None and found >= 0 else None


def positive(value: Any) -> float | None:
    found = number(value)
    return found if found is not None and found >= _LEAST else None


def mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def mappings(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def words(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def text(value: Any, most: int = 120) -> str:
    """A text from outside, short and on one line; nothing where it is none."""
    found = one_line(value[: 4 * most]) if isinstance(value, str) else ""
    return found if len(found) <= most else found[: most - 3] + "..."


def median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def levels(run: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """The levels by their streams at once, lowest first. The first of two that say the same counts."""
    found: dict[int, dict[str, Any]] = {}
    for level in mappings(run.get("levels")):
        count = positive(level.get("concurrency"))
        if count is not None and count >= 1:
            found.setdefault(int(count), level)
    return dict(sorted(found.items()))


def percentile(level: dict[str, Any], figure: str, which: str = "p50") -> float | None:
    """Seconds. ``figure`` is ttft, itl or e2e."""
    return number(mapping(level.get(figure)).get(which))


def answer_tokens(run: dict[str, Any]) -> int | None:
    """Tokens of each answer, as the lowest level has them that was answered: a run asks for as many in all of them."""
    for level in levels(run).values():
        good = (number(level.get("requests")) or 0.0) - (number(level.get("failed")) or 0.0)
        tokens = positive(level.get("output_tokens"))
        if tokens is not None and good >= 1:
            return round(tokens / good)
    return None


def spread(level: dict[str, Any], figure: str) -> float | None:
    """By which share a figure may differ without a reason: how far the p90 of the times it is made of is from their p50."""
    kind = figure.partition("_")[0]
    source = kind if kind in ("ttft", "itl", "e2e") else "itl" if figure == "stream_tps" else "e2e"
    middle, high = positive(percentile(level, source, "p50")), percentile(level, source, "p90")
    return None if middle is None or high is None else max(0.0, high - middle) / middle


def stream_tps(level: dict[str, Any]) -> float | None:
    """Tokens per second of one stream while it generates."""
    said = positive(level.get("stream_tps"))
    if said is not None:
        return said
    gap = positive(mapping(level.get("itl")).get("p50"))
    return 1 / gap if gap else None


def flag(run: dict[str, Any], name: str) -> float | None:
    """The number that a flag of the engine has, whichever way its name is written."""
    flags = mapping(run.get("flags"))
    for spelling in (name, name.replace("-", "_")):
        value = flags.get(spelling)
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                value = None
        if number(value) is not None:
            return number(value)
    return None


def count(much: float, one: str, many: str | None = None) -> str:
    return f"{much:.0f} {one if round(much) == 1 else many or one + 's'}"


def listed(names: Sequence[str]) -> str:
    """``a, b and c``."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
