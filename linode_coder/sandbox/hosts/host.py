"""One running simulated host, as the server holds it: its init, and what it can be asked for."""

from __future__ import annotations

import array
import asyncio
import json
import os
import socket
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import SandboxError

INIT = Path(__file__).with_name("init.py")
ENVIRONMENT = {
    "HOME": "/root",
    "USER": "root",
    "LOGNAME": "root",
    "SHELL": "/bin/bash",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
}


@dataclass
class Child:
    """A program in the host. ``status`` is a pipe that first says its pid, later how it ended."""

    pid: int
    status: asyncio.StreamReader

    async def wait(self) -> int:
        """Exit code, or minus the signal; minus 9 when the whole host went away."""
        line = await self.status.readline()
        return int(line) if line else -9


async def pipe_reader(fd: int) -> asyncio.StreamReader:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(fd, "rb", 0))
    return reader


class Host:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root = directory / "root"  # as it lies on this machine's disk: without /usr, /tmp and /run
        self.pid = 0
        self._process: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None
        self._lock = asyncio.Lock()

    async def boot(self) -> None:
        (self.directory / "boot_id").write_text(f"{uuid.uuid4()}\n")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            theirs.set_inheritable(True)
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-S",
                str(INIT),
                str(self.directory / "init.json"),
                str(theirs.fileno()),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        ours.setblocking(False)
        self._control = ours
        word = "pid"
        while word.startswith("pid"):
            if word != "pid":
                self.pid = int(word.split()[1])
            word = (await asyncio.wait_for(asyncio.get_running_loop().sock_recv(ours, 4096), 30)).decode()
        if word != "ready":
            await self.stop()
            raise SandboxError(
                f"A simulated host cannot be started here: {word or 'its init ended'}.",
                "Run as root, or on a kernel that lets users make namespaces with an overlay.",
            )

    async def stop(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            try:
                await asyncio.wait_for(self._process.wait(), 5)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
            self._process = None

    def _send(self, request: dict[str, object], fds: Sequence[int] = ()) -> None:
        if self._control is None:
            raise SandboxError("The host is not running.", "Boot it first.")
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self._control.sendmsg([json.dumps(request).encode()], rights)

    async def spawn(
        self,
        argv: list[str],
        stdin: int,
        stdout: int,
        stderr: int,
        *,
        env: dict[str, str] | None = None,
        tty: bool = False,
    ) -> Child:
        """Start a program on these descriptors, which are closed here."""
        status_read, status_write = os.pipe()
        fds = [stdin, stdout, stderr, status_write]
        try:
            self._send({"exec": argv, "env": ENVIRONMENT | (env or {}), "tty": tty}, fds)
        except BaseException:
            os.close(status_read)
            raise
        finally:
            for fd in set(fds):
                os.close(fd)
        status = await pipe_reader(status_read)
        line = await status.readline()
        return Child(int(line) if line else 0, status)

    def kill(self, pid: int, number: int) -> None:
        if self._control is not None and pid:
            self._send({"kill": pid, "signal": number})

    @property
    def inside(self) -> str:
        """The whole root as the host's own programs see it, for as long as it runs."""
        return f"/proc/{self.pid}/root"

    async def run(self, argv: list[str]) -> tuple[int, str]:
        """Exit code and output of a program, for the server's own use."""
        reading, writing = os.pipe()
        null = os.open(os.devnull, os.O_RDONLY)
        child = await self.spawn(argv, null, writing, os.dup(writing))
        reader = await pipe_reader(reading)
        output = await reader.read()
        return await child.wait(), output.decode(errors="replace")

    async def socket(self, listen: tuple[str, int] | None = None) -> socket.socket:
        """A TCP socket of this host's network, listening when ``listen`` is given."""
        async with self._lock:
            self._send({"socket": listen})
            control = self._control
            assert control is not None  # noqa: S101 - _send refuses otherwise
            loop = asyncio.get_running_loop()
            readable = asyncio.Event()
            loop.add_reader(control, readable.set)
            try:
                await asyncio.wait_for(readable.wait(), 10)
            finally:
                loop.remove_reader(control)
            _data, fds, _flags, _address = socket.recv_fds(control, 64, 1)
        made = socket.socket(fileno=fds[0])
        made.setblocking(False)
        return made
