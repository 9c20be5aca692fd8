"""The X-Filter header: which rows a list request wants, and in which order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from .envelope import ApiError, Json, fail

Predicate = Callable[[Json], bool]

_HEADER = "X-Filter"
_MAX_DEPTH = 20


def _lookup(row: Any, path: tuple[str, ...]) -> Any:
    """What stands there; of the items of a list what stands there in each."""
    for depth, part in enumerate(path):
        if isinstance(row, list):
            return [_lookup(item, path[depth:]) for item in row]
        if not isinstance(row, dict):
            return None
        row = row.get(part)
    return row


def _like(wanted: Any, actual: Any) -> Any:
    """`wanted` as the type of `actual` where that loses nothing: clients send numbers and booleans as strings too."""
    if isinstance(wanted, str):
        if isinstance(actual, bool):
            return {"true": True, "false": False}.get(wanted.lower(), wanted)
        if isinstance(actual, int | float):
            try:
                return float(wanted)
            except ValueError:
                return wanted
    elif isinstance(actual, str) and isinstance(wanted, int | float) and not isinstance(wanted, bool):
        return str(wanted)
    return wanted


def _equals(actual: Any, wanted: Any) -> bool:
    if isinstance(actual, list):
        return any(_equals(item, wanted) for item in actual)
    wanted = _like(wanted, actual)
    if isinstance(actual, bool) != isinstance(wanted, bool):
        return False
    return bool(actual == wanted)


def _contains(actual: Any, wanted: Any) -> bool:
    if isinstance(actual, list):
        return any(_contains(item, wanted) for item in actual)
    return isinstance(actual, str) and str(wanted).lower() in actual.lower()


def _ordered(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(actual: Any, wanted: Any) -> bool:
        if isinstance(actual, list):
            return any(compare(item, wanted) for item in actual)
        wanted = _like(wanted, actual)
        if isinstance(actual, str) and isinstance(wanted, str):
            return test(actual, wanted.removesuffix("Z"))
        if isinstance(actual, int | float) and isinstance(wanted, int | float):
            return test(actual, wanted)
        return False

    return compare


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "+eq": _equals,
    "+neq": lambda actual, wanted: not _equals(actual, wanted),
    "+contains": _contains,
    "+gt": _ordered(lambda a, b: bool(a > b)),
    "+gte": _ordered(lambda a, b: bool(a >= b)),
    "+lt": _ordered(lambda a, b: bool(a < b)),
    "+lte": _ordered(lambda a, b: bool(a <= b)),
}


def _field(key: str, filterable: frozenset[str]) -> tuple[str, ...]:
    if key not in filterable:
        raise fail(f"Cannot filter on {key}", _HEADER)
    return tuple(key.split("."))


def _leaf(path: tuple[str, ...], operator: str, wanted: Any) -> Predicate:
    test = _OPERATORS.get(operator)
    if test is None:
        raise fail(f"Unrecognized operator {operator}", _HEADER)
    if isinstance(wanted, dict | list):
        raise fail(f"The value of {operator} must be a string, a number, a boolean or null", _HEADER)
    if path == ("tags",):
        # Tags are equal whatever their case.
        text = wanted.lower() if isinstance(wanted, str) else wanted
        return lambda row: test([tag.lower() for tag in row.get("tags") or []], text)
    if len(path) == 1:
        name = path[0]
        return lambda row: test(row.get(name), wanted)
    return lambda row: test(_lookup(row, path), wanted)


def _compile(node: Any, filterable: frozenset[str], depth: int = 0) -> list[Predicate]:
    """Predicates that must all hold."""
    if not isinstance(node, dict) or depth > _MAX_DEPTH:
        raise fail("Must be a JSON object", _HEADER)
    tests: list[Predicate] = []
    for key, value in node.items():
        if key in ("+order_by", "+order"):
            if depth:
                raise fail(f"{key} is only allowed at the top level", _HEADER)
        elif key in ("+and", "+or"):
            if not isinstance(value, list):
                raise fail(f"{key} must be a list", _HEADER)
            branches = [_compile(item, filterable, depth + 1) for item in value]
            if key == "+and":
                tests.extend(test for branch in branches for test in branch)
            elif branches:
                tests.append(
                    lambda row, branches=branches: any(  # type: ignore[misc]
                        all(test(row) for test in branch) for branch in branches
                    )
                )
        elif key.startswith("+"):
            raise fail(f"Unrecognized operator {key}", _HEADER)
        else:
            path = _field(key, filterable)
            if isinstance(value, dict):
                tests.extend(_leaf(path, operator, wanted) for operator, wanted in value.items())
            else:
                tests.append(_leaf(path, "+eq", value))
    return tests


class Filter:
    """A compiled X-Filter. `filterable` names the fields (dotted) a list can be filtered and ordered by.

    Raises ApiError 400 with the field ``X-Filter`` for anything the API would not understand.
    """

    def __init__(self, text: str | None, filterable: Iterable[str], orderable: Iterable[str] = ()) -> None:
        self._tests: list[Predicate] = []
        self._order_by: tuple[str, ...] | None = None
        self._descending = False
        if not text or not text.strip():
            return
        try:
            node = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise fail("Must be valid JSON", _HEADER) from error
        allowed = frozenset(filterable)
        self._tests = _compile(node, allowed)
        order = node.get("+order", "asc")
        if order not in ("asc", "desc"):
            raise fail("+order must be asc or desc", _HEADER)
        order_by = node.get("+order_by")
        if order_by is not None:
            if not isinstance(order_by, str) or (order_by not in allowed and order_by not in frozenset(orderable)):
                raise fail(f"Cannot order by {order_by}", _HEADER)
            self._order_by = tuple(order_by.split("."))
        self._descending = order == "desc"

    def apply(self, rows: Iterable[Json]) -> list[Json]:
        """The matching rows, ordered."""
        tests = self._tests
        return self.ordered([row for row in rows if all(test(row) for test in tests)] if tests else list(rows))

    def ordered(self, found: list[Json]) -> list[Json]:
        """In the order that was asked for; rows that tie keep theirs (reversed when descending)."""
        if self._order_by is not None:
            path = self._order_by
            if self._descending:
                found.reverse()
            found.sort(key=lambda row: _sort_key(_lookup(row, path)), reverse=self._descending)
        return found


def _sort_key(value: Any) -> tuple[int, Any]:
    if value is None:
        return (0, 0)
    if isinstance(value, bool | int | float):
        return (1, value)
    return (2, json.dumps(value) if isinstance(value, list | dict) else str(value))


__all__ = ["ApiError", "Filter"]
