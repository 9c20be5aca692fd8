# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of plays and tasks are what people read while they wait: an order that names its object."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
FILES = sorted(
    path for tree in ("playbooks", "roles/*/tasks", "roles/*/handlers") for path in ROOT.glob(f"{tree}/**/*.yml")
)
# It, of the task before? People read one line at a time.
VAGUE = re.compile(
    r"^\w+ (?:it|its|them|there|anew|how|why|who|when)\b|\b(?:something|what (?:is|was|were|has|came|stands))\b"
)
ALLOWED = ("Note when ", "Report why ", "Note why ")


def names(content: Any) -> Iterator[str]:
    """Of plays, blocks and tasks, whatever is nested in what."""
    for entry in content if isinstance(content, list) else ():
        yield entry["name"]
        for inner in ("tasks", "pre_tasks", "post_tasks", "block", "rescue", "always", "handlers"):
            yield from names(entry.get(inner))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_name_is_an_order_with_its_object(path: Path) -> None:
    for name in names(yaml.safe_load(path.read_text())):
        assert re.fullmatch(r"[A-Z][a-z]+,? \S.*[^.!?,;:]", name), name
        assert len(name) <= 72, name
        assert name.startswith(ALLOWED) or not VAGUE.search(name), name
        assert not name.split()[0].endswith("ing"), name
