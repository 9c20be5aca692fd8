"""The way to an engine: through the tunnel, and to nobody else that may have taken its port. An engine's key goes nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import aiohttp

from ..endpoint.port_owner import NotOurs, our_port

# Who holds the port of a session's tunnel: the port and the process, None for nobody of ours.
Owner = Callable[[str], tuple[int, int] | None]
# Seconds. A prompt may be silent for as long as the VM's proxy lets it.
CONNECT_S, SILENCE_S, HEALTH_S = 10.0, 3600.0, 5.0


@dataclass(frozen=True)
class Endpoint:
    """``names`` are those by which the engine takes requests, its own first; ``port`` is the tunnel's on this machine."""

    session: str
    port: int
    key: str
    names: tuple[str, ...]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def make_client(owner: Owner = our_port) -> aiohttp.ClientSession:
    """For requests that name their `Endpoint` as ``trace_request_ctx``. Each has a connection of its own: one that was kept may have
    died while the machine slept."""
    trace = aiohttp.TraceConfig()

    async def check(context: SimpleNamespace) -> tuple[int, int]:
        endpoint: Endpoint = context.trace_request_ctx
        held = await asyncio.to_thread(owner, endpoint.session)
        if held is None or held[0] != endpoint.port:
            raise NotOurs("the tunnel is closed")
        return held

    async def before(_session: aiohttp.ClientSession, context: SimpleNamespace, _given: object) -> None:
        context.held = await check(context)

    async def after(_session: aiohttp.ClientSession, context: SimpleNamespace, _given: object) -> None:
        # Nothing is sent before this.
        if await check(context) != context.held:
            raise NotOurs("the tunnel was closed meanwhile")

    trace.on_connection_create_start.append(before)
    trace.on_connection_create_end.append(after)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True, limit=0),
        trace_configs=[trace],
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S),
        # What an engine says passes as it is.
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
    )


# What a request ends with whose engine is gone.
LOST = (aiohttp.ClientError, TimeoutError, OSError)


async def healthy(client: aiohttp.ClientSession, endpoint: Endpoint) -> bool:
    """Whether the engine says so through the tunnel; it counts as no use of the engine."""
    limit = aiohttp.ClientTimeout(total=HEALTH_S)
    try:
        async with client.get(f"{endpoint.url}/health", timeout=limit, trace_request_ctx=endpoint) as answer:
            return answer.status == 200
    except LOST:
        return False
