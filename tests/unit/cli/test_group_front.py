# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands before a router: it asks for the key, lets nothing through but what serves, and passes on what comes as it comes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientPayloadError, ClientSession, web
from aiohttp.test_utils import TestServer
from yarl import URL

from linode_coder.endpoint import group_front
from linode_coder.endpoint.group_front import Front

KEY = "k3y"
HEALTHY: web.AppKey[bool] = web.AppKey("healthy", bool)
WITH_KEY = {"Authorization": f"Bearer {KEY}"}


async def behind(request: web.Request) -> web.StreamResponse:
    """A router that says what it was asked."""
    if request.path == "/workers":
        return web.json_response({"workers": [{"url": "http://a", "is_healthy": request.app[HEALTHY]}]})
    if request.path == "/v1/broken":
        answer = web.StreamResponse(headers={"Content-Length": "100"})
        await answer.prepare(request)
        await answer.write(b"half")
        assert request.transport is not None
        request.transport.abort()
        return answer
    said = {"path": request.raw_path, "headers": dict(request.headers), "body": (await request.read()).decode()}
    return web.json_response(said, status=418, headers={"X-Other": "1"})


@asynccontextmanager
async def served(healthy: bool = True, router: bool = True) -> AsyncIterator[tuple[ClientSession, URL]]:
    app = web.Application()
    app[HEALTHY] = healthy
    app.router.add_route("*", "/{path:.*}", behind)
    async with TestServer(app) as there, ClientSession() as inner, ClientSession() as client:
        where = str(there.make_url("")).rstrip("/") if router else None
        async with TestServer(Front("team", KEY, lambda: where, inner).app()) as front:
            yield client, front.make_url("/")


def run(check: Callable[[ClientSession, URL], Awaitable[None]], healthy: bool = True, router: bool = True) -> None:
    async def whole() -> None:
        async with served(healthy, router) as (client, url):
            await check(client, url)

    asyncio.run(whole())


def test_a_request_goes_on_as_it_is_and_so_does_the_answer() -> None:
    async def check(client: ClientSession, url: URL) -> None:
        headers = {**WITH_KEY, "X-Mine": "2", "Connection": "keep-alive"}
        asked = URL(f"{url}v1/messages?beta=true&x=%2e", encoded=True)
        async with client.post(asked, headers=headers, data=b"body") as found:
            said = json.loads(await found.text())
            assert (found.status, found.headers["X-Other"]) == (418, "1")
        assert said["path"] == "/v1/messages?beta=true&x=%2e" and said["body"] == "body"
        assert said["headers"]["Authorization"] == f"Bearer {KEY}" and said["headers"]["X-Mine"] == "2"

    run(check)


@pytest.mark.parametrize("given", [None, "Bearer wrong", "Bearer ", f"Basic {KEY}", KEY, "Bearer k\xe9y"])
def test_without_the_key_nothing_is_asked(given: str | None) -> None:
    async def check(client: ClientSession, url: URL) -> None:
        headers = {} if given is None else {"Authorization": given}
        async with client.post(url / "v1/messages", headers=headers) as found:
            assert found.status == 401
            assert (await found.json())["error"]["code"] == "invalid_api_key"

    run(check)


@pytest.mark.parametrize(
    "path",
    [
        "/add_worker?url=http://x",
        "/remove_worker?url=http://x",
        "/workers",
        "//workers",
        "/v1/../workers",
        "/v1/..%2fworkers",
        "/%77orkers",
        "/flush_cache",
        "/metrics",
        "/",
    ],
)
def test_nothing_of_the_router_itself_is_reached(path: str) -> None:
    async def check(client: ClientSession, url: URL) -> None:
        asked = URL(f"{str(url).rstrip('/')}{path}", encoded=True)
        async with client.post(asked, headers=WITH_KEY) as found:
            assert found.status == 404

    run(check)


@pytest.mark.parametrize(("healthy", "router", "status"), [(True, True, 200), (False, True, 503), (True, False, 503)])
def test_it_is_healthy_when_an_engine_is(healthy: bool, router: bool, status: int) -> None:
    async def check(client: ClientSession, url: URL) -> None:
        async with client.get(url / "health") as found:
            assert found.status == status

    run(check, healthy, router)


def test_a_router_that_does_not_come_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_front, "PATIENCE_S", 0.05)

    async def check(client: ClientSession, url: URL) -> None:
        async with client.get(url / "v1/models", headers=WITH_KEY) as found:
            assert (found.status, found.headers["Retry-After"]) == (503, "5")
            assert "No session of the group team answers" in (await found.json())["error"]["message"]

    run(check, router=False)


def test_half_an_answer_is_seen_as_one() -> None:
    async def check(client: ClientSession, url: URL) -> None:
        with pytest.raises(ClientPayloadError):
            async with client.get(url / "v1/broken", headers=WITH_KEY) as found:
                await found.read()

    run(check)
