# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be an alias of the served model."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.served_names import parse_aliases

from tests.hostile import CORPUS


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (None, None),
        ([], None),
        (["off"], ()),
        # As YAML reads it.
        ([False], ()),
        (["False"], ()),
        (["gpt-4o", "gpt-4o"], ("gpt-4o",)),
        (["anthropic/claude-opus-4.8:beta", "a"], ("anthropic/claude-opus-4.8:beta", "a")),
        ([f"m{number}" for number in range(32)], tuple(f"m{number}" for number in range(32))),
        (["m" * 96], ("m" * 96,)),
    ],
)
def test_names(given: Any, names: tuple[str, ...] | None) -> None:
    assert parse_aliases(given) == names


@pytest.mark.parametrize(
    "given",
    [
        [""],
        ["-x"],
        ["--host"],
        ["a b"],
        ["a,b"],
        ["a\n"],
        ["\u00e4"],
        ["/models/a"],
        ["m" * 97],
        ["off", "a"],
        ["m[1m]"],
    ],
)
def test_what_is_no_name_is_said(given: list[str]) -> None:
    with pytest.raises(Failure) as caught:
        parse_aliases(given)
    assert (caught.value.kind, caught.value.field) == ("usage", "alias")
    assert repr(caught.value.value) in caught.value.message and caught.value.remedy


def test_there_is_an_end_to_them() -> None:
    with pytest.raises(Failure, match="33 aliases"):
        parse_aliases([f"m{number}" for number in range(33)])


@pytest.mark.parametrize("text", [text for name, text in CORPUS.items() if name != "number"])
def test_a_hostile_text_is_no_name(text: str) -> None:
    with pytest.raises(Failure, match="alias"):
        parse_aliases([text])
    # It looks like a number to YAML, and is a name: vllm.yaml holds it as a text.
    assert parse_aliases([CORPUS["number"]]) == (CORPUS["number"],)
