"""SSH channels of a simulated host: commands, terminals and subsystems, and forwarded ports.

Each stream has its own pump with its own flow control: what a program wrote is on its way to the client before the
channel says how the program ended, and a slow reader on one side stops the writer on the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import struct
import termios
from typing import Any, cast

import asyncssh

from .base import SandboxError
from .guest_link import Command, GuestLink

_LOG = logging.getLogger("linode_coder.sandbox.ssh")
SFTP_COMMAND = "/usr/lib/openssh/sftp-server"
_STDERR = asyncssh.EXTENDED_DATA_STDERR
_GRACE_SECONDS = 5.0
_ENVIRONMENT_ACCEPTED = ("LANG", "LC_")


class _OutPump(asyncio.Protocol):
    """From a program's pipe into the channel."""

    def __init__(self, session: Session, datatype: int | None) -> None:
        self._session = session
        self._datatype = datatype
        self.transport: asyncio.ReadTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.ReadTransport, transport)

    def data_received(self, data: bytes) -> None:
        self._session.output(data, self._datatype)

    def connection_lost(self, exc: Exception | None) -> None:
        self._session.output_ended(self)


class _InPump(asyncio.BaseProtocol):
    """From the channel into a program's pipe."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def pause_writing(self) -> None:
        self._session.pause_input()

    def resume_writing(self) -> None:
        # Not from within the transport's own write: the end of input that may follow would close its pipe twice.
        asyncio.get_running_loop().call_soon(self._session.resume_input)

    def connection_lost(self, exc: Exception | None) -> None:
        # The program closed its standard input or ended: what still comes is dropped, as into a closed pipe.
        self._session.input_closed()


class Session(asyncssh.SSHServerSession[bytes]):
    """One exec, shell or subsystem request."""

    def __init__(self, link: GuestLink, address: str, extra_env: dict[str, str]) -> None:
        self._link = link
        self._address = address
        self._env = extra_env
        self._chan: asyncssh.SSHServerChannel[bytes] | None = None
        self._command: Command | None = None
        self._pumps: set[_OutPump] = set()
        self._stdin: asyncio.WriteTransport | None = None
        self._early: list[bytes] = []
        self._early_eof = False
        self._master = -1
        self._paused = False
        self._started = False
        self._closed = False
        self._argv: list[str] = []
        self._program: str | None = None
        self._task: asyncio.Task[None] | None = None

    # -- called by asyncssh

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        self._chan = chan

    def shell_requested(self) -> bool:
        self._argv, self._program = ["-bash"], "/bin/bash"
        return True

    def exec_requested(self, command: str) -> bool:
        self._argv = ["/bin/bash", "-c", command]
        return True

    def subsystem_requested(self, subsystem: str) -> bool:
        self._argv = [SFTP_COMMAND]
        return subsystem == "sftp"

    def session_started(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    def data_received(self, data: bytes, datatype: int | None) -> None:
        if self._stdin is not None:
            self._stdin.write(data)
        elif not self._started:
            self._early.append(data)

    def eof_received(self) -> bool:
        if self._master >= 0:
            return True  # a terminal has no end of input of its own
        if not self._started:
            self._early_eof = True
        elif self._stdin is not None:
            self._stdin.write_eof()
        return True

    def pause_writing(self) -> None:
        self._paused = True
        for pump in self._pumps:
            if pump.transport is not None:
                pump.transport.pause_reading()

    def resume_writing(self) -> None:
        self._paused = False
        for pump in self._pumps:
            if pump.transport is not None:
                pump.transport.resume_reading()

    def signal_received(self, signal: str) -> None:
        number = getattr(_signals, "SIG" + signal, None)
        if number is not None and self._command is not None:
            self._later(self._link.kill(self._command, int(number), group=True))

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:
        if self._master >= 0:
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, pixwidth, pixheight))

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True
        if self._stdin is not None:
            self._stdin.close()
        for pump in list(self._pumps):
            if pump.transport is not None:
                pump.transport.close()
        if self._command is not None and not self._command.exited.done():
            self._later(self._end_abandoned(self._command))

    # -- called by the pumps

    def output(self, data: bytes, datatype: int | None) -> None:
        """Data of the program for the client."""
        if self._chan is not None and not self._closed:
            self._chan.write(data, datatype)

    def output_ended(self, pump: _OutPump) -> None:
        """One of the program's streams is at its end."""
        self._pumps.discard(pump)
        if not self._pumps:
            self._finish()

    def pause_input(self) -> None:
        """The program does not read."""
        if self._chan is not None:
            self._chan.pause_reading()

    def resume_input(self) -> None:
        """It reads again."""
        if self._chan is not None and not self._closed:
            self._chan.resume_reading()

    def input_closed(self) -> None:
        """Nobody reads standard input any more."""
        self._stdin = None
        self.resume_input()

    # -- the program

    async def _run(self) -> None:
        assert self._chan is not None
        terminal = self._chan.get_terminal_type()
        env = {
            key: value for key, value in self._chan.get_environment().items() if key.startswith(_ENVIRONMENT_ACCEPTED)
        } | self._env
        try:
            if terminal:
                await self._start_on_terminal(env | {"TERM": terminal})
            else:
                await self._start_on_pipes(env)
        except (OSError, SandboxError) as error:
            _LOG.warning("%s: cannot start %s: %s", self._address, self._argv, error)
            if not self._closed:
                self._chan.write(f"{error}\n".encode(), _STDERR)
                self._chan.exit(255)
            return
        self._started = True
        for data in self._early:
            self.data_received(data, None)
        self._early.clear()
        if self._early_eof:
            self.eof_received()
        assert self._command is not None
        await self._command.exited
        if self._closed:
            self._close_master()
        self._finish()

    async def _start_on_terminal(self, env: dict[str, str]) -> None:
        assert self._chan is not None
        width, height, pixwidth, pixheight = self._chan.get_terminal_size()
        self._command, self._master = await self._link.spawn(
            self._argv, pty=(width or 80, height or 24, pixwidth, pixheight), env=env, program=self._program
        )
        await self._read_from(os.dup(self._master), None)
        await self._write_to(os.dup(self._master))

    async def _start_on_pipes(self, env: dict[str, str]) -> None:
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            fds: list[tuple[int, int]] = []
            for _name in ("stdin", "stdout", "stderr"):
                reading, writing = os.pipe()
                mine, other = (writing, reading) if not fds else (reading, writing)
                theirs.callback(os.close, other)
                ours.callback(os.close, mine)
                fds.append((mine, other))
            self._command, _none = await self._link.spawn(
                self._argv, stdio=(fds[0][1], fds[1][1], fds[2][1]), env=env, program=self._program
            )
            ours.pop_all()
        await self._read_from(fds[1][0], None)
        await self._read_from(fds[2][0], _STDERR)
        await self._write_to(fds[0][0])

    async def _read_from(self, fd: int, datatype: int | None) -> None:
        pump = _OutPump(self, datatype)
        self._pumps.add(pump)
        loop = asyncio.get_running_loop()
        transport, _protocol = await loop.connect_read_pipe(lambda: pump, os.fdopen(fd, "rb", 0))
        if self._closed:
            transport.close()
        elif self._paused:
            transport.pause_reading()

    async def _write_to(self, fd: int) -> None:
        loop = asyncio.get_running_loop()
        transport, _protocol = await loop.connect_write_pipe(lambda: _InPump(self), os.fdopen(fd, "wb", 0))
        self._stdin = transport
        if self._closed:
            transport.close()

    def _finish(self) -> None:
        """The channel ends when the program has ended and everything it wrote has been handed over."""
        if not self._started or self._command is None or not self._command.exited.done() or self._pumps:
            return
        self._close_master()
        if self._stdin is not None:
            self._stdin.close()
            self._stdin = None
        if self._closed or self._chan is None:
            return
        self._closed = True
        code = self._command.exited.result()
        if code >= 0:
            self._chan.exit(code)
        else:
            self._chan.exit_with_signal(_signals.Signals(-code).name.removeprefix("SIG"))

    def _close_master(self) -> None:
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    async def _end_abandoned(self, command: Command) -> None:
        """Nobody listens any more: hang up, and do not wait for ever for what ignores that."""
        with contextlib.suppress(SandboxError, OSError):
            await self._link.kill(command, signal.SIGHUP, group=True)
            await asyncio.wait([command.exited], timeout=_GRACE_SECONDS)
            if not command.exited.done():
                await self._link.kill(command, signal.SIGKILL, group=False)

    def _later(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        _background.add(task)
        task.add_done_callback(_background.discard)


_signals = signal
_background: set[asyncio.Task[None]] = set()


class _Inner(asyncio.Protocol):
    """The connection inside the host, for one forwarded port."""

    def __init__(self, outer: Forward) -> None:
        self._outer = outer

    def data_received(self, data: bytes) -> None:
        self._outer.outward(data)

    def eof_received(self) -> bool:
        self._outer.outward_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._outer.inner_lost()

    def pause_writing(self) -> None:
        self._outer.pause_client()

    def resume_writing(self) -> None:
        asyncio.get_running_loop().call_soon(self._outer.resume_client)


class Forward(asyncssh.SSHTCPSession[bytes]):
    """One forwarded connection, between the client's channel and a socket of the host's network."""

    def __init__(self) -> None:
        self.inner: asyncio.Transport | None = None
        self._chan: asyncssh.SSHTCPChannel[bytes] | None = None
        self._ended = 0

    @classmethod
    async def open(cls, link: GuestLink, host: str, port: int) -> Forward:
        """Connect inside the host; raises asyncssh.ChannelOpenError when nothing answers there."""
        address = {"localhost": "127.0.0.1", "ip6-localhost": "::1", "": "127.0.0.1"}.get(host, host)
        try:
            sock = await link.connect(address, port)
        except (OSError, SandboxError, ValueError) as error:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, f"{host} port {port}: {error}") from error
        session = cls()
        loop = asyncio.get_running_loop()
        session.inner, _protocol = await loop.create_connection(lambda: _Inner(session), sock=sock)
        session.inner.pause_reading()
        return session

    def connection_made(self, chan: asyncssh.SSHTCPChannel[bytes]) -> None:
        self._chan = chan

    def session_started(self) -> None:
        if self.inner is not None:
            self.inner.resume_reading()

    def data_received(self, data: bytes, datatype: int | None) -> None:
        if self.inner is not None:
            self.inner.write(data)

    def eof_received(self) -> bool:
        if self.inner is not None and not self.inner.is_closing():
            self.inner.write_eof()
        self._one_side_ended()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._chan = None
        if self.inner is not None:
            self.inner.abort() if exc else self.inner.close()

    def pause_writing(self) -> None:
        if self.inner is not None and not self.inner.is_closing():
            self.inner.pause_reading()

    def resume_writing(self) -> None:
        if self.inner is not None and not self.inner.is_closing():
            self.inner.resume_reading()

    def outward(self, data: bytes) -> None:
        """Data of the inner connection for the client."""
        if self._chan is not None:
            self._chan.write(data)

    def outward_eof(self) -> None:
        """The inner connection has nothing more to say."""
        if self._chan is not None:
            self._chan.write_eof()
        self._one_side_ended()

    def inner_lost(self) -> None:
        """The inner connection is gone."""
        self.inner = None
        if self._chan is not None:
            self._chan.close()

    def pause_client(self) -> None:
        """The inner connection does not take more."""
        if self._chan is not None:
            self._chan.pause_reading()

    def resume_client(self) -> None:
        """It takes more again."""
        if self._chan is not None:
            self._chan.resume_reading()

    def _one_side_ended(self) -> None:
        self._ended += 1
        if self._ended == 2 and self.inner is not None:
            self.inner.close()
