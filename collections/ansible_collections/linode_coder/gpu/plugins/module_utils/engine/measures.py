# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine says of itself in the log of its start: better than any estimate made beforehand."""

from __future__ import annotations

import re
from typing import Any

from ..core.bounded import newest, short_lines

_LONGEST = 600_000

_FIGURES: tuple[tuple[str, re.Pattern[str], Any], ...] = (
    ("weights_gib", re.compile(r"Model loading took (\d{1,9}(?:\.\d{1,9})?) GiB"), float),
    (
        "load_seconds",
        re.compile(r"Model loading took [\d.]{1,20} GiB(?: memory)? and (\d{1,9}(?:\.\d{1,9})?) seconds"),
        float,
    ),
    ("kv_cache_gib", re.compile(r"Available KV cache memory: (\d{1,9}(?:\.\d{1,9})?) GiB"), float),
    (
        "kv_cache_tokens",
        re.compile(r"GPU KV cache size: (\d[\d,]{0,12}) tokens"),
        lambda text: int(text.replace(",", "")),
    ),
    (
        "concurrency",
        re.compile(r"Maximum concurrency for [\d,]{1,13} tokens per request: (\d{1,9}(?:\.\d{1,9})?)x"),
        float,
    ),
    (
        "graphs_gib",
        re.compile(r"Graph capturing finished in [\d.]{1,20} secs, took (\d{1,9}(?:\.\d{1,9})?) GiB"),
        float,
    ),
    ("compile_seconds", re.compile(r"torch\.compile took (\d{1,9}(?:\.\d{1,9})?) s in total"), float),
    (
        "init_seconds",
        re.compile(r"init engine \(profile, create kv cache, warmup model\) took (\d{1,9}(?:\.\d{1,9})?) s"),
        float,
    ),
    ("version", re.compile(r"version (\d{1,6}\.\d{1,6}\.\d{1,6})|Initializing a V1 LLM engine \(v([\d.]{1,20})"), str),
)


def measures(log: str) -> dict[str, Any]:
    """The newest of each figure that the log names."""
    log = short_lines(newest(log, _LONGEST))
    found: dict[str, Any] = {}
    for name, pattern, convert in _FIGURES:
        matches = pattern.findall(log)
        if matches:
            last = matches[-1]
            found[name] = convert(last if isinstance(last, str) else next(part for part in last if part))
    return found
