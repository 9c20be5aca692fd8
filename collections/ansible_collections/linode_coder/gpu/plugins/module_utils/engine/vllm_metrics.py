# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine's /metrics page says: activity, gauges, and quantiles of its histograms. Unreadable is None, never 0."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from ..core.bounded import LINE

_SAMPLE = re.compile(
    r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?P<labels>.*)\})?[ \t]+(?P<value>\S+)(?:[ \t]+-?[0-9]+)?[ \t]*"
)
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r'(?<![a-zA-Z0-9_])([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
_ESCAPES = {"\\n": "\n", '\\"': '"', "\\\\": "\\"}

COUNTERS = {
    "prompt_tokens": "vllm:prompt_tokens_total",
    "generation_tokens": "vllm:generation_tokens_total",
    "requests": "vllm:request_success_total",
}
# A page of an engine has a tenth of it. A larger one is no engine's, and part of it would give wrong sums.
LONGEST = 2_000_000
GAUGES = {"running": "vllm:num_requests_running", "waiting": "vllm:num_requests_waiting"}


@dataclass(frozen=True)
class Sample:
    name: str
    labels: dict[str, str]
    value: float


def parse(text: str) -> list[Sample]:
    """Every sample of a page. One whose value is no number is NaN: left out, it would make the sum of the others wrong."""
    found = []
    for line in text.splitlines() if len(text) <= LONGEST else ():
        match = _SAMPLE.fullmatch(line) if len(line) <= LINE else None
        if match is None:
            named = _NAME.match(line)
            if named is not None:
                found.append(Sample(named[0], {}, math.nan))
            continue
        try:
            value = float(match["value"])
        except ValueError:
            value = math.nan
        labels = {
            name: re.sub(r"\\.", lambda escape: _ESCAPES.get(escape[0], escape[0]), raw)
            for name, raw in _LABEL.findall(match["labels"] or "")
        }
        found.append(Sample(match["name"], labels, value))
    return found


def total(samples: list[Sample], name: str) -> float | None:
    """The sum over engines, models and reasons; None when the page has no such sample, or one that is no number."""
    values = [sample.value for sample in samples if sample.name == name]
    return sum(values) if values and all(map(math.isfinite, values)) else None


def highest(samples: list[Sample], name: str) -> float | None:
    """The highest of several engines; None when one of them is no number."""
    values = [sample.value for sample in samples if sample.name == name]
    return max(values) if values and all(map(math.isfinite, values)) else None


def quantile(samples: list[Sample], name: str, share: float) -> float | None:
    """An estimate from a histogram's buckets, linear inside one; None without observations."""
    buckets: dict[float, float] = {}
    for sample in samples:
        if sample.name == f"{name}_bucket":
            if not math.isfinite(sample.value):
                return None
            try:
                bound = float(sample.labels.get("le", ""))
            except ValueError:
                return None
            buckets[bound] = buckets.get(bound, 0.0) + sample.value
    bounds = sorted(buckets)
    if not bounds or buckets[bounds[-1]] <= 0:
        return None
    wanted = share * buckets[bounds[-1]]
    below, count = 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= wanted:
            if math.isinf(bound):
                return below
            inside = buckets[bound] - count
            return bound if inside <= 0 else below + (bound - below) * (wanted - count) / inside
        below, count = bound, buckets[bound]
    return None


def activity(text: str) -> dict[str, Any]:
    """Use of the engine: its counters since it started, its queue, and when it started."""
    samples = parse(text)
    found = {key: total(samples, name) for key, name in {**COUNTERS, **GAUGES}.items()}
    # Only requests that ended have a sample of their own, so that one may be missing; but not be unreadable.
    none_ended = all(sample.name != COUNTERS["requests"] for sample in samples)
    readable = all(found[key] is not None or (key == "requests" and none_ended) for key in found)
    numbers = {key: int(value or 0) if readable else None for key, value in found.items()}
    return {
        "readable": readable,
        **numbers,
        "process_start": total(samples, "process_start_time_seconds") if readable else None,
    }


def without(before: dict[str, Any], prompt_tokens: int, generation_tokens: int, requests: int) -> dict[str, Any]:
    """The same activity without what we asked ourselves; unreadable stays unreadable."""
    if not before["readable"]:
        return before
    own = {"prompt_tokens": prompt_tokens, "generation_tokens": generation_tokens, "requests": requests}
    return {**before, **{key: max(0, before[key] - number) for key, number in own.items()}}


def gauges(text: str) -> dict[str, float | None]:
    """What a live view shows besides the counters."""
    samples = parse(text)
    queries, hits = total(samples, "vllm:prefix_cache_queries_total"), total(samples, "vllm:prefix_cache_hits_total")
    return {
        "kv_cache_use": highest(samples, "vllm:kv_cache_usage_perc"),
        "preemptions": total(samples, "vllm:num_preemptions_total"),
        "prefix_hit_rate": None if not queries or hits is None else hits / queries,
        "ttft_p50": quantile(samples, "vllm:time_to_first_token_seconds", 0.5),
        "ttft_p95": quantile(samples, "vllm:time_to_first_token_seconds", 0.95),
    }
