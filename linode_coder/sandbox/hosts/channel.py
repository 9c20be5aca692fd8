"""Request and answer over a `messages` socket, for asyncio."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import itertools
import os
import socket
from collections.abc import Callable
from typing import Any

from . import messages
from .base import SandboxError

Event = Callable[[dict[str, Any]], None]


class Channel:
    """One socket: `request` waits for the answer with the same id; everything else goes to `on_event`.

    `on_close` is called once, when the other side is gone; waiting requests then fail with `SandboxError`.
    """

    def __init__(self, sock: socket.socket, on_event: Event, on_close: Callable[[], None]) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._on_event = on_event
        self._on_close = on_close
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[tuple[dict[str, Any], list[int]]]] = {}
        self._outgoing: collections.deque[tuple[bytes, tuple[int, ...]]] = collections.deque()
        self._closed = False
        self._loop.add_reader(sock.fileno(), self._readable)

    @property
    def closed(self) -> bool:
        """Whether the other side is gone or `close` was called."""
        return self._closed

    def post(self, message: dict[str, Any], files: tuple[int, ...] = ()) -> None:
        """Send without waiting for an answer. The files are duplicated: the caller closes its own at once."""
        if self._closed:
            raise SandboxError("The host is not running.", "Boot it first.")
        self._outgoing.append((messages.encode(message), tuple(os.dup(fd) for fd in files)))
        self._flush()

    async def request(self, op: str, files: tuple[int, ...] = (), **fields: Any) -> tuple[dict[str, Any], list[int]]:
        """The answer and its files, which the caller closes. OSError when the operation failed over there."""
        return await self.request_as(next(self._ids), op, files, **fields)

    def next_id(self) -> int:
        """An id for `request_as`, known before the answer arrives."""
        return next(self._ids)

    async def request_as(
        self, number: int, op: str, files: tuple[int, ...] = (), **fields: Any
    ) -> tuple[dict[str, Any], list[int]]:
        """`request` under an id from `next_id`."""
        future: asyncio.Future[tuple[dict[str, Any], list[int]]] = self._loop.create_future()
        self._answers[number] = future
        try:
            self.post({"op": op, "id": number, **fields}, files)
            answer, received = await future
        finally:
            self._answers.pop(number, None)
        if "error" in answer:
            raise OSError(answer["errno"], answer["error"])
        return answer, received

    def close(self) -> None:
        """Let go of the socket; the other side sees its end."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._sock.close()
        for _raw, files in self._outgoing:
            _close_all(files)
        self._outgoing.clear()
        for future in self._answers.values():
            if not future.done():
                future.set_exception(SandboxError("The host went down.", "Boot it and try again."))
        self._on_close()

    def _flush(self) -> None:
        while self._outgoing:
            raw, files = self._outgoing[0]
            try:
                messages.send_raw(self._sock, raw, files)
            except BlockingIOError:
                self._loop.add_writer(self._sock.fileno(), self._flush)
                return
            except OSError:
                self.close()
                return
            self._outgoing.popleft()
            _close_all(files)
        self._loop.remove_writer(self._sock.fileno())

    def _readable(self) -> None:
        try:
            received = messages.receive(self._sock)
        except BlockingIOError:
            return
        except OSError:
            received = None
        if received is None:
            self.close()
            return
        message, files = received
        if "event" in message:
            _close_all(tuple(files))
            self._on_event(message)
            return
        future = self._answers.get(message["id"])
        if future is None or future.done():
            _close_all(tuple(files))
        else:
            future.set_result((message, files))


def _close_all(files: tuple[int, ...]) -> None:
    for fd in files:
        with contextlib.suppress(OSError):
            os.close(fd)
