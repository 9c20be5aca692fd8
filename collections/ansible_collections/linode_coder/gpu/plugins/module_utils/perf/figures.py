# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From streams to the figures of a level. All times are seconds.

TTFT is from the request to the first chunk with output; ITL is (last - first) / (tokens - 1) with the engine's own count of
tokens, since a chunk may hold several; E2E is from the request to the end of the stream; output tokens/s and requests/s are
those of all streams over the time they took together.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ..core.visible import one_line
from ..engine.client import Stream

# Of each kind in a level, and letters of an error.
MOST_SAMPLES, MOST_ERROR = 2000, 200
_PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def percentile(values: Sequence[float], share: float) -> float:
    """Of sorted values, linear between two of them."""
    place = share * (len(values) - 1)
    below, above = math.floor(place), math.ceil(place)
    return values[below] + (values[above] - values[below]) * (place - below)


def spread(values: Sequence[float]) -> dict[str, float] | None:
    """``p50``, ``p90``, ``p99``, ``mean`` and ``max``; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    found = {name: percentile(ordered, share) for name, share in _PERCENTILES.items()}
    return {**found, "mean": sum(ordered) / len(ordered), "max": ordered[-1]}


def itl(stream: Stream) -> float | None:
    if stream.first is None or stream.last is None or not stream.tokens or stream.tokens < 2:
        return None
    gap = (stream.last - stream.first) / (stream.tokens - 1)
    return gap if gap > 0 else None


def is_good(stream: Stream) -> bool:
    """Whether it came to its end, with output and the engine's count of it."""
    return stream.error is None and stream.done and stream.first is not None and bool(stream.tokens)


def _error(stream: Stream) -> str:
    return one_line(stream.error or "the stream had no end, no output or no usage")[:MOST_ERROR]


def level_of(
    concurrency: int, streams: Sequence[Stream], seconds: float, lags: Sequence[float], engine: dict[str, Any]
) -> dict[str, Any]:
    """The level of a run's document. ``input_tokens`` and ``output_tokens`` are those of all good requests together.

    :param seconds: what all streams took together.
    :param lags: how late each request was sent.
    :param engine: what engine_counters says of that time.
    """
    good = [stream for stream in streams if is_good(stream)]
    samples = {
        "ttft": [stream.first - stream.sent for stream in good if stream.first is not None],
        "itl": [gap for gap in map(itl, good) if gap is not None],
        "e2e": [stream.ended - stream.sent for stream in good],
    }
    spreads = {kind: spread(values) for kind, values in samples.items()}
    output = sum(stream.tokens or 0 for stream in good)
    gaps, late = spreads["itl"], spread(lags)
    return {
        "concurrency": concurrency,
        "requests": len(streams),
        "failed": len(streams) - len(good),
        "errors": dict(Counter(_error(stream) for stream in streams if not is_good(stream))),
        "input_tokens": sum(stream.prompt_tokens or 0 for stream in good),
        "output_tokens": output,
        "seconds": seconds,
        **spreads,
        "output_tps": output / seconds if good and seconds > 0 else None,
        "stream_tps": 1 / gaps["p50"] if gaps else None,
        "requests_ps": len(good) / seconds if good and seconds > 0 else None,
        "samples": {kind: values[:MOST_SAMPLES] for kind, values in samples.items()},
        "engine": engine,
        "generator_lag": late["p99"] if late else None,
    }
