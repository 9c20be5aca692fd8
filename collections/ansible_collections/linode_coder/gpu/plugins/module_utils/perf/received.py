# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that was measured on a VM, into the document that was begun here: only what it measured, and only what can be a figure."""

from __future__ import annotations

from typing import Any

from .document import mapping, mappings, number, positive, signed, text, words
from .figures import MOST_SAMPLES
from .gpu_samples import FIELDS
from .gpu_samples import MOST_SAMPLES as MOST_LOOKS

_KINDS = ("ttft", "itl", "e2e")
_SPREAD = ("p50", "p90", "p99", "mean", "max")
_COUNTS = ("concurrency", "requests", "failed", "input_tokens", "output_tokens")
_FIGURES = ("output_tps", "stream_tps", "requests_ps", "generator_lag")
_ENGINE = ("preemptions", "cache_hit_share", "queue_max", "kv_use_max")
# Levels of a run, and different errors of a level.
_MOST_LEVELS, _MOST_ERRORS = 300, 20


def _whole(value: Any) -> int:
    return int(number(value) or 0)


def _spread(value: Any) -> dict[str, float] | None:
    found = {name: number(mapping(value).get(name)) for name in _SPREAD}
    known = {name: figure for name, figure in found.items() if figure is not None}
    return known if len(known) == len(_SPREAD) else None


def _numbers(value: Any) -> list[float]:
    found = [number(one) for one in value[:MOST_SAMPLES]] if isinstance(value, list) else []
    return [one for one in found if one is not None]


def _level(level: dict[str, Any]) -> dict[str, Any]:
    errors = list(mapping(level.get("errors")).items())[:_MOST_ERRORS]
    samples, engine = mapping(level.get("samples")), mapping(level.get("engine"))
    figures = {name: number(engine.get(name)) for name in _ENGINE}
    for name in ("preemptions", "queue_max"):
        figures[name] = None if figures[name] is None else _whole(figures[name])
    return {
        **{name: _whole(level.get(name)) for name in _COUNTS},
        "errors": {text(error): _whole(times) for error, times in errors},
        "seconds": number(level.get("seconds")) or 0.0,
        **{kind: _spread(level.get(kind)) for kind in _KINDS},
        **{name: number(level.get(name)) for name in _FIGURES},
        "samples": {kind: _numbers(samples.get(kind)) for kind in _KINDS},
        "engine": figures,
    }


def _sample(sample: dict[str, Any]) -> dict[str, Any]:
    figures = {name: number(sample.get(name)) for _asked, name, kind in FIELDS if kind is not list}
    throttle = sample.get("throttle")
    named = [text(word, 40) for word in words(throttle)][:20] if isinstance(throttle, list) else None
    return {"at": signed(sample.get("at")) or 0.0, **figures, "gpu": _whole(sample.get("gpu")), "throttle": named}


def take(run: dict[str, Any], said: Any) -> None:
    """Put into the document ``run`` what a VM ``said`` that it measured. Whose run it is, and what it costs, is known here."""
    said = mapping(said)
    levels = [
        _level(level) for level in mappings(said.get("levels"))[:_MOST_LEVELS] if positive(level.get("concurrency"))
    ]
    run["levels"] = [level for level in levels if level["concurrency"] >= 1]
    run["gpu_samples"] = [_sample(sample) for sample in mappings(said.get("gpu_samples"))[:MOST_LOOKS]]
    run["engine"] = text(said.get("engine"), 40) or None
    run["disk_read"] = number(said.get("disk_read"))
    before = number(said.get("requests_before"))
    run["requests_before"] = None if before is None else int(before)
    run["seconds"] = number(said.get("seconds")) or 0.0
    run["complete"] = said.get("complete") is True
    run["why_partial"] = text(said.get("why_partial")) or None
