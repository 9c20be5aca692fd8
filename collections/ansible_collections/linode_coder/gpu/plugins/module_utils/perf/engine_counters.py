# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine's own counters say of the time in which a load ran. What cannot be read is null, never 0."""

from __future__ import annotations

from typing import Any

from ..engine.client import EngineClient, EngineSilent
from ..engine.vllm_metrics import GAUGES, Sample, highest, parse, total

PERIOD_S = 0.5
_LIMIT_S = 5.0
_PREEMPTIONS, _HITS = "vllm:num_preemptions_total", "vllm:prefix_cache_hits_total"
_QUERIES, _KV_USE = "vllm:prefix_cache_queries_total", "vllm:kv_cache_usage_perc"
_WANTED = (_PREEMPTIONS, _HITS, _QUERIES, _KV_USE, GAUGES["waiting"])


def _page(client: EngineClient) -> str:
    """Of its metrics what is wanted here: reading all of them while a load runs would delay what is measured."""
    try:
        answer = client.fetch("GET", "/metrics", timeout=_LIMIT_S)
    except EngineSilent:
        return ""
    lines = answer.text.splitlines() if answer.status == 200 else []
    return "\n".join(line for line in lines if line.startswith(_WANTED))


def _grown(first: list[Sample], last: list[Sample], name: str) -> float | None:
    """None as well where it became less, which is another engine's count."""
    before, after = total(first, name), total(last, name)
    return None if before is None or after is None or after < before else after - before


def summarise(pages: list[str]) -> dict[str, Any]:
    """The ``engine`` of a level, from pages in the order in which they were read: the first before the load, the last after it."""
    read = [parse(page) for page in pages if page]
    if not read:
        return {"preemptions": None, "cache_hit_share": None, "queue_max": None, "kv_use_max": None}
    preempted = _grown(read[0], read[-1], _PREEMPTIONS)
    hits, queries = (_grown(read[0], read[-1], name) for name in (_HITS, _QUERIES))
    waiting = [value for value in (total(page, GAUGES["waiting"]) for page in read) if value is not None]
    used = [value for value in (highest(page, _KV_USE) for page in read) if value is not None]
    return {
        "preemptions": None if preempted is None else int(preempted),
        "cache_hit_share": min(1.0, hits / queries) if queries and hits is not None else None,
        "queue_max": int(max(waiting)) if waiting else None,
        "kv_use_max": max(used) if used else None,
    }


class EngineCounters:
    """``look`` reads a page more."""

    def __init__(self, client: EngineClient) -> None:
        self._client = client
        self._pages: list[str] = []

    def look(self) -> None:
        self._pages.append(_page(self._client))

    def summary(self) -> dict[str, Any]:
        return summarise(self._pages)
