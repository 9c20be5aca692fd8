# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents of performance runs, healthy ones, for tests to spoil."""

from __future__ import annotations

import copy
from typing import Any

MEMORY = 20475


def spread(middle: float, more: float = 0.1) -> dict[str, float]:
    return {
        "p50": middle,
        "p90": middle * (1 + more),
        "p99": middle * (1 + 2 * more),
        "mean": middle,
        "max": middle * (1 + 3 * more),
    }


def level(streams: int, itl: float = 0.020, ttft: float = 0.050, tokens: int = 128, **more: Any) -> dict[str, Any]:
    whole = ttft + itl * (tokens - 1)
    found: dict[str, Any] = {
        "concurrency": streams,
        "requests": 4 * streams,
        "failed": 0,
        "errors": {},
        "input_tokens": 2000 * streams,
        "output_tokens": 4 * tokens * streams,
        "seconds": 4 * whole,
        "ttft": spread(ttft),
        "itl": spread(itl, 0.02),
        "e2e": spread(whole, 0.03),
        "output_tps": streams * tokens / whole,
        "stream_tps": 1 / itl,
        "requests_ps": streams / whole,
        "samples": {"ttft": [ttft] * 4, "itl": [itl] * 4, "e2e": [whole] * 4},
        "engine": {"preemptions": 0, "cache_hit_share": 0.0, "queue_max": 0, "kv_use_max": 0.1 * streams / 4},
        "generator_lag": 0.0008,
    }
    found["engine"].update(more.pop("engine", {}))
    return {**found, **more}


def sample(at: float, gpu: int = 0, **more: Any) -> dict[str, Any]:
    """As a card says that works and whose clocks its power limit holds, which is what all of them do."""
    return {
        **{"at": at, "gpu": gpu, "use": 97, "memory_used": 18200, "memory_total": MEMORY, "sm_clock": 1900},
        **{"sm_clock_max": 2175, "power": 129.5, "power_limit": 130.0, "temperature": 66, "throttle": ["sw_power_cap"]},
        **{"pcie_gen": 4, "pcie_gen_max": 4, "pcie_width": 16, "pcie_width_max": 16},
        **more,
    }


def run(gpus: int = 1, **more: Any) -> dict[str, Any]:
    flags: dict[str, Any] = {"max-model-len": 32768, "gpu-memory-utilization": 0.9, "max-num-seqs": 64}
    if gpus > 1:
        flags["tensor-parallel-size"] = gpus
    found: dict[str, Any] = {
        **{"schema": 1, "id": "20261130T070000Z-ab12", "session": "demo", "model": "gpt-oss-20b"},
        **{"plan": f"g2-gpu-rtx4000a{gpus}-m", "region": "us-ord", "gpus": gpus, "flags": flags, "engine": "0.33.0"},
        **{"profile": "quick", "where": "vm", "generator": {"name": "linode-coder", "version": "1"}},
        **{"started": "2026-11-30T07:00:00Z", "seconds": 40.0, "complete": True, "why_partial": None},
        **{"price_hour": 0.67, "sandbox": False, "expected_tps": 60.0, "prefix_cache": "neutralised"},
        "levels": [level(1), level(4, 0.022, 0.060), level(16, 0.027, 0.090)],
        # Idle before the load, when the link is slow to save power.
        "gpu_samples": [
            sample(float(at), gpu, **({"use": 0, "sm_clock": 210, "pcie_gen": 1, "throttle": []} if at == -1 else {}))
            for at in range(-1, 40)
            for gpu in range(gpus)
        ],
        **{"round_trip": None, "disk_read": 1.6e9, "requests_before": 0},
        "verdict": None,
    }
    return {**found, **copy.deepcopy(more)}


def each_sample(document: dict[str, Any], gpu: int | None = None, **more: Any) -> dict[str, Any]:
    """The same run, every sample under load changed, or those of one GPU."""
    samples = [
        {**one, **more} if one["at"] >= 0 and gpu in (None, one["gpu"]) else one for one in document["gpu_samples"]
    ]
    return {**document, "gpu_samples": samples}


def with_levels(document: dict[str, Any], *levels: dict[str, Any]) -> dict[str, Any]:
    return {**document, "levels": list(levels)}
