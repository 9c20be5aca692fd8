"""What the server can ask of one running host: start programs, read and write files, open sockets in its network."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
from collections.abc import Callable
from typing import Any

from .base import SandboxError
from .channel import Channel
from .namespaces import Namespaces

ENVIRONMENT = {
    "HOME": "/root",
    "USER": "root",
    "LOGNAME": "root",
    "SHELL": "/bin/bash",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
}


class Command:
    """A program running in the host. `exited` gives its exit code, or minus the signal that ended it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()


class GuestLink:
    """One boot of one host."""

    def __init__(self, on_tool: Callable[[int, dict[str, Any]], None], on_down: Callable[[], None]) -> None:
        self._on_tool = on_tool
        self._on_down = on_down
        self._commands: dict[int, Command] = {}
        self._channel: Channel | None = None
        self._gone = asyncio.Event()

    @classmethod
    async def boot(
        cls,
        namespaces: Namespaces,
        host: int,
        config: dict[str, Any],
        on_tool: Callable[[int, dict[str, Any]], None],
        on_down: Callable[[], None],
    ) -> GuestLink:
        """Start the host's first process; `SandboxError` when its root cannot be built."""
        link = cls(on_tool, on_down)
        link._channel = await namespaces.boot(host, config, link._event)
        return link

    @property
    def up(self) -> bool:
        """Whether the first process still runs."""
        return self._channel is not None and not self._channel.closed

    async def spawn(
        self,
        argv: list[str],
        *,
        stdio: tuple[int, int, int] | None = None,
        pty: tuple[int, int, int, int] | None = None,
        env: dict[str, str] | None = None,
        program: str | None = None,
        cwd: str = "/root",
    ) -> tuple[Command, int]:
        """Start a program with `stdio` (kept by the caller) or on a terminal of columns, rows, width, height.

        Returns the command and the terminal's master side (-1 without one; the caller closes it).
        """
        channel = self._live()
        command = Command(channel.next_id())
        self._commands[command.number] = command
        try:
            _answer, files = await channel.request_as(
                command.number,
                "spawn",
                stdio or (),
                argv=argv,
                program=program or argv[0],
                env=ENVIRONMENT | (env or {}),
                cwd=cwd,
                pty=pty,
            )
        except BaseException:
            self._commands.pop(command.number, None)
            raise
        return command, files[0] if files else -1

    async def run(self, argv: list[str]) -> tuple[int, str]:
        """Exit code and output (both streams) of a program that is started with nothing on standard input."""
        reading, writing = os.pipe()
        null = os.open(os.devnull, os.O_RDWR)
        try:
            command, _master = await self.spawn(argv, stdio=(null, writing, writing), cwd="/")
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(null)
            os.close(writing)
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        transport, _protocol = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb", 0)
        )
        try:
            status = await command.exited
            # A program it left behind may hold the pipe: what was written before the exit is there at once.
            output = await _read_available(reader)
        finally:
            transport.close()
        return status, output.decode(errors="replace")

    async def kill(self, command: Command, number: int, *, group: bool) -> None:
        """Send a signal to a command (or its process group) if it still runs."""
        await self._live().request("kill", command=command.number, signal=number, group=group)

    async def read_file(self, path: str) -> bytes:
        """Up to 96 KiB of a regular file, by its path inside; OSError as inside."""
        answer, _files = await self._live().request("read", path=path)
        return base64.b64decode(answer["data"])

    async def write_file(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Replace a file (at most 96 KiB) at once."""
        await self._live().request("write", path=path, data=base64.b64encode(data).decode(), mode=mode)

    async def remove_file(self, path: str) -> None:
        """Delete a file if it is there."""
        await self._live().request("remove", path=path)

    async def listen(self, address: str, port: int) -> socket.socket:
        """A listening socket in the host's network."""
        _answer, files = await self._live().request("listen", address=address, port=port)
        return _adopt(files[0])

    async def connect(self, address: str, port: int) -> socket.socket:
        """A connection made from inside the host's network; OSError as there."""
        _answer, files = await self._live().request("socket", ipv6=":" in address)
        sock = _adopt(files[0])
        try:
            await asyncio.get_running_loop().sock_connect(sock, (address, port))
        except BaseException:
            sock.close()
            raise
        return sock

    async def set_devices(self, devices: list[dict[str, Any]]) -> None:
        """The block storage volumes that the host has from now on: id, label and size each."""
        await self._live().request("devices", devices=devices)

    async def set_hostname(self, name: str) -> None:
        """The kernel's host name inside."""
        await self._live().request("hostname", name=name)

    def answer_tool(self, request: int, answer: dict[str, Any]) -> None:
        """Answer a request that a guest's tool made (see `on_tool`)."""
        if self.up:
            channel = self._live()
            channel.post({"op": "tool", "id": channel.next_id(), "request": request, "answer": answer})

    async def halt(self) -> None:
        """SIGTERM to every process, a moment for them, then the end of all; returns when the host is gone."""
        if self.up:
            channel = self._live()
            channel.post({"op": "halt", "id": channel.next_id()})
            try:
                await asyncio.wait_for(self._gone.wait(), 5)
            except TimeoutError:
                channel.close()

    def _live(self) -> Channel:
        if self._channel is None or self._channel.closed:
            raise SandboxError("The host is not running.", "Boot it first.")
        return self._channel

    def _event(self, message: dict[str, Any]) -> None:
        if message["event"] == "exit":
            command = self._commands.pop(message["id"], None)
            if command is not None and not command.exited.done():
                command.exited.set_result(message["code"])
        elif message["event"] == "tool":
            self._on_tool(message["request"], message["message"])
        elif message["event"] == "down":
            self._gone.set()
            for command in self._commands.values():
                if not command.exited.done():
                    command.exited.set_result(-9)
            self._commands.clear()
            self._on_down()


def _adopt(fd: int) -> socket.socket:
    sock = socket.socket(fileno=fd)
    sock.setblocking(False)
    return sock


async def _read_available(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while True:
        try:
            part = await asyncio.wait_for(reader.read(65536), 0.2)
        except TimeoutError:
            break
        if not part:
            break
        parts.append(part)
    return b"".join(parts)
