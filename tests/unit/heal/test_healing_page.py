# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from tests.unit.heal.healing_table import PAGE, tables, with_tables


def test_the_page_says_what_the_catalogue_says() -> None:
    page = PAGE.read_text()
    assert with_tables(page) == page, "run: python -m tests.unit.heal.healing_table"
    assert all(text in page for text in tables().values())
