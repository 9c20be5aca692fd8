# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway on a real socket before a real server that plays an engine, with `linode-coder` played by `tests/played_coder.py`."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import anthropic
import openai
from aiohttp import web
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import api_key_path

from linode_coder.gateway.app import Gateway, Patience
from linode_coder.gateway.command import Command
from linode_coder.gateway.known import Directory
from linode_coder.gateway.limits import Limits
from linode_coder.gateway.serve import end, listen, start
from linode_coder.gateway.session import House
from linode_coder.gateway.upstream import make_client
from linode_coder.local import wake
from tests import played_coder

KEY, ENGINE_KEY = "lc-" + "k" * 40, "engine-key-of-the-vm"
MODEL = "acme/coder-7b"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Behind:
    """``asked`` is what came to the engine, ``answers`` what it does next; the last one stays."""

    place: Path
    port: int = 0
    engine_port: int = 0
    asked: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    answers: list[Handler] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    gateway: Gateway | None = None
    runner: web.AppRunner | None = None
    sdks: list[openai.AsyncOpenAI | anthropic.AsyncAnthropic] = field(default_factory=list)
    owner: Callable[[str], tuple[int, int] | None] = lambda name: None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def says(self, name: str, command: str, what: dict[str, Any]) -> None:
        (self.place / f"{name}.{command}").write_text(json.dumps(what))

    def calls(self, command: str) -> list[list[str]]:
        path = self.place / "calls"
        rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [row for row in rows if row[0] == command]

    def serves(self, name: str, *models: str) -> None:
        """A session that is there."""
        path = api_key_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(ENGINE_KEY + "\n")
        self.says(name, "use", played_coder.serving(self.engine_port, *(models or (MODEL,))))

    def gone(self, name: str, **more: Any) -> None:
        """One that was there, and that `up` makes again."""
        self.serves(name)
        self.says(name, "use", played_coder.gone(name))
        self.says(name, "up", played_coder.started(self.engine_port, MODEL, **more))

    def release(self) -> None:
        (self.place / "go").touch()

    async def _engine(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/health":
            return web.Response()
        self.asked.append((request.path_qs, dict(request.headers), await request.read()))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer(request)


async def hello(request: web.Request) -> web.StreamResponse:
    return web.json_response({"choices": [], "said": "hello"}, headers={"X-Engine": "yes"})


async def gone_at_once(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    raise web.HTTPOk


async def proxy_alone(request: web.Request) -> web.StreamResponse:
    return web.json_response({"error": {"message": "The engine does not answer"}}, status=502)


def parts(*words: str, meanwhile: asyncio.Event | None = None, breaks: bool = False) -> Handler:
    """A stream; after its first part it waits for an event, and may end there."""

    async def tell(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for word in words:
            await response.write(f"data: {word}\n\n".encode())
            if meanwhile is not None:
                await meanwhile.wait()
            if breaks:
                assert request.transport is not None
                request.transport.abort()
                return response
        await response.write_eof()
        return response

    return tell


@asynccontextmanager
async def behind(
    place: Path,
    limits: Limits | None = None,
    patience: Patience | None = None,
    configured: tuple[str, ...] = (),
    same_s: float = 0.0,
) -> AsyncIterator[Behind]:
    """With a session `main` that serves."""
    place.mkdir(parents=True, exist_ok=True)
    found = Behind(place, answers=[hello])
    engine_app = web.Application()
    engine_app.router.add_route("*", "/{path:.*}", found._engine)
    engine = web.AppRunner(engine_app, handler_cancellation=True, shutdown_timeout=0.1)
    await engine.setup()
    listener = listen(0)
    found.engine_port = listener.getsockname()[1]
    found.owner = lambda name: (found.engine_port, 1)
    await web.SockSite(engine, listener).start()
    found.serves("main")
    wake.came_up({"name": "main", "model": MODEL, "plan": "g2"}, {"lease": "4h"}, made=True)

    def tell(line: str, event: dict[str, Any]) -> None:
        found.told.append(line)

    program = [sys.executable, played_coder.__file__, str(place)]
    async with make_client(lambda name: found.owner(name)) as client:
        house = House(
            Command(program),
            client,
            Directory(list, configured),
            limits or Limits(None, 6, None),
            "24h",
            tell,
            look_s=0.01,
            same_s=same_s,
        )
        own = listen(0)
        found.port = own.getsockname()[1]
        found.gateway = Gateway(house, KEY, found.port, patience or Patience(hold=60, decide=60, alive=0.01))
        runner = found.runner = await start(found.gateway, own)
        try:
            yield found
        finally:
            for sdk in found.sdks:
                await sdk.close()
            await end(found.gateway, runner)
            await engine.cleanup()


@asynccontextmanager
async def asking(
    at: Behind, path: str = "/v1/chat/completions", body: Any = None, **headers: str
) -> AsyncIterator[aiohttp.ClientResponse]:
    """One request with the gateway's key."""
    given = {"Authorization": f"Bearer {KEY}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    method = "GET" if body is None else "POST"
    async with (
        aiohttp.ClientSession() as client,
        client.request(method, at.url + path, headers=given, data=None if body is None else json.dumps(body)) as answer,
    ):
        yield answer


def clients(at: Behind, tries: int = 2) -> tuple[openai.AsyncOpenAI, anthropic.AsyncAnthropic]:
    """The SDKs, as people set them up; closed with their sockets when the test's loop ends."""
    ours = openai.AsyncOpenAI(base_url=f"{at.url}/v1", api_key=KEY, max_retries=tries)
    theirs = anthropic.AsyncAnthropic(base_url=at.url, api_key=KEY, max_retries=tries)
    at.sdks += [ours, theirs]
    return ours, theirs


def chat(model: str = MODEL, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "hi"}], **more}
