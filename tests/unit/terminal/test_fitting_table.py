# SPDX-License-Identifier: GPL-3.0-or-later
"""A table fits its terminal: columns go by importance, texts go on below, and what is cut says so."""

from __future__ import annotations

import itertools

import pytest

from linode_coder.terminal.escapes import width
from linode_coder.terminal.line import Span, plain
from linode_coder.terminal.table import Column, table
from tests.hostile import CORPUS

HEADS = [Column("NAME"), Column("STATE"), Column("MODEL", 2), Column("REGION", 3), Column("LEFT", 1)]
ROWS = [
    ["demo", "running", "qwen3-coder-30b", "us-ord", "7 h 58 min"],
    ["another-one", "offline", "glm-4.5-air", "fr-par-2", "over"],
]


def drawn(heads: list[Column], rows: list[list[str]], room: int | None) -> list[str]:
    return [plain(line) for line in table(heads, rows, room).lines]


def test_without_an_end_everything_is_there() -> None:
    assert drawn(HEADS, ROWS, None) == [
        "NAME         STATE    MODEL            REGION    LEFT",
        "demo         running  qwen3-coder-30b  us-ord    7 h 58 min",
        "another-one  offline  glm-4.5-air      fr-par-2  over",
    ]


def test_what_matters_least_goes_first_and_is_named() -> None:
    for room, gone in ((59, []), (58, ["REGION"]), (48, ["MODEL"]), (41, ["MODEL", "REGION"])):
        made = table(HEADS, ROWS, room)
        assert made.dropped == gone, room
        assert all(width(plain(line)) <= room for line in made.lines)
    assert table(HEADS, ROWS, 31).dropped == ["MODEL", "LEFT"]


def test_a_cell_that_is_cut_says_so() -> None:
    lines = drawn([Column("NAME"), Column("STATE")], [["n" * 60, "running"]], 40)
    assert lines[1] == "n" * 30 + "…  running"


def test_a_text_goes_on_below_itself() -> None:
    lines = drawn([Column("ID"), Column("WHY", text=True)], [["one", "because it is older than its lease"]], 30)
    assert lines == ["ID   WHY", "one  because it is older than", "     its lease"]


def test_a_text_without_room_goes_below_its_row() -> None:
    lines = drawn([Column("LABEL"), Column("WHY", text=True)], [["l" * 30, "because it is older than its lease"]], 40)
    assert lines == ["LABEL", "l" * 30, "    because it is older than its lease"]


def test_a_state_is_that_of_its_cell_alone() -> None:
    made = table([Column("A"), Column("B")], [["x", Span("down", "bad")], ["y", Span("up", "good")]], 40)
    assert [[span for span in line if span.state] for line in made.lines] == [
        [],
        [Span("down", "bad")],
        [Span("up", "good")],
    ]


@pytest.mark.parametrize("text", CORPUS.values(), ids=CORPUS)
def test_a_hostile_cell_breaks_no_table(text: str) -> None:
    heads = [Column("NAME"), Column("STATE"), Column("WHY", text=True)]
    for room, place in itertools.product((40, 80), range(2)):
        row = ["one", "two", "three"]
        row[place] = text
        lines = drawn(heads, [row], room)
        assert all(width(line) <= room for line in lines), lines
