# SPDX-License-Identifier: GPL-3.0-or-later
"""No module, and no room of modules, needs one that needs it; and the collection does not need the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.imports import Graph, circles, imports, modules, named, rooms

ROOT = Path(__file__).resolve().parents[3]
PLUGINS = "ansible_collections.linode_coder.gpu.plugins"
COLLECTION = {
    **modules(ROOT / "collections/ansible_collections/linode_coder/gpu/plugins", PLUGINS),
    # Where the wheel and the Galaxy archive have it.
    **modules(ROOT / "inventory_plugins", f"{PLUGINS}.inventory"),
}


@pytest.fixture(scope="module")
def graph() -> Graph:
    return imports({**modules(ROOT / "linode_coder", "linode_coder"), **COLLECTION})


def test_no_module_is_in_a_circle(graph: Graph) -> None:
    assert sum(map(len, graph.values())) > 900, "the imports were not found"
    assert circles(graph) == []


def test_no_room_is_in_a_circle(graph: Graph) -> None:
    found = rooms(graph)
    assert {"linode_coder", "linode_coder.sandbox", f"{PLUGINS}.module_utils"} <= set(found)
    assert {package: circles(parts) for package, parts in found.items() if circles(parts)} == {}


def test_the_collection_never_imports_the_command_line() -> None:
    assert len(COLLECTION) > 50
    for module, path in COLLECTION.items():
        ours = {
            base
            for base, _name in named(path.read_text(), module.rpartition(".")[0])
            if base.split(".")[0] == "linode_coder"
        }
        assert ours == set(), module


def made(place: Path, files: dict[str, str]) -> Graph:
    for name, text in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return imports(modules(place, "made"))


def test_every_way_to_import_counts(tmp_path: Path) -> None:
    graph = made(
        tmp_path,
        {
            "__init__.py": "from . import plain",
            "plain.py": "import json, made.dotted",
            "dotted.py": "def late():\n    from made.inner import deep, name",
            "inner/__init__.py": "from ..plain import something",
            "inner/deep.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..outer import Thing as Other",
            "inner/beside.py": "from . import deep as d\nfrom .. import outer\nfrom .deep import made",
            "outer.py": "import made.inner.beside as b",
        },
    )
    assert graph == {
        "made": {"made.plain"},
        "made.plain": {"made.dotted"},
        "made.dotted": {"made.inner", "made.inner.deep"},
        "made.inner": {"made.plain"},
        "made.inner.deep": {"made.outer"},
        "made.inner.beside": {"made.inner.deep", "made.outer"},
        "made.outer": {"made.inner.beside"},
    }
    assert circles(graph) == [
        ["made.dotted", "made.inner", "made.plain"],
        ["made.inner.beside", "made.inner.deep", "made.outer"],
    ]


def test_rooms_may_be_in_a_circle_whose_modules_are_not(tmp_path: Path) -> None:
    graph = made(
        tmp_path,
        {
            "__init__.py": "",
            "one/a.py": "from ..two import c",
            "one/b.py": "",
            "two/c.py": "",
            "two/d.py": "from ..one import b\nfrom . import c",
        },
    )
    assert circles(graph) == []
    assert rooms(graph) == {"made": {"one": {"two"}, "two": {"one"}}, "made.two": {"d": {"c"}, "c": set()}}
    assert circles(rooms(graph)["made"]) == [["one", "two"]]


def test_a_line_of_imports_is_no_circle() -> None:
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
    assert circles({"a": {"b"}, "b": {"a"}, "c": {"c"}}) == [["a", "b"], ["c"]]


IMPORTER = """
import importlib, os, pkgutil, sys
import aiohttp, ansible_runner, asyncssh, linode_api4, yaml  # what these do is not ours
import linode_coder
from ansible_collections.linode_coder.gpu.plugins import module_utils
seen = []
def watch(event, arguments):
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        seen.append(arguments[0])
    elif event in ("os.mkdir", "os.remove", "os.rename", "subprocess.Popen", "socket.bind", "socket.connect"):
        seen.append((event, arguments))
sys.addaudithook(watch)
names = [one.name for top in (linode_coder, module_utils) for one in pkgutil.walk_packages(top.__path__, top.__name__ + ".")]
for name in names:
    if not name.endswith(("__main__", "tiny_models", "vllm_cpu", "vllm_processes")):  # need the real engine's packages
        importlib.import_module(name)
print(len(names), seen)
"""


def test_importing_does_nothing_to_the_machine() -> None:
    """A module that is imported by who only reads it, a test or a tool, makes no file and asks nobody."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", IMPORTER], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    count, _space, seen = done.stdout.strip().partition(" ")
    assert int(count) > 200 and seen == "[]"
