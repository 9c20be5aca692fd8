# SPDX-License-Identifier: GPL-3.0-or-later
"""The page on security promises nothing that no test shows."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "collections/ansible_collections/linode_coder/gpu/docs/security.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
# The heading over what the product does not do, which no test can show.
OPEN = "What it does not protect from"


def promised() -> str:
    text, _heading, rest = PAGE.read_text().partition(f"## {OPEN}")
    assert rest, f"the page has no heading {OPEN!r}"
    return text


def promises() -> list[str]:
    """Every item of every list before that heading, as one line."""
    items = re.findall(r"^\* .*(?:\n  .*)*", promised(), re.MULTILINE)
    assert len(items) > 20, "the page's items are not found"
    return [" ".join(item.split()) for item in items]


@cache
def functions(path: str) -> set[str]:
    return {node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("item", promises(), ids=range(len(promises())))
def test_every_promise_names_a_test_that_is_there(item: str) -> None:
    named = NAMED.findall(item)
    assert named, item
    assert [(path, test) for path, test in named if test not in functions(path)] == []


def test_outside_of_lists_nothing_is_promised() -> None:
    """A paragraph would be no item: below the introduction only headings and lists are there."""
    text = promised()
    blocks = [block.strip() for block in text[text.index("\n## ") :].split("\n\n")]
    assert [block for block in blocks if block and not block.startswith(("* ", "## "))] == []
