# SPDX-License-Identifier: GPL-3.0-or-later
"""What the quick tests stand on is quick itself."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.programs import PACKAGES

TESTS = Path(__file__).resolve().parents[2]
SLOWER = {"integration", "installed", "slow", "docker_hosts", "engine"}


def imported(program: str) -> set[str]:
    """The names below `tests` that a program imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(program)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {part[1] for name in names if (part := name.split("."))[0] == "tests" and len(part) > 1}
    return found


def test_no_unit_test_imports_a_slower_one() -> None:
    programs = sorted((TESTS / "unit").rglob("*.py"))
    assert len(programs) > 100
    assert [path.name for path in programs if imported(path.read_text()) & SLOWER] == []


def test_every_kind_of_import_is_seen() -> None:
    for line in ("import tests.slow.test_heal", "from tests.slow import test_heal", "from tests import slow"):
        assert imported(line) == {"slow"} or imported(line) > {"slow"}, line
    assert not imported("from tests.unit.heal import cases\nimport slow") & SLOWER


def test_ci_installs_every_judge() -> None:
    """It lands on machines that have had none of them before."""
    needed = set(re.findall(r"(?m)^[^#\n]* need\+=\((\S+)\)", (TESTS.parent / ".ci/run").read_text()))
    assert needed >= set(PACKAGES.values())
