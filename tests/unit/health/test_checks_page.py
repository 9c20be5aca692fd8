# SPDX-License-Identifier: GPL-3.0-or-later
"""The page about the checks says what the catalogue says."""

from __future__ import annotations

from tools.checks_page import PAGE, render


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == render(), "write it again: python -m tools.checks_page"
