"""What clients of a group talk to: it checks their key, and hands their requests to the router.

The router asks for no key where it sends its own, and anybody who reaches its port may add and remove engines; so clients reach
this instead, and of the router only what serves.
"""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Callable
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, web
from yarl import URL

from .passing_headers import passing

# How long a request waits for a router that starts.
PATIENCE_S = 30.0
# Of a request: images in a long conversation.
BODY_LIMIT = 256 * 1024 * 1024
# What a VM's own proxy lets through, and nothing of the router itself.
_SERVED = re.compile(r"/(?:v1/[A-Za-z0-9._/-]+|version)", re.ASCII)


def refusal(status: int, message: str, kind: str, code: str | None = None) -> web.Response:
    """An error as the engine's own API has them."""
    return web.json_response(
        {"error": {"message": message, "type": kind, "param": None, "code": code or status}}, status=status
    )


class Front:
    """``key`` is the group's, ``router`` says where the router listens, None while it does not."""

    def __init__(self, group: str, key: str, router: Callable[[], str | None], client: ClientSession) -> None:
        self.group, self.key, self.router, self.client = group, key, router, client

    def app(self) -> web.Application:
        app = web.Application(client_max_size=BODY_LIMIT)
        app.router.add_route("*", "/{path:.*}", self.serve)
        return app

    async def serve(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/health":
            return await self.health()
        given = request.headers.get("Authorization", "")
        scheme, _space, key = given.partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(key.strip().encode(), self.key.encode()):
            return refusal(
                401,
                "The API key is missing or wrong; send it as Authorization: Bearer KEY.",
                "invalid_request_error",
                "invalid_api_key",
            )
        path = request.raw_path.partition("?")[0]
        if not _SERVED.fullmatch(path) or ".." in path:
            return refusal(404, "That is not served here.", "NotFoundError")
        body = await request.read()
        where = await self.up()
        if where is None:
            return self.nobody()
        headers = passing(request.headers, "accept-encoding")
        answer: web.StreamResponse | None = None
        try:
            # As it was written, with its query: nothing is decoded, encoded or tidied.
            url = URL(f"{where}{request.raw_path}", encoded=True)
            async with self.client.request(request.method, url, headers=headers, data=body or None) as found:
                answer = web.StreamResponse(status=found.status, headers=passing(found.headers))
                await answer.prepare(request)
                async for part in found.content.iter_any():
                    await answer.write(part)
                await answer.write_eof()
        except (ClientError, TimeoutError):
            if answer is None:
                return self.nobody()
            # Whoever reads half an answer has to see that it is one.
            if request.transport is not None:
                request.transport.abort()
        return answer

    def nobody(self) -> web.Response:
        answer = refusal(503, f"No session of the group {self.group} answers.", "service_unavailable")
        answer.headers["Retry-After"] = "5"
        return answer

    async def up(self) -> str | None:
        """Where the router listens, once it does."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while (where := self.router()) is None:
                    await asyncio.sleep(0.1)
                return where
        except TimeoutError:
            return None

    async def health(self) -> web.Response:
        """The router calls itself healthy also when none of its engines is."""
        where = self.router()
        workers = await self.workers(where) if where else {}
        return web.Response(status=200 if any(workers.values()) else 503)

    async def workers(self, where: str) -> dict[str, bool]:
        """By URL, whether the router takes it for healthy; empty when it does not say."""
        try:
            async with self.client.get(f"{where}/workers", timeout=ClientTimeout(total=5)) as found:
                said: Any = await found.json(content_type=None)
            return {str(one["url"]): one["is_healthy"] is True for one in said["workers"]}
        except (ClientError, TimeoutError, ValueError, LookupError, TypeError):
            return {}
