# SPDX-License-Identifier: GPL-3.0-or-later
"""How the time of a reader grows with its input. Ratios of CPU seconds, in a process of its own that is ended when it takes too many."""

from __future__ import annotations

import ast
import gc
import importlib
import math
import os
import pickle
import pkgutil
import re
import resource
import signal
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from re import _parser  # type: ignore[attr-defined]
from typing import Any

# Four times the input may take four times as long, and some more on a machine that does other things.
WORST_RATIO = 8.0
# Below this a ratio says nothing.
_SECONDS = 0.01
# How often a ratio that looks bad is measured again.
_TRIES = 6
# What a reader of a few hundred kilobytes never needs.
LIMIT_S = 20


def in_child(work: Callable[[], Any], limit_s: int = LIMIT_S) -> Any:
    """The result of ``work``; None when it took more CPU seconds than it may and was killed."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reading)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_CPU, (limit_s, limit_s))
            # A collection walks through all that the tests hold, and would be counted as the reader's time.
            gc.disable()
            signal.signal(signal.SIGXCPU, signal.SIG_DFL)
            with os.fdopen(writing, "wb") as pipe:
                pickle.dump(work(), pipe)
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    _pid, status = os.waitpid(pid, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
        return pickle.loads(said)
    if os.WIFSIGNALED(status):
        return None
    raise AssertionError("the reader raised an error")


def _cpu(call: Callable[[str], Any], text: str, times: int = 1) -> float:
    began = time.process_time()
    for _time in range(times):
        call(text)
    return time.process_time() - began


def growth(call: Callable[[str], Any], make: Callable[[int], str], size: int) -> float:
    """How much longer a text of four times ``size`` takes; 0 when it is too quick to tell.

    What else the machine does only ever adds to a time, and more to a longer one. So the least of several counts, and the
    short text is read four times in a row: a reader that is linear takes as long for it as for the long one.
    """
    small, large = make(size), make(4 * size)
    quick = slow = math.inf
    for _try in range(_TRIES):
        slow = min(slow, _cpu(call, large))
        if slow < _SECONDS:
            return 0.0
        quick = min(quick, _cpu(call, small, 4) / 4)
        ratio = slow / max(quick, _SECONDS / 8)
        if ratio < WORST_RATIO:
            break
    return ratio


# -- patterns ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Use:
    """A pattern of the product: where it is, and how it is used."""

    where: str
    pattern: re.Pattern[str]
    anchored: bool

    def all(self, text: str) -> None:
        """The most that anybody does with it."""
        if self.anchored:
            self.pattern.match(text)
            self.pattern.fullmatch(text)
        else:
            for _found in self.pattern.finditer(text):
                pass


def _patterns_in(value: Any, seen: set[int]) -> Iterator[re.Pattern[str]]:
    if isinstance(value, re.Pattern):
        if isinstance(value.pattern, str):
            yield value
    elif id(value) not in seen:
        seen.add(id(value))
        parts: list[Any] = []
        if isinstance(value, (list, tuple, set, frozenset)):
            parts = list(value)
        elif isinstance(value, dict):
            parts = list(value.values())
        elif is_dataclass(value) and not isinstance(value, type):
            parts = [getattr(value, field.name) for field in fields(value)]
        for part in parts:
            yield from _patterns_in(part, seen)


def _inline(source: str) -> Iterator[tuple[int, re.Pattern[str], bool]]:
    """Patterns that are written where they are used."""
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "re"
            and node.args
            and isinstance(node.args[0], ast.Constant)
            and isinstance(node.args[0].value, str)
            and node.func.attr in ("search", "match", "fullmatch", "findall", "finditer", "sub", "split")
        ):
            names = {
                name.attr
                for argument in node.args[1:]
                for name in ast.walk(argument)
                if isinstance(name, ast.Attribute)
            }
            flags = re.NOFLAG
            for name in names & {"MULTILINE", "IGNORECASE", "DOTALL", "ASCII"}:
                flags |= re.RegexFlag[name]
            yield node.lineno, re.compile(node.args[0].value, flags), node.func.attr in ("match", "fullmatch")


def uses(package: types.ModuleType) -> list[Use]:
    """Every pattern of the modules of a package."""
    found = []
    for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        module = importlib.import_module(info.name)
        source = Path(str(module.__file__)).read_text()
        for name, value in vars(module).items():
            how = set(re.findall(rf"\b{re.escape(name)}\.(\w+)\(", source))
            anchored = bool(how) and how <= {"match", "fullmatch"}
            patterns = list(_patterns_in(value, set()))
            found += [Use(f"{info.name}.{name}", pattern, anchored) for pattern in patterns]
        found += [Use(f"{info.name}:{line}", pattern, anchored) for line, pattern, anchored in _inline(source)]
    return found


def _sample(parsed: Any) -> str:
    """A short text that a part of a pattern matches, or nearly."""
    text = ""
    for operation, argument in parsed:
        name = str(operation)
        if name == "LITERAL":
            text += chr(argument)
        elif name == "NOT_LITERAL" or name == "ANY":
            text += "a"
        elif name == "IN":
            text += _member(argument)
        elif name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            text += _sample(argument[2]) * max(1, argument[0])
        elif name == "SUBPATTERN":
            text += _sample(argument[3])
        elif name == "ATOMIC_GROUP":
            text += _sample(argument)
        elif name == "BRANCH":
            text += _sample(argument[1][0])
    return text


def _member(items: Any) -> str:
    negated = str(items[0][0]) == "NEGATE"
    if negated:
        inside = re.compile("[" + "".join(_written(item) for item in items[1:]) + "]")
        return next(char for char in "a1 -x\n" if not inside.match(char))
    for operation, argument in items:
        name = str(operation)
        if name == "LITERAL":
            return chr(argument)
        if name == "RANGE":
            return chr(argument[0])
    return {"CATEGORY_DIGIT": "1", "CATEGORY_SPACE": " "}.get(str(items[0][1]), "a")


def _written(item: Any) -> str:
    operation, argument = str(item[0]), item[1]
    if operation == "LITERAL":
        return re.escape(chr(argument))
    if operation == "RANGE":
        return f"{re.escape(chr(argument[0]))}-{re.escape(chr(argument[1]))}"
    classes = {"DIGIT": r"\d", "NOT_DIGIT": r"\D", "SPACE": r"\s", "NOT_SPACE": r"\S", "WORD": r"\w", "NOT_WORD": r"\W"}
    return classes[str(argument).removeprefix("CATEGORY_")]


def _sequences(parsed: Any) -> Iterator[list[Any]]:
    """The pattern's branches, wherever they are, each as what stands before it and itself."""
    items = list(parsed)
    yield items
    for place, (operation, argument) in enumerate(items):
        name = str(operation)
        inner: list[Any] = []
        if name == "SUBPATTERN":
            inner = [argument[3]]
        elif name == "BRANCH":
            inner = list(argument[1])
        elif name in ("MAX_REPEAT", "MIN_REPEAT"):
            inner = [argument[2]]
        for part in inner:
            for sequence in _sequences(part):
                yield items[:place] + sequence


def pumps(pattern: re.Pattern[str]) -> set[str]:
    """What, repeated, may make a pattern begin again and again: samples of all its beginnings and of its parts."""
    found = {"a", "1", " ", "\n", "a ", "1.", "0", "\n "}
    for sequence in _sequences(_parser.parse(pattern.pattern, pattern.flags)):
        for end in range(1, len(sequence) + 1):
            found.add(_sample(sequence[:end]))
        for item in sequence:
            found.add(_sample([item]))
    return {pump for pump in found if pump}
