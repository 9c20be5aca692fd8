# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages for who works on this name what is there: rooms and what they import, files, tests, targets, options."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
import yaml

from linode_coder.cli.help import PANELS
from tests.imports import imports, modules, rooms

ROOT = Path(__file__).resolve().parents[3]
COLLECTION = ROOT / "collections/ansible_collections/linode_coder/gpu"
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())
PAGES = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md")),
    *(role / "README.md" for role in ROLES),
]
# What a page names of these is a path from here or from the collection.
PLACES = (ROOT, COLLECTION)
FOLDERS = {path.name for place in PLACES for path in place.iterdir() if path.is_dir()}
NAMED_TEST = re.compile(r"(tests/[\w/]+\.py)::(\w+)")
# By the heading of its table: where the rooms are, and the package that they are in.
ROOMS = {
    "Rooms of module_utils": (
        COLLECTION / "plugins/module_utils",
        "ansible_collections.linode_coder.gpu.plugins.module_utils",
    ),
    "Rooms of linode_coder": (ROOT / "linode_coder", "linode_coder"),
}
IDS = {"ids": lambda path: str(path.relative_to(ROOT))}


def section(page: str, heading: str) -> str:
    _before, found, rest = (ROOT / page).read_text().partition(f"\n## {heading}\n")
    assert found, f"{page} has no section {heading!r}"
    return rest.partition("\n## ")[0]


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the rows of the section's table, without its head."""
    lines = [line for line in section(page, heading).splitlines() if line.startswith("|")]
    assert len(lines) > 2, f"{heading}: no table"
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def quoted(text: str) -> list[str]:
    """What stands between backticks, outside of blocks of commands."""
    return re.findall(r"`([^`\n]+)`", text)


def listed_imports(heading: str) -> dict[str, set[str]]:
    return {cells[0].strip("`"): set(quoted(cells[2])) for cells in rows("ARCHITECTURE.md", heading)}


@cache
def functions(path: str) -> set[str]:
    """Those of a file of tests; none where there is no such file."""
    tree = ast.parse((ROOT / path).read_text() if (ROOT / path).exists() else "")
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("heading", ROOMS)
def test_rooms_and_what_they_import(heading: str) -> None:
    place, package = ROOMS[heading]
    there = {path.name for path in place.iterdir() if path.suffix == ".py" or any(path.glob("*.py"))} - {"__init__.py"}
    found = rooms(imports(modules(place, package)))[package]
    shown = {name: name if name in there else f"{name}.py" for name in found}
    actual = {shown[name]: {shown[other] for other in others} for name, others in found.items()}
    assert listed_imports(heading) == {name: actual.get(name, set()) for name in there}


@pytest.mark.parametrize("heading", ROOMS)
def test_a_room_imports_only_rooms_above_it(heading: str) -> None:
    listed = listed_imports(heading)
    order = list(listed)
    assert [(one, other) for one in order for other in listed[one] if order.index(other) >= order.index(one)] == []


def test_the_sandbox_has_these_rooms() -> None:
    listed = {cells[0].strip("`") for cells in rows("ARCHITECTURE.md", "The sandbox")}
    assert listed == {path.parent.name for path in (ROOT / "linode_coder/sandbox").glob("*/__init__.py")}


def test_the_folders_are_these() -> None:
    listed = {name.strip("/") for cells in rows("README.md", "Development") for name in quoted(cells[0])}
    ignored = {line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()}
    there = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    assert listed == there - ignored


def test_every_invariant_names_its_tests() -> None:
    items = re.findall(r"^\d+\. .*", section("ARCHITECTURE.md", "Invariants"), re.MULTILINE)
    assert len(items) > 10
    assert [item for item in items if not NAMED_TEST.search(item)] == []


@pytest.mark.parametrize("page", PAGES, **IDS)
def test_named_tests_and_files_are_there(page: Path) -> None:
    text = page.read_text()
    assert [(path, name) for path, name in NAMED_TEST.findall(text) if name not in functions(path)] == []
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []
    paths = [word for word in quoted(text) if word.partition("/")[0] in FOLDERS and "NAME" not in word]
    assert [path for path in paths if not any((base / path.partition("::")[0]).exists() for base in PLACES)] == []


@pytest.mark.parametrize("page", PAGES, **IDS)
def test_targets_are_those_of_the_makefile(page: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^ {4}|`)make ([a-z-]+)", page.read_text(), re.MULTILINE)) <= targets


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_a_role_says_what_it_does_needs_and_changes(role: Path) -> None:
    page = f"roles/{role.name}/README.md"
    text = (ROOT / page).read_text()
    assert text.startswith(f"# {role.name}\n")
    headings = re.findall(r"^## (.*)", text, re.MULTILINE)
    assert [heading.removesuffix(" on the VM") for heading in headings] == [
        *("Requirements", "Variables", "Example", "What it changes", "Check mode")
    ]
    options = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    assert {word for word in re.findall(rf"\b{role.name}_\w+", text) if word not in options} == set()
    required = {name for name, option in options.items() if option.get("required")}
    example = yaml.safe_load("\n".join(re.findall(r"^ {4}(.*)", section(page, "Example"), re.MULTILINE)))
    (used,) = [one for one in example[0]["roles"] if one["role"] == f"linode_coder.gpu.{role.name}"]
    assert required <= set(used.get("vars", {})) <= set(options)


def test_what_each_command_needs_is_said() -> None:
    """Of those that are about sessions; what only this machine's files tell needs neither token nor key."""
    page = str((COLLECTION / "docs/several-control-nodes.md").relative_to(ROOT))
    named = {name for cells in rows(page, "What works with which") for name in quoted(cells[0])}
    about = {name for panel in ("Sessions", "Talk to the model", "Look after it") for name in PANELS[panel]}
    assert about - named == {"history", "leave", "perf"} and named - about == {"cost"}
