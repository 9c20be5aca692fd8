"""Which function answers which method and path, and what it needs: a scope, a filter, a class of rate limit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import unquote

from .auth import Caller
from .envelope import Json, not_found, page_bounds, paginate
from .filters import Filter
from .sandbox import Sandbox

Handler = Callable[["Call"], Any]


@dataclass
class Call:
    """One request on its way to a handler. `params` are the path's placeholders, `body` the JSON object or {}."""

    sandbox: Sandbox
    route: Route
    method: str
    path: str
    version: str
    params: dict[str, str]
    query: dict[str, str]
    body: Json
    caller: Caller
    filter_text: str | None = None

    @property
    def beta(self) -> bool:
        return self.version == "v4beta"

    def number(self, name: str) -> int:
        """A numeric placeholder; anything else names no object: 404."""
        text = self.params[name]
        if not text.isascii() or not text.isdigit() or len(text) > 18:
            raise not_found()
        return int(text)

    def page(self, rows: Iterable[Json]) -> Json:
        """Filter, order and cut a list as X-Filter, page and page_size say."""
        page, size = page_bounds(self.query)
        wanted = Filter(self.filter_text, self.route.filterable, self.route.orderable)
        return paginate(wanted.apply(rows), page, size)

    def missing(self) -> NoReturn:
        raise not_found()


@dataclass(frozen=True)
class Route:
    """`scope` None is public, ``*`` any token. `limit` is a class of api/ratelimit.py; None follows from the rest."""

    method: str
    path: str
    handler: Handler
    scope: str | None
    filterable: frozenset[str]
    orderable: frozenset[str]
    limit: str
    beta_only: bool
    body: bool

    @property
    def accepted_scopes(self) -> str:
        return self.scope or "*"


@dataclass
class _Node:
    literal: dict[str, _Node] = field(default_factory=dict)
    wild: _Node | None = None
    wild_name: str = ""
    tail: _Node | None = None
    tail_name: str = ""
    methods: dict[str, Route] = field(default_factory=dict)


_ROOT = _Node()


def route(
    method: str,
    path: str,
    scope: str | None,
    *,
    filterable: Iterable[str] = (),
    orderable: Iterable[str] = (),
    limit: str | None = None,
    beta_only: bool = False,
) -> Callable[[Handler], Handler]:
    """Register a handler. ``{name}`` is one segment of the path, ``{name...}`` the rest of it (image ids)."""

    def register(handler: Handler) -> Handler:
        fields = frozenset(filterable)
        kind = limit or ("public" if scope is None else "general")
        entry = Route(
            method, path, handler, scope, fields, frozenset(orderable) | _ALWAYS_ORDERABLE, kind, beta_only,
            method in ("POST", "PUT"),
        )  # fmt: skip
        node = _ROOT
        for part in path.strip("/").split("/"):
            node = _child(node, part)
        node.methods[method] = entry
        return handler

    return register


_ALWAYS_ORDERABLE = frozenset({"id", "label", "created", "updated", "status", "type", "region"})


def _child(node: _Node, part: str) -> _Node:
    if part.startswith("{") and part.endswith("...}"):
        node.tail = node.tail or _Node()
        node.tail_name = part[1:-4]
        return node.tail
    if part.startswith("{"):
        node.wild = node.wild or _Node()
        node.wild_name = part[1:-1]
        return node.wild
    return node.literal.setdefault(part, _Node())


def _walk(node: _Node, parts: list[str], params: dict[str, str]) -> _Node | None:
    if not parts:
        return node if node.methods else None
    head, rest = parts[0], parts[1:]
    if head in node.literal:
        found = _walk(node.literal[head], rest, params)
        if found is not None:
            return found
    if node.wild is not None and head:
        found = _walk(node.wild, rest, params)
        if found is not None:
            params[node.wild_name] = head
            return found
    if node.tail is not None:
        params[node.tail_name] = "/".join(parts)
        return node.tail
    return None


def find(raw_path: str) -> tuple[dict[str, Route], dict[str, str]] | None:
    """Routes by method and the placeholders of an encoded path without its version; None when nothing lives there."""
    parts = [unquote(part) for part in raw_path.strip("/").split("/")]
    params: dict[str, str] = {}
    node = _walk(_ROOT, parts, params)
    return None if node is None else (node.methods, params)
