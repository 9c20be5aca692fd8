# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal_changes import (
    FLAGS,
    MIN_CONTEXT,
    Change,
    context_that_fits,
    next_change,
)
from hypothesis import given
from hypothesis import strategies as st

ADA, TURING = 8.9, 7.5

# flags now, what the engine suggests, card -> the changes one after another
SEQUENCES: tuple[tuple[dict[str, Any], dict[str, Any], float | None, list[tuple[str, Any]]], ...] = (
    ({}, {"max-model-len": 23456}, ADA, [("max-model-len", 22528)]),
    (
        {"max-model-len": 65536},
        {"kv-cache-dtype": None, "max-model-len": 30000},
        ADA,
        [("kv-cache-dtype", "fp8"), ("max-model-len", 28672)],
    ),
    ({"max-model-len": 65536}, {"kv-cache-dtype": None, "max-model-len": 30000}, TURING, [("max-model-len", 28672)]),
    ({"max-model-len": 65536}, {"kv-cache-dtype": None, "max-model-len": 30000}, None, [("max-model-len", 28672)]),
    ({"max-model-len": 65536}, {"max-model-len": 8000}, ADA, []),
    ({"max-model-len": 16384}, {"max-model-len": 30000}, ADA, []),
    ({"max-model-len": 32768}, {"max-model-len": None}, ADA, [("max-model-len", 16384), ("max-model-len", 8192)]),
    ({"max-model-len": -1}, {"max-model-len": None}, ADA, []),
    ({}, {"max-num-seqs": None}, ADA, [("max-num-seqs", 32), ("max-num-seqs", 16), ("max-num-seqs", 8)]),
    ({"max-num-seqs": 256}, {"max-num-seqs": 12}, ADA, [("max-num-seqs", 12), ("max-num-seqs", 8)]),
    (
        {"max-num-batched-tokens": 4096},
        {"max-num-batched-tokens": None},
        ADA,
        [("max-num-batched-tokens", 2048), ("max-num-batched-tokens", 1024)],
    ),
    (
        {},
        {"max-cudagraph-capture-size": None, "enforce-eager": None},
        ADA,
        [("max-cudagraph-capture-size", step) for step in (64, 16, 4)] + [("enforce-eager", True)],
    ),
    (
        {"gpu-memory-utilization": 0.8},
        {"gpu-memory-utilization": None},
        ADA,
        [("gpu-memory-utilization", 0.75), ("gpu-memory-utilization", 0.7)],
    ),
    (
        {"gpu-memory-utilization": 0.92},
        {"gpu-memory-utilization": 0.86},
        ADA,
        [("gpu-memory-utilization", 0.86), ("gpu-memory-utilization", 0.86 - 0.05)][:1],
    ),
    ({}, {}, ADA, []),
    ({}, {"trust-remote-code": True}, ADA, []),
)


@pytest.mark.parametrize(("flags", "suggested", "card", "expected"), SEQUENCES)
def test_changes_follow_the_engines_numbers(
    flags: dict[str, Any], suggested: dict[str, Any], card: float | None, expected: list[tuple[str, Any]]
) -> None:
    made: list[dict[str, Any]] = []
    while change := next_change(suggested, flags, made, card):
        made.append(change.as_dict())
        assert change.old == flags.get(change.flag)
        flags = {**flags, change.flag: change.new}
    assert [(one["flag"], one["new"]) for one in made] == expected


def test_the_margin_of_the_context() -> None:
    assert context_that_fits(32768) == 31744
    assert context_that_fits(23456) == 22528
    assert context_that_fits(1000) == 0


NUMBERS = st.one_of(st.none(), st.integers(-5, 300000), st.floats(0, 2), st.booleans(), st.text(max_size=3))


@given(
    st.dictionaries(st.sampled_from([*FLAGS, "other"]), NUMBERS),
    st.dictionaries(st.sampled_from([*FLAGS, "other"]), NUMBERS),
    st.one_of(st.none(), st.floats(5, 12)),
    st.booleans(),
)
def test_it_ends_without_repeating_a_value(
    flags: dict[str, Any], suggested: dict[str, Any], card: float | None, forgetful: bool
) -> None:
    """Also when somebody puts the old flags back each time."""
    made: list[dict[str, Any]] = []
    now = dict(flags)
    for _ in range(100):
        change = next_change(suggested, now, made, card)
        if change is None:
            break
        assert change.flag in suggested
        assert (change.flag, repr(change.new)) not in {(one["flag"], repr(one["new"])) for one in made}
        if change.flag == "max-model-len":
            assert change.new >= MIN_CONTEXT and change.new % 1024 == 0
        if change.flag == "gpu-memory-utilization":
            assert 0.7 <= change.new <= 0.95
        if change.flag == "kv-cache-dtype":
            assert card is not None and card >= 8.9
        made.append(change.as_dict())
        now = dict(flags) if forgetful else {**now, change.flag: change.new}
    assert change is None


def test_a_change_says_old_and_new() -> None:
    assert Change("max-num-seqs", None, 32).as_dict() == {"flag": "max-num-seqs", "old": None, "new": 32}
