# SPDX-License-Identifier: GPL-3.0-or-later
"""How phases are drawn: in windows of every size, never wider than the window, and never by colour alone."""

from __future__ import annotations

import pytest

from linode_coder.terminal.escapes import width
from linode_coder.terminal.line import plain
from linode_coder.terminal.phase_lines import Row, about, fits, lines, took

ROWS = [
    Row("VM", "done", 12.3),
    Row("system", "unchanged", 8.0),
    Row("driver", "failed", 140.0),
    Row("image", "running", 31.0, ("4 of 12 layers fetched, 3 unpacked",)),
    Row("weights", "running", 28.0, ("3.1 of 5.6 GB", "112 MB/s", "22 s left")),
    Row("engine", "waiting", None, (), ("driver", "image", "weights")),
]


def drawn(columns: int, rows: int = 24) -> list[str]:
    return [plain(line) for line in lines(ROWS, "in all 43 s of about 9 min expected", columns, rows, 0)]


def test_at_120_columns_all_is_said() -> None:
    assert drawn(120) == [
        "✓ VM              12 s",
        "= system           8 s  nothing to change",
        "x driver    2 min 20 s  failed",
        "| image           31 s  4 of 12 layers fetched, 3 unpacked",
        "| weights         28 s  3.1 of 5.6 GB, 112 MB/s, 22 s left",
        ". engine                waits for driver, image, weights",
        "  in all 43 s of about 9 min expected",
    ]


def test_at_40_columns_the_most_important_stays() -> None:
    assert drawn(40) == [
        "✓ VM          12 s",
        "= system       8 s nothing to change",
        "x driver  2 min 20 s failed",
        "| image       31 s 4 of 12 layers fetc…",
        "| weights     28 s 3.1 of 5.6 GB",
        ". engine   waits for 3 others",
        "  in all 43 s of about 9 min expected",
    ]


@pytest.mark.parametrize("columns", [*range(1, 131, 3), 40, 80, 120])
@pytest.mark.parametrize("height", [1, 8, 9, 24])
def test_no_line_is_as_wide_as_the_window(columns: int, height: int) -> None:
    """One that wraps, or fills the last column, could not be drawn over."""
    shown = drawn(columns, height)
    assert len(shown) == (len(ROWS) + 1 if fits(len(ROWS) + 1, columns, height) else 1)
    assert len(shown) < max(2, height)
    if columns >= 8:
        assert max(width(line) for line in shown) < columns


def test_a_small_window_shows_what_runs() -> None:
    assert drawn(80, 6) == ["| image 31 s: 4 of 12 layers fetched, 3 unpacked"]
    assert [plain(line) for line in lines(ROWS[:3], "", 20, 24, 1)] == ["x driver 2 min 20 …"]


def test_what_comes_from_a_vm_steers_nothing() -> None:
    hostile = [Row("image", "running", 1.0, ("\x1b[2J\r\nall is well \u202e",))]
    for columns in (30, 80):
        (first, *_rest) = lines(hostile, "\x1b]0;x\x07", columns, 24, 0)
        assert plain(first).isprintable()


def test_times() -> None:
    assert [took(9.4), took(99), took(125), took(3725)] == ["9 s", "99 s", "2 min 05 s", "62 min 05 s"]
    assert [about(64), about(561)] == ["64 s", "9 min"]
