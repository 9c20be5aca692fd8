# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal.changes import (
    FLAGS,
    MIN_CONTEXT,
    Change,
    next_change,
    with_flag,
)
from hypothesis import given
from hypothesis import strategies as st

ADA, TURING = 8.9, 7.5

# flags now, what the engine suggests, card -> the changes one after another
SEQUENCES: tuple[tuple[dict[str, Any], dict[str, Any], float | None, list[tuple[str, Any]]], ...] = (
    ({}, {"max-model-len": 22528}, TURING, [("max-model-len", 22528)]),
    ({}, {"max-model-len": 23456}, None, [("max-model-len", 22528)]),
    (
        {"max-model-len": 65536},
        {"max-model-len": 28672},
        ADA,
        [("kv-cache-dtype", "fp8"), ("max-model-len", 28672)],
    ),
    ({"max-model-len": 65536, "kv-cache-dtype": "fp8"}, {"max-model-len": 28672}, ADA, [("max-model-len", 28672)]),
    ({"max-model-len": 65536}, {"max-model-len": 8000}, TURING, []),
    ({"max-model-len": 16384}, {"max-model-len": 28672}, TURING, []),
    ({"max-model-len": -1}, {"max-model-len": 28672}, TURING, [("max-model-len", 28672)]),
    ({}, {"max-num-seqs": 64}, ADA, [("max-num-seqs", step) for step in (64, 32, 16, 8)]),
    ({"max-num-seqs": 256}, {"max-num-seqs": 12}, ADA, [("max-num-seqs", 12), ("max-num-seqs", 8)]),
    (
        {"max-num-batched-tokens": 4096},
        {"max-num-batched-tokens": 2048},
        ADA,
        [("max-num-batched-tokens", 2048), ("max-num-batched-tokens", 1024)],
    ),
    (
        {},
        {"max-cudagraph-capture-size": 64, "enforce-eager": True},
        ADA,
        [("max-cudagraph-capture-size", step) for step in (64, 16, 4)] + [("enforce-eager", True)],
    ),
    (
        {"gpu-memory-utilization": 0.8},
        {"gpu-memory-utilization": 0.77},
        ADA,
        [("gpu-memory-utilization", 0.77), ("gpu-memory-utilization", 0.72)],
    ),
    (
        {"gpu-memory-utilization": 0.9},
        {"gpu-memory-utilization": 0.5},
        ADA,
        [("gpu-memory-utilization", step) for step in (0.85, 0.8, 0.75, 0.7)],
    ),
    ({"kv-cache-dtype": "fp8"}, {"kv-cache-dtype": "auto"}, TURING, [("kv-cache-dtype", "auto")]),
    ({"dtype": "bfloat16"}, {"dtype": "half"}, TURING, [("dtype", "half")]),
    ({"reasoning-parser": "qwen4"}, {"reasoning-parser": None}, ADA, [("reasoning-parser", None)]),
    ({}, {"reasoning-parser": None}, ADA, []),
    ({}, {}, ADA, []),
    ({}, {"trust-remote-code": True, "api-key": None, "model": "other/model"}, ADA, []),
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
        assert change.flag in suggested or (change.flag == "kv-cache-dtype" and "max-model-len" in suggested)
        assert (change.flag, repr(change.new)) not in {(one["flag"], repr(one["new"])) for one in made}
        if change.flag == "max-model-len":
            assert change.new >= MIN_CONTEXT and change.new % 1024 == 0
        if change.flag == "gpu-memory-utilization":
            assert 0.7 <= change.new <= 0.95
        if change.new == "fp8":
            assert card is not None and card >= 8.9
        made.append(change.as_dict())
        now = dict(flags) if forgetful else {**now, change.flag: change.new}
    assert change is None


def test_a_change_says_old_and_new() -> None:
    assert Change("max-num-seqs", None, 32).as_dict() == {"flag": "max-num-seqs", "old": None, "new": 32}


CONFIG = '# what the engine reads\nmodel: "org/Model-7B"\nmax-num-seqs: 64\nport: 8000\n'


def test_one_line_of_the_configuration_changes() -> None:
    assert with_flag(CONFIG, "max-num-seqs", 32) == CONFIG.replace("64", "32")
    assert with_flag(CONFIG, "kv-cache-dtype", "fp8") == CONFIG + 'kv-cache-dtype: "fp8"\n'
    assert with_flag(CONFIG, "max-num-seqs", None) == CONFIG.replace("max-num-seqs: 64\n", "")
    assert with_flag(CONFIG, "dtype", None) == CONFIG
    assert with_flag(CONFIG + "max-num-seqs: 8\n", "max-num-seqs", 32) == CONFIG.replace("64", "32")
