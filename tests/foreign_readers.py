# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the product's code takes text in: files, answers, output of programs. Found in its syntax, so that none is forgotten."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TREES = ("linode_coder", "collections", "roles", "inventory_plugins")
# It plays the outside, for this machine alone.
NOT_HERE = "linode_coder/sandbox/"

# Of whatever they are methods or functions.
_CALLS = {
    *(
        "read_text",
        "read_bytes",
        "read_string",
        "getresponse",
        "urlopen",
        "run_command",
        "readline",
        "check_output",
        "Popen",
    ),
    *("fromstring", "recv", "safe_load", "open_url", "LinodeClient", "create_subprocess_exec"),
}
# module.function
_FUNCTIONS = {
    *(
        "json.load",
        "json.loads",
        "tomllib.load",
        "tomllib.loads",
        "subprocess.run",
        "subprocess.check_call",
        "tarfile.open",
    ),
    *(
        "psycopg.connect",
        "sqlite3.connect",
        "os.read",
        "os.popen",
        "os.readlink",
        "yaml.load",
        "zipfile.ZipFile",
        "ElementTree.parse",
        "ansible_runner.interface.init_runner",
    ),
}


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _mode(call: ast.Call, position: int) -> str:
    given = next((word.value for word in call.keywords if word.arg == "mode"), None)
    if given is None and len(call.args) > position:
        given = call.args[position]
    if given is None:
        return "r"
    return str(given.value) if isinstance(given, ast.Constant) else "r"


def _reads(call: ast.Call) -> bool:
    name = _dotted(call.func)
    last = name.rpartition(".")[2] if name else getattr(call.func, "attr", "")
    if last == "open":
        # Of a path the mode comes first, of the function and of archives the path does. What is only locked is not read.
        return name != "os.open" and not set(_mode(call, 0 if "." in name or not name else 1)) & {"w", "x", "a"}
    return last in _CALLS or name in _FUNCTIONS


def readers(text: str) -> Iterator[str]:
    """Names of the functions in a file that read; the outermost one counts, methods with their class."""

    def within(node: ast.AST, owner: str) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            inner = owner
            if isinstance(child, ast.ClassDef):
                inner = f"{child.name}."
            elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) and (not owner or owner.endswith(".")):
                inner = f"{owner}{child.name}"
            if isinstance(child, ast.Call) and _reads(child):
                yield inner.rstrip(".") or "<module>"
            yield from within(child, inner)

    yield from within(ast.parse(text), "")


def all_readers() -> dict[str, set[str]]:
    """By file, relative to the checkout."""
    found = {}
    for tree in TREES:
        for path in sorted((ROOT / tree).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith(NOT_HERE) and (names := set(readers(path.read_text()))):
                found[name] = names
    return found
