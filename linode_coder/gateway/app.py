"""The HTTP interface: what OpenAI's and Anthropic's have of ours, and `/status`."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import format_time
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from yarl import URL

from ..endpoint.port_owner import NotOurs
from . import wakes
from .doors import check_origin
from .errors import MOST_WAIT_S, Refusal, api_of, refusal_of
from .key import fits
from .limits import check
from .relay import Asked, ClientGone, Stream, back, for_engine, onward, read
from .routing import Known, route
from .session import House, Session
from .upstream import LOST, Endpoint

# Bytes of a request: what the VM's proxy takes.
BODY_LIMIT = 64 * 2**20
# A request is sent so often in all, as long as nothing of an answer came.
TRIES = 3
# The paths that the VM's proxy lets through, but for what is of no model.
_ASKS = re.compile(r"/v1/(chat/completions|completions|responses|messages|messages/count_tokens|embeddings)", re.ASCII)
_STORED = re.compile(r"/v1/responses/[A-Za-z0-9._-]+(/[a-z_]+)?", re.ASCII)
# Of the VM's proxy when there is no engine behind it.
_DOWN = (502, 504)


@dataclass(frozen=True)
class Patience:
    """Seconds: how long a request without a stream is held; after how long a stream gets its head although nothing is decided; and
    between two signs of life in it."""

    hold: float = 25.0
    decide: float = 20.0
    alive: float = 10.0


class Lost(Exception):
    """The engine went before it answered."""

    def __init__(self, why: str, wrong_key: bool = False) -> None:
        super().__init__(why)
        self.wrong_key = wrong_key


@dataclass
class Gateway:
    house: House
    key: str
    port: int
    patience: Patience = field(default_factory=Patience)
    sessions: dict[str, Session] = field(default_factory=dict)
    since: float = field(default_factory=time.time)
    # Answers that have begun have had their time.
    ending: asyncio.Event = field(default_factory=asyncio.Event)

    def session(self, name: str) -> Session:
        return self.sessions.setdefault(name, Session(name, self.house))

    def app(self) -> web.Application:
        app = web.Application(client_max_size=BODY_LIMIT, middlewares=[self._guard])
        app.router.add_get("/health", self._health)
        app.router.add_get("/status", self._status)
        app.router.add_get("/v1/models", self._models)
        app.router.add_route("*", "/{path:.*}", self._relay)
        return app

    # -- every request ---------------------------------------------------------------------------------------------

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Let it in or refuse it, and tell every refusal in the form of the client's API."""
        try:
            check_origin(request.headers.get("Host"), request.headers.get("Origin"))
            given = request.headers.get("Authorization"), request.headers.get("x-api-key")
            if request.path != "/health" and not fits(self.key, *given):
                raise Refusal(
                    401,
                    "invalid_api_key",
                    "The API key is missing or wrong. It is in the file that `linode-coder gateway` names; send it as Authorization: "
                    "Bearer KEY, or as x-api-key.",
                )
            return await handler(request)
        except Refusal as refusal:
            return self._refused(request, refusal)
        except Failure as failure:
            return self._refused(request, refusal_of(failure))
        except web.HTTPRequestEntityTooLarge:
            return self._refused(
                request, Refusal(413, "request_too_large", f"The body is larger than {BODY_LIMIT // 2**20} MiB.")
            )
        except ClientGone:
            return web.Response(status=499)
        except web.HTTPException:
            raise
        except Exception as error:  # noqa: BLE001 - the last resort: a client is told in its API's form, and no trace is
            return self._refused(request, self._unexpected(error))

    def _unexpected(self, error: Exception) -> Refusal:
        what = f"{type(error).__name__}: {error}"
        self.house.tell(f"Something unexpected happened, which is a bug: {what}", {"event": "bug", "error": what})
        return Refusal(500, "internal", f"Something unexpected happened in the gateway: {type(error).__name__}.")

    @staticmethod
    def _refused(request: web.Request, refusal: Refusal) -> web.Response:
        api = api_of(request.path, "anthropic-version" in request.headers)
        return web.json_response(refusal.body(api), status=refusal.status, headers=refusal.headers())

    # -- what the gateway says itself: none of it is use of an engine ------------------------------------------------

    async def _health(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _known(self, at_once: bool = False) -> list[Known]:
        await asyncio.to_thread(self.house.directory.refresh, at_once)
        return self.house.directory.known()

    async def _models(self, _request: web.Request) -> web.Response:
        """In both forms at once: each API has names for the same that the other does not know."""
        since = int(self.since)
        rows = [
            {
                "id": name,
                "object": "model",
                "created": since,
                "owned_by": "linode-coder",
                "type": "model",
                "display_name": name,
                "created_at": format_time(since),
                "session": known.name,
                "awake": known.awake,
            }
            for known in await self._known()
            if not known.ended
            for name in dict.fromkeys((*known.models, known.name))
        ]
        ends = {"first_id": rows[0]["id"], "last_id": rows[-1]["id"]} if rows else {"first_id": None, "last_id": None}
        return web.json_response({"object": "list", "data": rows, "has_more": False, **ends})

    async def _status(self, _request: web.Request) -> web.Response:
        return web.json_response(await self.status())

    async def status(self) -> dict[str, Any]:
        now = time.time()
        wakes_today = len(wakes.today(now))
        rows = []
        for known in await self._known():
            session = self.sessions.get(known.name)
            waking = session.progress.as_dict() if session and session.progress else None
            serves = session is not None and session.endpoint is not None
            why = session.failure.message if session and session.failure and not waking else None
            if not (known.awake or serves or waking) and why is None:
                why = self._why_not(known.name, now, wakes_today)
            rows.append(
                {
                    "session": known.name,
                    "models": list(known.models),
                    "state": "waking" if waking else "awake" if known.awake or serves else "asleep",
                    "waking": waking,
                    "refused": why,
                }
            )
        limits = self.house.limits
        return {
            "schema": 1,
            "port": self.port,
            "since": format_time(int(self.since)),
            "sessions": rows,
            "wakes_today": wakes_today,
            "limits": {"hours": limits.hours, "wakes": limits.wakes, "lease": limits.lease},
        }

    def _why_not(self, name: str, now: float, wakes_today: int) -> str | None:
        try:
            self.house.directory.may_wake(name)
            check(self.house.limits, name, time.localtime(now), wakes_today)
        except Failure as failure:
            return failure.message
        return None

    # -- requests for an engine --------------------------------------------------------------------------------------

    async def _relay(self, request: web.Request) -> web.StreamResponse:
        stored = _STORED.fullmatch(request.path) is not None
        if not stored and not _ASKS.fullmatch(request.path):
            raise Refusal(404, "not_found", "The gateway does not let this path through.")
        if not stored and request.method != "POST":
            raise Refusal(405, "method_not_allowed", "This path is asked with POST.")
        body = await request.read()
        asked = Asked({}, None, False) if stored and not body else await asyncio.to_thread(read, body)
        name = await self._route(asked.model)
        stream = Stream(request, api_of(request.path, "anthropic-version" in request.headers)) if asked.stream else None
        session = self.session(name)
        try:
            return await self._answer(request, body, asked, session, stream)
        except (Refusal, Failure) as error:
            if stream is None or not stream.opened:
                raise
            return await stream.fail(error if isinstance(error, Refusal) else refusal_of(error))
        except ClientGone:
            raise
        except Exception as error:
            if stream is None or not stream.opened:
                raise
            return await stream.fail(self._unexpected(error))

    async def _route(self, model: str | None) -> str:
        try:
            return route(await self._known(), model)
        except Refusal:
            # It may have been made a moment ago.
            return route(await self._known(at_once=True), model)

    async def _answer(
        self, request: web.Request, body: bytes, asked: Asked, session: Session, stream: Stream | None
    ) -> web.StreamResponse:
        tried = 0
        while True:
            endpoint = await self._ready(session, stream)
            tried += 1
            data = for_engine(asked, body, endpoint.names) if asked.document else body
            try:
                return await self._pass(request, data, endpoint, stream)
            except Lost as lost:
                session.doubt(lost.wrong_key)
                if tried == TRIES:
                    raise Refusal(
                        503,
                        "engine_lost",
                        f"The engine of session {session.name!r} went {tried} times before it answered ({lost}). "
                        f"Look at it: linode-coder check {session.name}",
                        30,
                    ) from lost

    async def _ready(self, session: Session, stream: Stream | None) -> Endpoint:
        """The way to the engine, however long a stream has to wait for it; Refusal when one without a stream has waited enough."""
        making = session.ready()
        stopped = asyncio.ensure_future(self.house.stopping.wait())
        began = time.monotonic()
        try:
            while True:
                waited = time.monotonic() - began
                pause = self.patience.alive
                if stream is None:
                    pause = max(0.0, self.patience.hold - waited)
                elif not stream.opened:
                    pause = min(pause, 0.5)
                await asyncio.wait({making, stopped}, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                if making.done():
                    return making.result()
                if self.house.stopping.is_set():
                    raise _stopping()
                progress = session.progress
                if stream is None:
                    if time.monotonic() - began >= self.patience.hold:
                        raise _waking(session)
                elif (
                    stream.opened or time.monotonic() - began > self.patience.decide or (progress and progress.accepted)
                ):
                    await stream.keep_alive(progress.sentence() if progress else session.name)
        finally:
            stopped.cancel()

    async def _pass(
        self, request: web.Request, data: bytes, endpoint: Endpoint, stream: Stream | None
    ) -> web.StreamResponse:
        """The engine's answer; Lost when there is none, and the request may be sent again."""
        try:
            async with self.house.client.request(
                request.method,
                _url(endpoint, request),
                data=data or None,
                headers=onward(request.headers, endpoint.key),
                allow_redirects=False,
                trace_request_ctx=endpoint,
            ) as answer:
                if answer.status in _DOWN:
                    raise Lost(f"HTTP {answer.status}")
                if answer.status == 401:
                    raise Lost("it does not take the key that this machine has", wrong_key=True)
                headers = back(answer.headers)
                if stream is None or answer.status != 200 or answer.content_type != "text/event-stream":
                    whole = await answer.content.read()
                    if stream is not None and stream.opened:
                        raise Refusal(answer.status, "engine_error", _message(whole))
                    return web.Response(status=answer.status, body=whole, headers=headers)
                # The rest of an answer that has begun cannot come from another engine.
                while part := await self._part(answer.content.readany, stream, endpoint):
                    await stream.tell(part, headers)
                return await stream.end()
        except NotOurs as error:
            raise Lost(str(error)) from error
        except LOST as error:
            why = str(error) or type(error).__name__
            if stream is None or not stream.begun:
                raise Lost(why) from error
            raise Refusal(502, "engine_lost", f"The engine went while it answered: {why}.") from error

    async def _part(self, more: Callable[[], Awaitable[bytes]], stream: Stream, endpoint: Endpoint) -> bytes:
        """What comes next, empty at the end. Before the first part a long prompt may take its time."""
        coming, ending = asyncio.ensure_future(more()), asyncio.ensure_future(self.ending.wait())
        try:
            while True:
                pause = None if stream.begun else self.patience.alive
                await asyncio.wait({coming, ending}, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                if coming.done():
                    return coming.result()
                if ending.done():
                    raise _stopping()
                await stream.keep_alive(f"{endpoint.session} reads the prompt")
        finally:
            coming.cancel()
            ending.cancel()


def _url(endpoint: Endpoint, request: web.Request) -> URL:
    """The path that was looked at, and the query as it was written."""
    query = request.rel_url.raw_query_string
    return URL(endpoint.url + request.path + (f"?{query}" if query else ""), encoded=True)


def _stopping() -> Refusal:
    return Refusal(503, "gateway_stopping", "The gateway is stopping. Start it again: linode-coder gateway", 10)


def _waking(session: Session) -> Refusal:
    """For a client without a stream: when to ask again, and what happens meanwhile."""
    progress = session.progress
    left = MOST_WAIT_S if progress is None or progress.left is None else round(progress.left)
    said = progress.sentence() if progress else f"{session.name} is being started"
    return Refusal(503, "waking", f"{said}. Ask again, or with a stream, which waits.", min(max(left, 5), MOST_WAIT_S))


def _message(body: bytes) -> str:
    """Of an engine's refusal, for a stream whose head is out."""
    try:
        found = read(body[: 2**20]).document
    except Refusal:
        found = {}
    error = found.get("error")
    message = error.get("message") if isinstance(error, dict) else found.get("message")
    return message[:2000] if isinstance(message, str) else body[:500].decode("utf-8", "replace")
