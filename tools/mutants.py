# SPDX-License-Identifier: GPL-3.0-or-later
"""Break the decisions one small way at a time and see whether the unit tests notice: ``make mutants``.

Every mutant is one change of one function: a comparison turned, a condition held true or false, a number one off, a statement
left out. The tests are collected once; a first run notes which of them enter which function. Each mutant then lives in a fork
of that process, where the function's code is exchanged, and meets only the tests that enter it.

Mutants that change nothing anybody can see are listed in ``mutants_equivalent.txt``, with the reason.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import inspect
import os
import random
import signal
import sys
import time
import types
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings

PACKAGE = "ansible_collections.linode_coder.gpu.plugins.module_utils"
MODULES = (
    "core.cost",
    "health.engine",
    "health.gpu",
    "health.nvidia_smi",
    "health.outside",
    "health.vm",
    "health.xid",
    "heal.attempts",
    "heal.ladder",
    "engine.diagnosis",
    "engine.exceptions",
    "engine.failed_start",
    "engine.flag_steps",
    "engine.phases",
    "engine.silence",
    "linode.errors",
    "model.memory_fit",
    "offer.offers",
    "offer.quote",
    "session.lease",
    "session.tags",
    "watch.decision",
    "watch.idle_clock",
)
GOAL = 0.9
EQUIVALENT = Path(__file__).with_name("mutants_equivalent.txt")
# A mutant that does not end is noticed by any person who waits for it.
LIMIT_S = 60
TURNED = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


@dataclass(frozen=True)
class Mutant:
    """``path`` leads to the node in the tree, ``name`` is the function's qualified name, ``what`` says what is changed."""

    module: str
    name: str
    line: int
    text: str
    what: str
    code: types.CodeType

    @property
    def key(self) -> str:
        return f"{self.module} | {self.name} | {self.text} | {self.what}"


def _operator(node: Any, position: int | None) -> tuple[str, Callable[[Any], None]] | None:
    old = node.op if position is None else node.ops[position]
    new = TURNED.get(type(old))
    if new is None:
        return None

    def change(found: Any) -> None:
        if position is None:
            found.op = new()
        else:
            found.ops[position] = new()

    return f"{type(old).__name__} to {new.__name__}", change


def _set(name: str, value: Any) -> Callable[[Any], None]:
    return lambda found: setattr(found, name, value)


def changes(node: ast.AST) -> Iterator[tuple[str, Callable[[Any], None]]]:
    """What can be changed of one node, each as its name and what does it to a copy of the node."""
    if isinstance(node, ast.Compare):
        yield from filter(None, (_operator(node, at) for at in range(len(node.ops))))
    elif isinstance(node, ast.BinOp | ast.BoolOp):
        found = _operator(node, None)
        if found:
            yield found
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield (
            "without not",
            lambda one: (setattr(one, "op", ast.Not()), setattr(one, "operand", ast.UnaryOp(ast.Not(), one.operand)))[
                0
            ],
        )
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield f"{node.value} to {node.value + 1}", _set("value", node.value + 1)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield f"{node.value} to {not node.value}", _set("value", not node.value)
    elif isinstance(node, ast.If | ast.IfExp | ast.While):
        if not isinstance(node, ast.While):
            yield "held true", _set("test", ast.Constant(True))
        yield "held false", _set("test", ast.Constant(False))
    elif isinstance(node, ast.comprehension):
        for at in range(len(node.ifs)):
            yield "filter held true", lambda one, at=at: one.ifs.__setitem__(at, ast.Constant(True))
    elif isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant):
        yield "returns None", _set("value", ast.Constant(None))


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Of a function, without what only describes it: its annotations, defaults, decorators and docstring."""
    waiting: list[ast.AST] = list(reversed(tree.body)) if isinstance(tree, ast.FunctionDef) else [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.AnnAssign):
            waiting += [node.value] if node.value else []
            continue
        if isinstance(node, ast.JoinedStr | ast.Raise | ast.Import | ast.ImportFrom):
            continue  # texts for people, which no test should spell out
        yield node
        if isinstance(node, ast.FunctionDef):
            waiting += reversed(node.body)
        else:
            waiting += reversed(list(ast.iter_child_nodes(node)))


def _functions(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in body:
        if isinstance(node, ast.FunctionDef):
            yield prefix + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node.body, f"{prefix}{node.name}.")


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from _codes(constant)


def mutants(module: str) -> Iterator[Mutant]:
    source_path = Path(inspect.getfile(importlib.import_module(f"{PACKAGE}.{module}")))
    lines = source_path.read_text().splitlines()
    tree = ast.parse(source_path.read_text())
    for name, function in _functions(tree.body):
        for node in list(_nodes(function)):
            for what, change in changes(node):
                saved = copy.copy(node)
                saved_lists = {key: list(value) for key, value in vars(node).items() if isinstance(value, list)}
                change(node)
                ast.fix_missing_locations(tree)
                compiled = compile(tree, str(source_path), "exec")
                for key, value in vars(saved).items():
                    setattr(node, key, saved_lists.get(key, value))
                code = next(one for one in _codes(compiled) if one.co_qualname == name and one.co_firstlineno)
                line = getattr(node, "lineno", function.lineno)
                yield Mutant(module, name, line, lines[line - 1].strip(), what, code)


def function_of(module: str, name: str) -> types.FunctionType | None:
    """The function that everybody calls, below what decorates it."""
    found: Any = importlib.import_module(f"{PACKAGE}.{module}")
    for part in name.split("."):
        found = inspect.getattr_static(found, part)
    for attribute in ("fget", "func", "__func__", "__wrapped__"):
        found = getattr(found, attribute, found)
    found = inspect.unwrap(found) if callable(found) else found
    return found if isinstance(found, types.FunctionType) else None


class Runner:
    """A pytest plugin that runs the tests again for every mutant instead of once."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.lived: list[Mutant] = []
        self.met: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        self.clean = True

    def pytest_collection(self) -> None:
        """Any example that fails is enough, nobody reads the smallest one."""
        settings.register_profile("mutants", settings.get_profile("project"), phases=(Phase.explicit, Phase.generate))
        settings.load_profile("mutants")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        everything = [one for module in self.options.modules for one in mutants(module)]
        listed = (
            {row.split(" # ")[0].strip() for row in EQUIVALENT.read_text().splitlines()}
            if EQUIVALENT.exists()
            else set()
        )
        everything = [one for one in everything if one.key not in listed]
        if self.options.sample:
            chance = random.Random(self.options.seed)
            everything = chance.sample(everything, min(self.options.sample, len(everything)))
        entered = self._entered(session)
        if not self.clean:
            return True
        self._race(session, everything, entered)
        return True

    def _entered(self, session: pytest.Session) -> dict[tuple[str, str], list[tuple[float, int]]]:
        """Which tests (how long they take, their place) enter which function."""
        files = {inspect.getfile(importlib.import_module(f"{PACKAGE}.{one}")): one for one in self.options.modules}
        entered: dict[tuple[str, str], list[tuple[float, int]]] = defaultdict(list)
        seen: set[tuple[str, str]] = set()

        def note(frame: types.FrameType, event: str, _argument: object) -> None:
            if event == "call" and frame.f_code.co_filename in files:
                seen.add((files[frame.f_code.co_filename], frame.f_code.co_qualname))

        for at, item in enumerate(session.items):
            seen.clear()
            begun = time.monotonic()
            sys.setprofile(note)
            try:
                failed = self._fails(session, at)
            finally:
                sys.setprofile(None)
            if failed:
                self.clean = False
                print(f"fails without any mutant: {item.nodeid}")
            for one in seen:
                entered[one].append((time.monotonic() - begun, at))
        return entered

    def _fails(self, session: pytest.Session, at: int) -> bool:
        from _pytest.runner import runtestprotocol

        item = session.items[at]
        following = None  # so that fixtures of wider scopes end with each test, and no mutant meets those of another
        return any(report.failed for report in runtestprotocol(item, nextitem=following, log=False))

    def _race(self, session: pytest.Session, everything: list[Mutant], entered: Any) -> None:
        running: dict[int, Mutant] = {}
        waiting = list(reversed(everything))
        while waiting or running:
            while waiting and len(running) < self.options.jobs:
                one = waiting.pop()
                tests = [at for _time, at in sorted(entered.get((one.module, one.name), []))]
                sys.stdout.flush()
                pid = os.fork()
                if pid == 0:
                    os._exit(self._child(session, one, tests))
                running[pid] = one
            pid, status = os.wait()
            one = running.pop(pid)
            count = self.met[one.module]
            count[0] += 1
            if os.waitstatus_to_exitcode(status) == 0:
                self.lived.append(one)
                print(f"{one.module}:{one.line} lives: {one.key}", file=sys.stderr)
            else:
                count[1] += 1

    def _child(self, session: pytest.Session, one: Mutant, tests: list[int]) -> int:
        function = function_of(one.module, one.name)
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(LIMIT_S)
        if function is None:
            return 0
        function.__code__ = one.code
        try:
            return int(any(self._fails(session, at) for at in tests))
        except SystemExit:
            return 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("modules", nargs="*", default=list(MODULES))
    parser.add_argument("--sample", type=int, help="only so many of all, chosen by chance")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--tests", action="append", help="a file or folder of tests, instead of all of tests/unit")
    options = parser.parse_args()
    runner = Runner(options)
    # The folder of this file would give its modules second names.
    sys.path.pop(0)
    tests = options.tests or [str(Path(__file__).resolve().parents[1] / "tests/unit")]
    pytest.main(
        ["-q", "-p", "no:xdist", "-p", "no:cacheprovider", "--timeout", "0", "--no-header", *tests], plugins=[runner]
    )
    for one in sorted(runner.lived, key=lambda found: (found.module, found.line)):
        print(f"{one.module}:{one.line} lives: {one.key}")
    below = [name for name, (met, killed) in runner.met.items() if killed < GOAL * met]
    for name, (met, killed) in runner.met.items():
        print(f"{name:20} {killed:4}/{met:<4} {killed / met:4.0%}{'  below the goal' if name in below else ''}")
    return int(bool(below) or not runner.clean or not runner.met)


if __name__ == "__main__":
    sys.exit(main())
