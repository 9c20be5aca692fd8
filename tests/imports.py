# SPDX-License-Identifier: GPL-3.0-or-later
"""Which module imports which, read from the source: also what is imported in a function or for the type checker alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

Graph = dict[str, set[str]]


def modules(root: Path, name: str) -> dict[str, Path]:
    """Every module of the package `name` that lies at `root`, by its whole name; a package is its ``__init__.py``."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join([name, *(parts[:-1] if parts[-1] == "__init__" else parts)])] = path
    return found


def named(source: str, package: str) -> Iterator[tuple[str, str | None]]:
    """What a module of `package` imports: the module's whole name, and the name that is taken from it if one is."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, None
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield base, alias.name


def imports(known: dict[str, Path]) -> Graph:
    """The modules that each module imports, of those that are known. ``from package import module`` imports the module."""
    graph: Graph = {}
    for module, path in known.items():
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        wanted = set()
        for base, name in named(path.read_text(), package):
            inner = f"{base}.{name}"
            wanted.add(inner if inner in known else base)
        graph[module] = {name for name in wanted if name in known} - {module}
    return graph


def rooms(graph: Graph) -> dict[str, Graph]:
    """By package: which of its parts (modules and packages right below it) import which of its other parts."""
    found: dict[str, Graph] = {}
    for module, wanted in graph.items():
        for other in wanted:
            one, two = module.split("."), other.split(".")
            depth = next((at for at, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), None)
            if depth:  # None: one of them is the other's package
                inside = found.setdefault(".".join(one[:depth]), {})
                inside.setdefault(one[depth], set()).add(two[depth])
                inside.setdefault(two[depth], set())
    return found


def circles(graph: Graph) -> list[list[str]]:
    """The sets of modules that each reach all others of their set: strongly connected components of more than one."""
    reached = {module: _reach(graph, module) for module in graph}
    found: list[list[str]] = []
    for module in sorted(graph):
        circle = sorted(other for other in reached[module] if module in reached.get(other, ()))
        if circle and circle not in found:
            found.append(circle)
    return found


def _reach(graph: Graph, start: str) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        new = graph.get(waiting.pop(), set()) - seen
        seen |= new
        waiting += new
    return seen
