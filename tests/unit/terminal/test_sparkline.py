# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers as a picture of one line."""

from __future__ import annotations

from linode_coder.terminal.sparkline import sparkline


def test_from_nothing_to_all() -> None:
    assert sparkline([0, 25, 50, 100], 10, blocks=True, most=100) == "▁▃▅█"
    assert sparkline([0, 25, 50, 100], 10, blocks=False, most=100) == "_-=#"


def test_a_little_is_not_nothing() -> None:
    assert sparkline([0, 0.001], 10, blocks=True, most=100) == "▁▂"


def test_the_largest_is_full_where_nothing_else_is() -> None:
    assert sparkline([1, 2], 10, blocks=True) == "▅█"


def test_what_is_not_known_is_a_gap_and_the_last_ones_are_shown() -> None:
    assert sparkline([9, 0, None, float("nan"), 5], 4, blocks=True) == "▁  █"


def test_no_room_and_no_values() -> None:
    assert sparkline([1, 2], 0, blocks=True) == sparkline([], 9, blocks=True) == sparkline([1], -3, blocks=True) == ""


def test_only_zeros_and_more_than_most() -> None:
    assert sparkline([0, 0], 9, blocks=True) == "▁▁"
    assert sparkline([200], 9, blocks=True, most=100) == "█"
