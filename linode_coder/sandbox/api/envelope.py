"""Shapes that every answer shares: errors, pages, encoded JSON and timestamps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]


class ApiError(Exception):
    """Answered as ``{"errors": [{"reason", "field"?}]}`` with `status`; `headers` are added to the answer."""

    def __init__(self, status: int, errors: list[dict[str, str]], headers: dict[str, str] | None = None) -> None:
        super().__init__(status, errors)
        self.status = status
        self.errors = errors
        self.headers = headers or {}


def fail(reason: str, field: str | None = None, status: int = 400) -> ApiError:
    """One refusal; raise what this returns."""
    return ApiError(status, [{"reason": reason, "field": field} if field else {"reason": reason}])


def not_found() -> ApiError:
    return fail("Not found", status=404)


class Problems:
    """Collects everything that is wrong with a request: the API lists all failures in one answer."""

    def __init__(self) -> None:
        self.errors: list[dict[str, str]] = []

    def add(self, reason: str, field: str | None = None) -> None:
        self.errors.append({"reason": reason, "field": field} if field else {"reason": reason})

    def check(self) -> None:
        """Raise ApiError 400 when anything was added."""
        if self.errors:
            raise ApiError(400, self.errors)


def dumps(value: Any) -> bytes:
    """JSON with the separators the API uses (a blank after comma and colon)."""
    return json.dumps(value).encode()


def page_bounds(query: dict[str, str]) -> tuple[int, int]:
    """(page, page_size) of a list request: page from 1, page_size 25 to 500, default 100."""
    problems = Problems()
    page, size = 1, 100
    if "page" in query:
        try:
            page = int(query["page"])
        except ValueError:
            page = 0
        if page < 1:
            problems.add("Must be a positive integer", "page")
    if "page_size" in query:
        try:
            size = int(query["page_size"])
        except ValueError:
            size = 0
        if not 25 <= size <= 500:
            problems.add("Must be 25-500", "page_size")
    problems.check()
    return page, size


def paginate(rows: Sequence[Any], page: int, size: int) -> Json:
    """One page as ``{data, page, pages, results}``; an empty list has one page. That one past the last is a 404 is unverified."""
    pages = max(1, -(-len(rows) // size))
    if page > pages:
        raise not_found()
    return {"data": list(rows[(page - 1) * size : page * size]), "page": page, "pages": pages, "results": len(rows)}


def stamp(seconds: float) -> str:
    """``YYYY-MM-DDTHH:MM:SS`` in UTC without a zone, as the API writes times."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def unstamp(text: str) -> float:
    """Seconds since the epoch of an API time, with or without a trailing Z; ValueError when it is none."""
    moment = datetime.fromisoformat(text.removesuffix("Z"))
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
