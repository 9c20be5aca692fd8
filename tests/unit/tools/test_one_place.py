# SPDX-License-Identifier: GPL-3.0-or-later
"""What is easily done a little differently everywhere is done in one place."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
CORE = "collections/ansible_collections/linode_coder/gpu/plugins/module_utils/core/"

# Names that are called, and the files that may: what the others are to use is the first.
PLACES = {
    "flock": {
        CORE + "file_lock.py",
        "linode_coder/playbook/launch.py",  # runs before anything of the package is imported
    },
    "mkstemp": {CORE + "atomic_file.py"},
    "NamedTemporaryFile": {CORE + "atomic_file.py"},
    "get_close_matches": {CORE + "did_you_mean.py"},
    "HTTPConnection": {
        CORE + "../engine/client.py",
        CORE + "../linode/reader.py",
    },
}


def called(text: str) -> set[str]:
    """Last parts of the names that are called."""
    calls = [node.func for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    return {call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "") for call in calls}


def sources() -> list[Path]:
    """Ours, but for the sandbox and the files of roles: those run where nothing else of ours is."""
    tops = (ROOT / "linode_coder", ROOT / CORE / "../..", ROOT / "inventory_plugins")
    sandbox = ROOT / "linode_coder" / "sandbox"
    found = [path.resolve() for top in tops for path in top.rglob("*.py")]
    return [path for path in found if not path.is_relative_to(sandbox)]


@pytest.mark.parametrize("name", PLACES)
def test_it_is_called_in_its_place_alone(name: str) -> None:
    allowed = {(ROOT / path).resolve() for path in PLACES[name]}
    assert all(path.is_file() for path in allowed)
    assert {path for path in sources() if name in called(path.read_text())} - allowed == set()


def test_calls_are_seen() -> None:
    assert called("fcntl.flock(f, 1)\nopen(x)\na[0]()") == {"flock", "open", ""}
    assert len(sources()) > 150
