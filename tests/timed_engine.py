# SPDX-License-Identifier: GPL-3.0-or-later
"""An endpoint of known timing: an asyncio server in a process of its own, which also says how it really timed each stream.

    python -m tests.timed_engine FIRST_SECONDS TOKEN_SECONDS

prints its port, and for each request a line of JSON with what it really did: a machine under load is late itself.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


def _chunk(document: object) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, first: float, gap: float) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    got = time.monotonic()
    lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
    body = json.loads(await reader.readexactly(int(lengths[0]))) if lengths else {}
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/event-stream\r\n\r\n")
    if head.startswith(b"POST"):
        tokens = body["max_tokens"]
        sent = []
        for each in range(tokens):
            await asyncio.sleep(max(0.0, got + first + each * gap - time.monotonic()))
            writer.write(_chunk({"choices": [{"delta": {"content": "word "}}]}))
            sent.append(time.monotonic())
        usage = {"prompt_tokens": len(body["messages"][0]["content"].split()), "completion_tokens": tokens}
        writer.write(_chunk({"choices": [], "usage": usage}) + b"data: [DONE]\n\n")
        told = {"ttft": sent[0] - got, "itl": (sent[-1] - sent[0]) / max(1, tokens - 1), "tokens": tokens}
        print(json.dumps(told), flush=True)
    await writer.drain()
    writer.close()


async def _serve(first: float, gap: float) -> None:
    server = await asyncio.start_server(
        lambda reader, writer: _answer(reader, writer, first, gap), "127.0.0.1", 0, backlog=512
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@dataclass
class TimedEngine:
    """``said`` is what it did, complete when the context is left."""

    port: int
    said: list[dict[str, float]] = field(default_factory=list)


@contextmanager
def timed_engine(first: float, gap: float) -> Iterator[TimedEngine]:
    argv = [sys.executable, "-m", "tests.timed_engine", str(first), str(gap)]
    root = Path(__file__).parent.parent
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=root)
    assert process.stdout is not None
    try:
        engine = TimedEngine(int(process.stdout.readline()))
        yield engine
    finally:
        process.terminate()
        rest = process.stdout.read()
        process.stdout.close()
        process.wait()
    engine.said += [json.loads(line) for line in rest.splitlines()]


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1]), float(sys.argv[2])))
