# SPDX-License-Identifier: GPL-3.0-or-later
"""Long lines are broken between words, and what is to be copied stays whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linode_coder.terminal.escapes import one_line, width
from linode_coder.terminal.wrap import hanging, wrap
from tests.hostile import CORPUS

URL = "https://huggingface.co/" + "some-organisation/" * 5


def test_a_line_without_an_end_stays_as_it_is() -> None:
    assert wrap("a " * 500, None) == ["a " * 500]


def test_what_follows_goes_below_the_text_behind_the_label() -> None:
    line = "lease     7 h 58 min left, $4.16 to its end, hard cap 14:05 CET"
    assert wrap(line, 40) == ["lease     7 h 58 min left, $4.16 to its", " " * 10 + "end, hard cap 14:05 CET"]


@pytest.mark.parametrize(
    ("line", "indent"), [("model     x", 10), ("KV cache  x", 10), ("a sentence", 2), ("    x", 6)]
)
def test_the_label_is_seen(line: str, indent: int) -> None:
    assert hanging(line) == indent


def test_a_word_that_fits_nowhere_stands_alone_and_whole() -> None:
    lines = wrap(f"see {URL} for more of it", 40)
    assert lines == ["see", f"  {URL}", "  for more of it"]


def test_a_word_that_needs_the_indent_gets_it() -> None:
    assert wrap("model     " + "m" * 38 + " x", 40) == ["model", "  " + "m" * 38, " " * 10 + "x"]


def test_a_command_is_copied_from_one_line() -> None:
    said = "It may still bill. See what it is with: linode-coder status demo. Then go on."
    assert wrap(said, 60) == ["It may still bill. See what it is with:", "  linode-coder status demo. Then go on."]


@given(st.lists(st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=50)), st.integers(40, 120))
def test_no_word_is_broken_and_only_a_long_one_is_wider(words: list[str], columns: int) -> None:
    text = one_line(" ".join(words))
    lines = wrap(text, columns)
    assert " ".join(lines).split() == text.split()
    for line in lines:
        assert width(line) <= columns or (len(line.split()) == 1 and width(line.strip()) > columns - 2)


@pytest.mark.parametrize("text", CORPUS.values(), ids=CORPUS)
def test_a_hostile_text_loses_nothing(text: str) -> None:
    shown = one_line(text)
    assert " ".join(wrap(shown, 40)).split() == shown.split()
