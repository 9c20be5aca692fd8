# SPDX-License-Identifier: GPL-3.0-or-later
"""`make types` looks at all that is shipped."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = ("linode_coder", "collections", "roles", "playbooks", "inventory_plugins")


def test_the_types_of_every_program_that_is_shipped_are_checked() -> None:
    mypy = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]
    places = [ROOT / name for name in mypy["files"]]
    programs = [path for name in SHIPPED for path in (ROOT / name).rglob("*.py")]
    assert mypy["strict"] and len(programs) > 200
    assert [path for path in programs if not any(path.is_relative_to(place) for place in places)] == []
    unheeded = [row["module"] for row in mypy["overrides"] if row.get("ignore_errors")]
    assert unheeded == [["linode_coder.sandbox.guest.*"]]
