"""The HTTP face of the account: every request goes through `answer`, in the order the real API does things."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import struct
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from . import (  # noqa: F401 (importing them registers their routes)
    absent,
    account,
    actions,
    catalogue,
    config_interfaces,
    disks,
    events,
    firewalls,
    images,
    instances,
    interfaces,
    invoices,
    locks,
    networking,
    tags,
    vlans,
    volumes,
)
from .auth import Caller, identify, require
from .envelope import ApiError, Json, dumps, fail, not_found
from .faults import AFTER, BEFORE, RESET_BEFORE, EdgePage, Fault, refusal
from .routing import Call, Route, find
from .sandbox import Sandbox

_log = logging.getLogger(__name__)
_VERSIONS = ("v4", "v4beta")
_COMMON = {
    "Access-Control-Allow-Credentials": "true",
    "Access-Control-Allow-Headers": "Authorization, Origin, X-Requested-With, Content-Type, Accept, X-Filter",
    "Access-Control-Allow-Methods": "HEAD, GET, OPTIONS, POST, PUT, DELETE",
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "X-OAuth-Scopes, X-Accepted-OAuth-Scopes, X-Status",
    "Content-Security-Policy": "default-src 'none'",
    "Server": "nginx",
    "Strict-Transport-Security": "max-age=31536000",
    "Vary": "Authorization, X-Filter",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Spec-Version": "4.229.1",
    "X-XSS-Protection": "1; mode=block",
}
_UNCACHED = "max-age=0, no-cache, no-store"
_CACHED = {"/regions": "private, max-age=60", "/linode/types": "private, max-age=900"}


class _Reset(Exception):
    """The connection is to be reset instead of answered."""


def new_app() -> web.Application:
    """An application without routes: add what else the server answers, then call `serve_api`."""
    return web.Application(client_max_size=8 * 1024 * 1024)


def serve_api(app: web.Application, sandbox: Sandbox) -> None:
    """Everything that no route before it took is a request to the API."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return await answer(sandbox, request)

    app.router.add_route("*", "/{path:.*}", handle)


async def answer(sandbox: Sandbox, request: web.Request) -> web.StreamResponse:
    """One request: route, caller, rate limit, scope, faults, handler, commit, faults after commit."""
    headers = dict(_COMMON)
    raw = request.rel_url.raw_path
    version, _, path = raw.lstrip("/").partition("/")
    path = "/" + path.rstrip("/")
    headers["Cache-Control"] = _CACHED.get(path, _UNCACHED)
    caller = Caller("", "unknown", False)
    try:
        route, params = _resolve(request.method, version, path)
        headers["X-Accepted-OAuth-Scopes"] = route.accepted_scopes
        caller = identify(sandbox.store, request.headers.get("Authorization"), request.remote or "")
        headers["X-OAuth-Scopes"] = caller.scopes
        body = await _body(request, route)
        await _delay(sandbox, request.method, path, body)
        skewed = sandbox.faults.strike(("skewed_date",), request.method, unquote(path), body)
        if skewed is not None:
            headers["Date"] = formatdate(time.time() + skewed.delay, usegmt=True)
        _break_before(sandbox, request.method, path, body)
        headers.update(sandbox.limits.spend(caller.key, route.limit))
        require(caller, route.scope)
        call = Call(
            sandbox, route, request.method, path, version, params, dict(request.query), body, caller,
            request.headers.get("X-Filter"),
        )  # fmt: skip
        result = _run(call, route.handler)
        after = sandbox.faults.strike(AFTER, request.method, path, body)
        sandbox.store.flush()
        if after is not None:
            _break_after(after)
        if result is None:
            return web.Response(status=204, headers=headers)
        return web.Response(body=dumps(result), content_type="application/json", headers=headers)
    except ApiError as error:
        sandbox.store.flush()
        headers.update(error.headers)
        text = dumps({"errors": error.errors})
        return web.Response(status=error.status, body=text, content_type="application/json", headers=headers)
    except EdgePage as page:
        sandbox.store.flush()
        bare = {"Server": headers["Server"]}
        return web.Response(status=page.status, text=page.html, content_type="text/html", headers=bare)
    except _Reset:
        sandbox.store.flush()
        return _reset(request)
    except Exception:  # noqa: BLE001 - a bug of the sandbox is still an answer, with its trace in server.log
        _log.exception("%s %s broke", request.method, path)
        text = dumps({"errors": [{"reason": "Internal Server Error"}]})
        return web.Response(status=500, body=text, content_type="application/json", headers=headers)


def _run(call: Call, handler: Callable[[Call], Any]) -> Any:
    try:
        return handler(call)
    except account.NoContent:
        return None


def _resolve(method: str, version: str, path: str) -> tuple[Route, dict[str, str]]:
    found = find(path) if version in _VERSIONS else None
    if found is None:
        raise not_found()
    methods, params = found
    methods = {name: route for name, route in methods.items() if version == "v4beta" or not route.beta_only}
    if not methods:
        raise not_found()
    wanted = "GET" if method == "HEAD" else method
    if wanted not in methods:
        error = fail("Method Not Allowed", status=405)
        error.headers["Allow"] = ", ".join(sorted(methods))
        raise error
    return methods[wanted], params


async def _body(request: web.Request, route: Route) -> Json:
    if not route.body:
        return {}
    raw = await request.read()
    if not raw.strip():
        return {}
    try:
        body = json.loads(raw)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise fail("Invalid JSON") from error
    if body is None:
        return {}
    if not isinstance(body, dict):
        raise fail("The request body must be a JSON object")
    return body


async def _delay(sandbox: Sandbox, method: str, path: str, body: Json) -> None:
    fault = sandbox.faults.strike(("delay",), method, unquote(path), body)
    if fault is not None:
        await asyncio.sleep(fault.delay)


def _break_before(sandbox: Sandbox, method: str, path: str, body: Json) -> None:
    if sandbox.faults.strike(RESET_BEFORE, method, unquote(path), body) is not None:
        raise _Reset
    fault = sandbox.faults.strike(BEFORE, method, unquote(path), body)
    if fault is not None:
        raise refusal(fault)


def _break_after(fault: Fault) -> None:
    if fault.kind == "reset_after_commit":
        raise _Reset
    raise refusal(fault)


def _reset(request: web.Request) -> web.Response:
    """Close with RST rather than FIN: the client cannot tell whether anything happened."""
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response(status=500)
