# SPDX-License-Identifier: GPL-3.0-or-later
"""A run and a month for reports, with names that somebody hostile chose."""

from __future__ import annotations

from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import parse_time

from linode_coder.reports.account import Cost
from linode_coder.reports.bill import make_bill, parse_month

HOSTILE = "<script>alert(1)</script><img src=https://example.com/x onerror=alert(1)>$x^2$ \x1b[31m\x00\u202e\"'&"
NOW = parse_time("2026-11-20T12:00:00Z")


def _spread(middle: float) -> dict[str, float]:
    return {"p50": middle, "p90": middle * 1.3, "p99": middle * 2, "mean": middle * 1.1, "max": middle * 3}


def level(streams: int, output_tps: float | None, **changes: Any) -> dict[str, Any]:
    ttft, itl = 0.05 * streams, 0.02 + streams / 2000
    return {
        **{"concurrency": streams, "requests": 8 * streams, "failed": 0, "errors": {}, "input_tokens": 4096},
        **{"output_tokens": 2048, "seconds": 20.0, "ttft": _spread(ttft), "itl": _spread(itl), "e2e": _spread(4.0)},
        **{"output_tps": output_tps, "stream_tps": 1 / itl, "requests_ps": 2.0, "generator_lag": 0.001},
        "samples": {
            "ttft": [ttft * (1 + n / 50) for n in range(90)],
            "itl": [itl * (1 + n / 90) for n in range(90)],
            "e2e": [4.0],
        },
        "engine": {"preemptions": 0, "cache_hit_share": 0.25, "queue_max": 3, "kv_use_max": None},
        **changes,
    }


def run(name: str = "demo", **changes: Any) -> dict[str, Any]:
    samples = [
        {
            **{"at": float(second), "gpu": gpu, "use": 90 - gpu, "memory_used": 18000, "memory_total": 20475},
            **{"sm_clock": 2400 - second, "power": 120.0, "temperature": 60 + second % 9, "throttle": []},
        }
        for second in range(30)
        for gpu in (0, 1)
    ]
    samples[3].update(throttle=["sw_power_cap"], power=None)
    return {
        **{"schema": 1, "id": "20261120T070000Z-ab12", "session": name, "model": "Qwen/Qwen2.5-Coder-7B", "gpus": 2},
        **{"plan": "g2-gpu-rtx4000a1-s", "region": "us-ord", "flags": {"max-model-len": 32768}, "engine": "0.25.1"},
        **{"profile": "chat", "where": "here", "generator": {"name": "linode-coder", "version": "0.1.0"}},
        **{"started": "2026-11-20T07:00:00Z", "seconds": 60.0, "complete": True, "why_partial": None},
        **{"price_hour": 0.52, "sandbox": False, "expected_tps": 50.0, "prefix_cache": "neutralised"},
        "levels": [level(1, 47.0), level(8, 300.0), level(32, 700.0)],
        "gpu_samples": samples,
        "verdict": {
            **{
                "severity": "warn",
                "summary": "Slower than expected.",
                "measured": 47.0,
                "expected": 50.0,
                "share": 0.94,
            },
            "reasons": [{"id": "throttled", "severity": "warn", "summary": "GPU 1 was throttled in 1 of 60 samples."}],
            **{"baseline": None, "baseline_run": None},
        },
        **changes,
    }


def hostile_run() -> dict[str, Any]:
    found = run(HOSTILE, model=HOSTILE, plan=HOSTILE, region=HOSTILE, engine=HOSTILE, id=HOSTILE, profile=HOSTILE)
    found.update(
        flags={HOSTILE: HOSTILE},
        where=HOSTILE,
        prefix_cache=HOSTILE,
        started=HOSTILE,
        complete=False,
        why_partial=HOSTILE,
    )
    found["verdict"] = {**found["verdict"], "severity": HOSTILE, "summary": HOSTILE}
    found["verdict"]["reasons"] = [{"id": "x", "severity": HOSTILE, "summary": HOSTILE}]
    found["levels"][0]["errors"] = {HOSTILE: 3}
    found["gpu_samples"][0]["throttle"] = [HOSTILE]
    return found


def record(name: str, number: int, **changes: Any) -> dict[str, Any]:
    """What the history keeps: from the 10th, 10:00, for four and a half hours at $0.52."""
    return {
        **{"name": name, "linode_id": number, "account": "E", "plan": "g2-gpu-rtx4000a1-s", "region": "us-ord"},
        **{"model": "Qwen/Qwen2.5-Coder-7B", "owner": "eve", "created": "2026-11-10T10:00:00Z", "hourly": 0.52},
        **{"ended": "2026-11-10T14:30:00Z", "hours": 5, "cost": 2.6, "idle_s": None},
        **changes,
    }


def cost(name: str = "demo") -> Cost:
    records = [record(name, 1, model=name, owner=name, plan=name, region=name), record("other", 2, idle_s=7200.0)]
    bill = make_bill(parse_month("2026-11", NOW), NOW, [], records, [], "E")
    months = tuple((f"2026-{month:02}", month * 1.5) for month in range(6, 12))
    return Cost(bill, {name: (6, 3.12)}, 9.5, ("A note.",), months)
