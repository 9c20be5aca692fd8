# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from tools.healing_page import PAGE, tables, with_tables


def test_the_page_says_what_the_catalogue_says() -> None:
    page = PAGE.read_text()
    assert with_tables(page) == page, "write them again: python -m tools.healing_page"
    assert all(text in page for text in tables().values())
