# SPDX-License-Identifier: GPL-3.0-or-later
"""Two runs side by side."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.perf.compare import FIGURES, compare
from hypothesis import given, settings

from tests.unit.perf.perf_runs import level, run, with_levels
from tests.unit.perf.test_verdict import SMALL, spoilt


def figures(found: dict[str, Any], streams: int) -> dict[str, Any]:
    (one,) = [one for one in found["levels"] if one["concurrency"] == streams]
    return dict(one["figures"])


def test_the_same_differs_in_nothing() -> None:
    found = compare(run(), run(id="other"))
    assert found["differs"] == [] and found["why_not"] is None
    assert [one["concurrency"] for one in found["levels"]] == [1, 4, 16]
    for one in found["levels"]:
        assert one["only"] is None and set(one["figures"]) == {figure for figure, _name in FIGURES}
        assert {seen["change"] for seen in one["figures"].values()} == {0.0, None}


def test_a_change_is_told_from_noise_by_the_spread_of_either() -> None:
    # p90 of TTFT is a tenth above p50, that of ITL two hundredths.
    slower = with_levels(run(), level(1, itl=0.0203, ttft=0.054), level(4, itl=0.025, ttft=0.060 * 1.2))
    seen = figures(compare(run(), slower), 1)
    assert seen["ttft_p50"] == {"a": 0.05, "b": 0.054, "change": pytest.approx(0.08), "noise": True}
    assert seen["itl_p50"]["change"] == pytest.approx(0.015) and seen["itl_p50"]["noise"] is True
    assert seen["stream_tps"]["noise"] is True
    seen = figures(compare(run(), slower), 4)
    assert seen["ttft_p50"]["noise"] is False and seen["itl_p50"]["noise"] is False
    assert seen["output_tps"]["change"] < -0.1 and seen["output_tps"]["noise"] is False


def test_levels_and_figures_that_one_of_them_lacks() -> None:
    first = with_levels(run(), level(1), level(8))
    second = with_levels(run(), level(1, ttft=0.05) | {"ttft": None}, level(16))
    found = compare(first, second)
    assert [(one["concurrency"], one["only"]) for one in found["levels"]] == [(1, None), (8, "a"), (16, "b")]
    assert figures(found, 1)["ttft_p50"] == {"a": 0.05, "b": None, "change": None, "noise": None}
    assert found["why_not"] is None
    assert "no level" in compare(first, with_levels(run(), level(4)))["why_not"]
    assert "no level" in compare(first, {**first, "levels": []})["why_not"]


def test_what_was_different_is_named_and_what_cannot_be_compared() -> None:
    other = run(engine="0.34.0", plan="g2-gpu-rtx4000a1-l", where="here")
    other["flags"] = {**other["flags"], "max-num-seqs": 128, "kv-cache-dtype": "fp8"}
    found = compare(run(), other)
    assert found["differs"] == [
        {"what": "plan", "a": "g2-gpu-rtx4000a1-m", "b": "g2-gpu-rtx4000a1-l"},
        {"what": "engine", "a": "0.33.0", "b": "0.34.0"},
        {"what": "where", "a": "vm", "b": "here"},
        {"what": "--kv-cache-dtype", "a": "-", "b": "fp8"},
        {"what": "--max-num-seqs", "a": "64", "b": "128"},
    ]
    assert found["why_not"] is None
    assert compare(run(), run(profile="chat"))["why_not"] == (
        "These runs cannot be compared, they did not measure the same: profile quick and chat."
    )
    shorter = with_levels(run(), *(level(streams, tokens=16) for streams in (1, 4, 16)))
    assert compare(run(), shorter)["differs"] == [{"what": "tokens of an answer", "a": "128", "b": "16"}]
    assert "tokens of an answer 128 and 16" in compare(run(), shorter)["why_not"]
    assert "sandbox" in compare(run(), run(sandbox=True))["why_not"]
    assert "generator" in compare(run(), run(generator={"name": "vllm bench serve", "version": "1"}))["why_not"]
    assert "prefix cache" in compare(run(), run(prefix_cache="on"))["why_not"]


def test_failures_are_never_noise() -> None:
    broken = with_levels(run(), level(1, failed=2))
    assert figures(compare(run(), broken), 1)["failed"] == {"a": 0.0, "b": 2.0, "change": None, "noise": False}


@settings(max_examples=200, deadline=None)
@given(spoilt(SMALL), spoilt(SMALL))
def test_no_documents_break_it(first: Any, second: Any) -> None:
    json.dumps(compare(first, second), allow_nan=False)
