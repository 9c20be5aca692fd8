# SPDX-License-Identifier: GPL-3.0-or-later
"""vllm.yaml: what is written is what is read, by us and by any YAML reader."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.config_file import parse, render
from hypothesis import given
from hypothesis import strategies as st

# Longer than the words that YAML takes for true, false and nothing; no flag is one of them.
names = st.from_regex(r"[a-z][a-z0-9-]{5,20}", fullmatch=True)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.integers(-(2**53), 2**53) | st.floats(-1000, 1000).map(lambda value: round(value, 3))
scalars = st.none() | st.booleans() | numbers | text
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3))


@given(st.dictionaries(names, values, max_size=6))
def test_what_is_written_is_read_again(flags: dict[str, Any]) -> None:
    written = render(flags, {"": "head\nof two lines", **dict.fromkeys(list(flags)[:1], "why")})
    assert parse(written) == flags
    assert list(parse(written)) == list(flags)
    assert (yaml.safe_load(written) or {}) == flags


@pytest.mark.parametrize(
    "line",
    [
        "dtype: half",
        "model: Qwen/Qwen3-8B   # a comment",
        "max-model-len: 32k",
        "enforce-eager: yes",
        "enforce-eager: off",
        "a: ~",
        "a: 'it''s'",
        'a: "x # y"',
        "a: 1 # one",
        'a: {"method": "mtp", "n": [1, 2]}   # spec',
        "host: 127.0.0.1",
        "a: v0.33.0",
    ],
)
def test_what_people_write_is_read_as_yaml_reads_it(line: str) -> None:
    assert parse(line + "\n") == yaml.safe_load(line)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("a: 1\n  b: 2\n", 2),
        ("a: 1\na: 2\n", 2),
        ("a:\n", 1),
        ("\n\njust words\n", 3),
        ('a: {"b": 1\n', 1),
        ("a: [1, x]\n", 1),
        ('a: "x" y\n', 1),
    ],
)
def test_a_line_that_cannot_be_read_is_named(text: str, number: int) -> None:
    with pytest.raises(Failure) as caught:
        parse(text)
    assert caught.value.kind == "config"
    assert f"Line {number} of vllm.yaml" in caught.value.message
