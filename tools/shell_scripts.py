# SPDX-License-Identifier: GPL-3.0-or-later
"""Every shell script that is shipped or run here, under ShellCheck: files, and texts in what is shipped that become files of a
host."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ("linode_coder", "collections", "roles", "playbooks", "inventory_plugins")
PLACES = (*SHIPPED, ".ci", "molecule", "tests", "tools")
_SHELL = re.compile(r"#!\s*/\S*?(?:/env\s+)?(?:ba|da)?sh\b")


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def literals(program: str) -> Iterator[tuple[int, str]]:
    """Line and text of each string that is a script, with a 1 for what is put into it when it runs."""
    tree = ast.parse(program)
    whole = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    inside = {id(part) for node in whole for part in ast.walk(node) if part is not node}
    for node in ast.walk(tree):
        if id(node) in inside or not isinstance(node, ast.JoinedStr | ast.Constant):
            continue
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        text = "".join(_text(part.value) if isinstance(part, ast.Constant) else "1" for part in parts)
        # A first line alone is put before something that is elsewhere.
        if _SHELL.match(text) and text.partition("\n")[2]:
            yield node.lineno, text


def scripts() -> Iterator[tuple[str, str]]:
    """Place and text of each: `path` or `path:line`."""
    for place in PLACES:
        for path in sorted((ROOT / place).rglob("*")):
            name = str(path.relative_to(ROOT))
            if path.suffix == ".py":
                if place in SHIPPED:
                    yield from ((f"{name}:{line}", text) for line, text in literals(path.read_text()))
            elif path.is_file() and "__pycache__" not in path.parts:
                with path.open("rb") as file:
                    first = file.readline(200).decode(errors="replace")
                if _SHELL.match(first) or path.suffix == ".sh":
                    yield name, path.read_text()


def check(found: list[tuple[str, str]]) -> str:
    """What ShellCheck says about them, with their places; empty when it has nothing to say."""
    program = str(Path(sys.executable).with_name("shellcheck"))
    with tempfile.TemporaryDirectory() as directory:
        names = {f"{number}.sh": place for number, (place, _text) in enumerate(found)}
        for name, (_place, text) in zip(names, found, strict=True):
            Path(directory, name).write_text(text)
        done = subprocess.run(
            [program, "--norc", "--color=never", "--format=gcc", *names],
            cwd=directory,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode not in (0, 1):
        raise SystemExit(f"ShellCheck could not be run: {done.stderr}")
    return re.sub(r"(?m)^(\d+\.sh)", lambda match: names[match[1]], done.stdout)


def main() -> int:
    found = list(scripts())
    said = check(found)
    print(said or f"ShellCheck has nothing to say about {len(found)} scripts.\n", end="")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
