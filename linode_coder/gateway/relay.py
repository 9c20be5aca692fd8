"""A request as it comes in and goes on: what is read of it, which headers pass, how its answer is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

from ..endpoint.passing_headers import passing
from .errors import Api, Refusal, keep_alive

# The gateway's key, and what is between a client and the gateway. The body comes unpacked.
_CLIENTS_OWN = ("authorization", "x-api-key", "cookie", "origin", "accept-encoding", "content-encoding", "expect")
_SERVERS_OWN = ("server", "date", "set-cookie")


def onward(headers: Mapping[str, str], key: str) -> CIMultiDict[str]:
    """Headers of a request for the engine, with its key."""
    passed = passing(headers, *_CLIENTS_OWN)
    passed["Authorization"] = f"Bearer {key}"
    return passed


def back(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """Headers of an answer for the client."""
    return passing(headers, *_SERVERS_OWN)


@dataclass(frozen=True)
class Asked:
    """What is read of a body, which passes as it came."""

    document: dict[str, Any]
    model: str | None
    stream: bool


def read(body: bytes) -> Asked:
    """Refusal for what is no JSON object."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise Refusal(400, "invalid_json", "The body is not a JSON object.")
    model = document.get("model")
    return Asked(document, model if isinstance(model, str) else None, document.get("stream") is True)


def for_engine(asked: Asked, body: bytes, names: tuple[str, ...]) -> bytes:
    """The body as it came; where the engine does not know the model by that name, with the engine's own."""
    if asked.model in names:
        return body
    return json.dumps({**asked.document, "model": names[0]}).encode()


class ClientGone(Exception):
    """Nobody reads the answer any more."""


class Stream:
    """An answer in parts. ``begun``: a part of the engine's has been told; before that everything can still be tried again."""

    def __init__(self, request: web.Request, api: Api) -> None:
        self._request, self._api = request, api
        self._response: web.StreamResponse | None = None
        self.begun = False

    @property
    def opened(self) -> bool:
        """Its head is out, so its status cannot be another one any more."""
        return self._response is not None

    async def head(self, headers: Mapping[str, str] | None = None) -> web.StreamResponse:
        if self._response is None:
            given = headers or {"Content-Type": "text/event-stream; charset=utf-8"}
            response = web.StreamResponse(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no", **given})
            await self._request_is_there(response.prepare(self._request))
            self._response = response
        return self._response

    async def keep_alive(self, said: str) -> None:
        response = await self.head()
        await self._request_is_there(response.write(keep_alive(self._api, said)))

    async def tell(self, part: bytes, headers: Mapping[str, str]) -> None:
        response = await self.head(headers)
        self.begun = True
        await self._request_is_there(response.write(part))

    async def fail(self, refusal: Refusal) -> web.StreamResponse:
        """As the last event; one that was cut off is ended before."""
        response = await self.head()
        end = b"\n\n" if self.begun else b""
        await self._request_is_there(response.write(end + refusal.event(self._api)))
        return await self.end()

    async def end(self) -> web.StreamResponse:
        response = await self.head()
        await self._request_is_there(response.write_eof())
        return response

    @staticmethod
    async def _request_is_there(work: Any) -> None:
        try:
            await work
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            raise ClientGone from error
