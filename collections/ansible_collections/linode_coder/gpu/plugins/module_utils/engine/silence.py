# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What vLLM's log does not say: tokens that do not come while requests run, and GPUs that never connect."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone

from ..core.bounded import newest, short_lines
from ..core.docker_time import parse_docker_time

# vLLM says every ten seconds while it is in use: Engine 000: Avg prompt throughput: 0.0 tokens/s, ... Running: 1 reqs, ...
_USE = re.compile(
    r"(?P<time>\d\d-\d\d \d\d:\d\d:\d\d)[^\n]{0,120}?Avg prompt throughput: (?P<prompt>[\d.]{1,12}) tokens/s, "
    r"Avg generation throughput: (?P<tokens>[\d.]{1,12}) tokens/s, [^\n]{0,80}?Running: (?P<running>\d{1,9}) reqs?, "
    r"[^\n]{0,40}?(?:Waiting|Pending): (?P<waiting>\d{1,9})"
)
_BEGIN = re.compile(r"non-default args: |Application startup complete")
_STAMP = re.compile(r"^(\S{20,35}) |(?:INFO|WARNING|ERROR|DEBUG) (\d\d-\d\d \d\d:\d\d:\d\d) ", re.MULTILINE)
_SEVERAL = re.compile(r"world_size=(?!1 )\d{1,6} rank=\d{1,6} ")
_CONNECTED = re.compile(
    r"attention backend|Starting to load model|Loading model from scratch|EngineCore failed to start|Traceback"
)
# Said again and again by who waits.
_WAITING = re.compile(r"^[^\n]*No available shared memory broadcast block found[^\n]*$", re.MULTILINE)
_LONGEST = 600_000
_DAY_S = 86_400.0


@dataclass(frozen=True)
class FlatTail:
    """The end of a log in which requests run and no token comes: how many, for how long, and when it was said last."""

    running: int
    waiting: int
    seconds: float
    at: float


def _moment(text: str, now: float | None) -> float | None:
    """Seconds since the epoch of vLLM's time, which has no year and is in UTC in its image; ``now`` tells the year."""
    near = datetime.fromtimestamp(now if now is not None and 0 <= now < 4e9 else 0, timezone.utc)
    try:
        moment = datetime.strptime(f"{near.year}-{text} +0000", "%Y-%m-%d %H:%M:%S %z").timestamp()
    except ValueError:
        return None
    # The last days of December are said to be of the year that has just begun.
    return moment - 365 * _DAY_S if now is not None and moment - now > 180 * _DAY_S else moment


def flat_tail(log: str, now: float | None) -> FlatTail | None:
    """Requests that run without a token at the end of a log; None where tokens came last, or nothing ran."""
    text = short_lines(newest(log, _LONGEST))
    begins = [match.end() for match in _BEGIN.finditer(text)]
    said = list(_USE.finditer(text, begins[-1] if begins else 0))
    first = last = None
    for line in reversed(said):
        if (
            int(line["running"]) + int(line["waiting"]) == 0
            or float_of(line["prompt"]) != 0.0
            or float_of(line["tokens"]) != 0.0
        ):
            break
        first, last = line, last or line
    if first is None or last is None:
        return None
    begin, end = _moment(first["time"], now), _moment(last["time"], now)
    if begin is None or end is None or not 0 <= end - begin < _DAY_S:
        return None
    return FlatTail(int(last["running"]), int(last["waiting"]), end - begin, end)


def float_of(text: str) -> float | None:
    """None for what only looks like a number."""
    try:
        return float(text)
    except ValueError:
        return None


def connecting_since(log: str, now: float | None) -> float | None:
    """When an engine on several GPUs last said something while it connected them; None when it is not, or no longer, at that."""
    text = _WAITING.sub("", short_lines(newest(log, _LONGEST)))
    begins = [match.start() for match in _BEGIN.finditer(text)]
    run = text[begins[-1] :] if begins else text
    ranks = list(_SEVERAL.finditer(run))
    if not ranks or _CONNECTED.search(run, ranks[-1].end()):
        return None
    stamps = list(_STAMP.finditer(run))
    for stamp in reversed(stamps):
        moment = parse_docker_time(stamp[1]) if stamp[1] else _moment(stamp[2], now)
        if moment is not None:
            return moment if now is None or moment <= now else None
    return None
