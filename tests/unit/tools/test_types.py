# SPDX-License-Identifier: GPL-3.0-or-later
"""`make types` looks at all that is shipped."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = ("linode_coder", "collections", "roles", "playbooks", "inventory_plugins")
WRONG = '\n\nnot_a_number: int = "text"\n'


def programs(root: Path) -> list[Path]:
    return sorted(path.relative_to(root) for name in SHIPPED for path in (root / name).rglob("*.py"))


def test_the_types_of_every_program_that_is_shipped_are_checked() -> None:
    mypy = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]
    places = [ROOT / name for name in mypy["files"]]
    assert mypy["strict"] and len(programs(ROOT)) > 200
    assert [path for path in programs(ROOT) if not any((ROOT / path).is_relative_to(place) for place in places)] == []
    assert [row["module"] for row in mypy["overrides"] if row.get("ignore_errors")] == []


def test_a_wrong_type_is_found_in_whichever_program_it_is(tmp_path: Path) -> None:
    """A module that mypy is told to overlook, or takes for another one of the same name, would hide its own."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for program in programs(ROOT):
        (tmp_path / program).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / program).write_text((ROOT / program).read_text() + WRONG)
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path / "cache")]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    found = re.findall(r"^([^:\n]+):\d+: error: Incompatible types in assignment", said.stdout, re.MULTILINE)
    assert sorted({Path(path) for path in found}) == programs(ROOT), said.stdout + said.stderr
