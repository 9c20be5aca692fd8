# SPDX-License-Identifier: GPL-3.0-or-later
"""What pulls and downloads say, and what their failures mean."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.downloads import (
    events_of,
    pull_failure,
    pull_phase,
    weights_failure,
    weights_phase,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.measures import measures


def test_layers_are_counted() -> None:
    assert pull_phase("") == "asking the registry"
    log = "v1: Pulling from a/b\nabc: Pulling fs layer\ndef: Pulling fs layer\n123: Already exists\nabc: Download complete\n"
    assert pull_phase(log) == "2 of 3 layers fetched, 1 unpacked"
    assert pull_phase(log + "abc: Pull complete\n") == "2 of 3 layers fetched, 2 unpacked"


@pytest.mark.parametrize(
    ("log", "kind", "again"),
    [
        ("failed to register layer: write /x: no space left on device", "limit", False),
        ("toomanyrequests: You have reached your pull rate limit.", "rate_limited", False),
        ("manifest for a/b:c not found: manifest unknown", "config", False),
        ("pull access denied for a/b, repository does not exist", "config", False),
        ("net/http: TLS handshake timeout", "transient", True),
        ("", "transient", True),
    ],
)
def test_a_failed_pull_says_what_to_do(log: str, kind: str, again: bool) -> None:
    failure, retry = pull_failure("a/b:c", log)
    assert (failure.kind, retry) == (kind, again)
    assert failure.remedy


@pytest.mark.parametrize(
    ("kind", "expected", "word"),
    [
        ("gated", "auth", "licence"),
        ("unauthorized", "auth", "not valid"),
        ("forbidden", "auth", "does not open"),
        ("not_found", "config", "does not exist"),
        ("revision", "config", "revision"),
        ("disk_full", "limit", "disk"),
        ("disk_too_small", "limit", "disk"),
        ("rate_limited", "rate_limited", "refuses"),
        ("network", "transient", "could not be fetched"),
        ("local", "unhealthy", "cannot write"),
        ("damaged", "transient", "damaged"),
    ],
)
def test_a_failed_download_says_what_to_do(kind: str, expected: str, word: str) -> None:
    events = events_of(json.dumps({"event": "failed", "kind": kind, "message": "the hub's own text"}))
    failure = weights_failure("a/b", events)
    assert failure is not None
    assert failure.kind == expected
    assert word in failure.message
    assert failure.cause == "the hub's own text"
    assert failure.remedy


def seen(*points: tuple[float, int], total: int = 8_000_000_000) -> list[dict[str, Any]]:
    return [{"event": "progress", "time": at, "done": done, "total": total} for at, done in points]


RETRY: dict[str, Any] = {"event": "retry", "kind": "network", "seconds": 30.0, "time": 9.0}


@pytest.mark.parametrize(
    ("events", "phase"),
    [
        ([], "asking the hub"),
        (seen((1, 0)), "0.0 MB of 8.0 GB fetched (0 %)"),
        (seen((1, 0), (2, 100_000_000)), "0.1 GB of 8.0 GB fetched (1 %), 100 MB/s, 79 s left"),
        (seen((0, 0), (10, 20_000_000)), "20.0 MB of 8.0 GB fetched (0 %), 2 MB/s, 66 min left"),
        # Of late: it was fast at first.
        (
            seen((0, 0), (10, 4_000_000_000), (50, 4_080_000_000)),
            "4.1 GB of 8.0 GB fetched (51 %), 2 MB/s, 33 min left",
        ),
        (seen((1, 5), (2, 5)), "0.0 MB of 8.0 GB fetched (0 %)"),
        ([*seen((1, 0), (8, 700_000_000)), RETRY], "network, trying again in 30 s"),
        # An interruption is no rate.
        ([*seen((1, 0), (8, 700_000_000)), RETRY, *seen((39, 700_000_000))], "0.7 GB of 8.0 GB fetched (8 %)"),
        ([*seen((1, 0)), {"event": "done", "time": 3.0}], "fetched"),
    ],
)
def test_a_download_says_how_fast_it_is_and_what_is_left(events: list[dict[str, Any]], phase: str) -> None:
    assert weights_phase(events) == phase


def test_only_the_last_run_counts() -> None:
    old = {"event": "failed", "kind": "gated", "message": "x"}
    log = "\n".join(
        [
            json.dumps({"event": "begin", "model": "a/b"}),
            json.dumps(old),
            "Fetching 4 files:  50%|#####     | 2/4",
            json.dumps({"event": "begin", "model": "a/b"}),
            json.dumps({"event": "progress", "done": 2_000_000_000, "total": 8_000_000_000, "time": 5.0}),
        ]
    )
    events = events_of(log)
    assert weights_failure("a/b", events) is None
    assert weights_phase(events) == "2.0 GB of 8.0 GB fetched (25 %)"
    assert weights_phase([]) == "asking the hub"
    assert weights_phase([{"event": "retry", "kind": "rate_limited", "seconds": 30}]) == (
        "rate limited, trying again in 30 s"
    )


def test_an_engine_s_own_figures() -> None:
    log = """\
INFO 11-01 10:00:00 [model_runner.py:429] Model loading took 12.6500 GiB memory and 31.100000 seconds
INFO 11-01 10:00:40 [gpu_worker.py:773] Available KV cache memory: 4.51 GiB
INFO 11-01 10:00:40 [kv_cache_utils.py:1149] GPU KV cache size: 197,024 tokens, Maximum concurrency for 32,768 tokens per request: 6.01x
INFO 11-01 10:00:50 [core.py:396] init engine (profile, create kv cache, warmup model) took 42.31 s
"""
    assert measures(log) == {
        "weights_gib": 12.65,
        "load_seconds": 31.1,
        "kv_cache_gib": 4.51,
        "kv_cache_tokens": 197024,
        "concurrency": 6.01,
        "init_seconds": 42.31,
    }
    assert measures("") == {}
