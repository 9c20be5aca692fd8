# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a VM says that it measured can be judged, shown and drawn."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.client import EngineClient, Stream
from ansible_collections.linode_coder.gpu.plugins.module_utils.perf.figures import level_of
from ansible_collections.linode_coder.gpu.plugins.module_utils.perf.received import take
from ansible_collections.linode_coder.gpu.plugins.module_utils.perf.verdict import judge
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linode_coder.cli import validate_perf
from linode_coder.terminal.console import Console
from tests.unit.perf.perf_runs import run, sample

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
LEVEL_KEYS = (*run()["levels"][0], "engine")


def spoilt(keys: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(sorted(keys)), ANY)


SAID = ANY | st.fixed_dictionaries(
    {},
    optional={
        "levels": st.lists(spoilt(LEVEL_KEYS) | ANY, max_size=3) | ANY,
        "gpu_samples": st.lists(spoilt(sample(0.0)) | ANY, max_size=3) | ANY,
        **{
            name: ANY
            for name in (
                "engine",
                "seconds",
                "complete",
                "disk_read",
                "requests_before",
                "why_partial",
                "session",
                "price_hour",
                "id",
            )
        },
    },
)


def test_what_was_measured_is_taken_as_it_is() -> None:
    there = run(2)
    here = {**run(2), "levels": [], "gpu_samples": [], "complete": False}
    take(here, json.loads(json.dumps(there)))
    assert here["levels"] == there["levels"] and here["complete"] and here["engine"] == there["engine"]
    assert here["gpu_samples"] == there["gpu_samples"]
    assert (here["disk_read"], here["requests_before"]) == (there["disk_read"], there["requests_before"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SAID)
def test_whatever_it_is(said: Any) -> None:
    here = run(levels=[], gpu_samples=[])
    begun = {name: here[name] for name in ("id", "session", "price_hour")}
    take(here, said)
    assert {name: here[name] for name in begun} == begun
    here["verdict"] = judge(here)
    json.dumps(here, allow_nan=False)
    validate_perf._show(Console(as_json=False), here)


def test_a_hostile_run_can_be_drawn() -> None:
    from linode_coder.reports.performance import performance_report

    here = run(levels=[], gpu_samples=[])
    level = {
        "concurrency": 1,
        "errors": {"<script>": "x"},
        "ttft": {"p50": -1},
        "samples": {"ttft": ["x", None, 1e300]},
    }
    take(
        here,
        {"levels": [level, {"concurrency": 10**400}, 7], "gpu_samples": [{"gpu": 0, "throttle": ["<b>"], "use": "x"}]},
    )
    here["verdict"] = judge(here)
    assert "<script>" not in performance_report(here, [])


@pytest.mark.parametrize(
    "usage", ['"x"', '{"completion_tokens": "9"}', '{"completion_tokens": -1, "prompt_tokens": []}', "[1]", "true"]
)
def test_a_usage_that_is_none_makes_a_request_that_failed(usage: str) -> None:
    found = Stream(sent=0.0, done=True)
    EngineClient._line(found, b'data: {"choices": [{"delta": {"content": "x"}}, 7, {"delta": 3}]}', 1.0, None)
    EngineClient._line(found, f'data: {{"choices": 3, "usage": {usage}}}'.encode(), 2.0, None)
    level = level_of(1, [found], 2.0, [0.0], {})
    assert (level["failed"], level["output_tokens"]) == (1, 0)
