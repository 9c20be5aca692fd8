"""SSH into a simulated host: its own host key, its own authorized_keys, programs and ports inside."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import struct
import termios
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncssh

from .host import Host, pipe_reader

CHUNK = 65536


class _Server(asyncssh.SSHServer):
    def __init__(self, host: Host) -> None:
        self.host = host

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """The host's own file decides, at each login."""
        path = self.host.root / "root/.ssh/authorized_keys"
        if username != "root" or not path.exists():
            return False
        allowed = asyncssh.import_authorized_keys(path.read_text()) if path.read_text().strip() else None
        return allowed is not None and allowed.validate(key, "", "", False) is not None

    def connection_requested(
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> Callable[[Any, Any], Awaitable[None]]:
        async def forward(reader: Any, writer: Any) -> None:
            await forward_into(self.host, dest_host, dest_port, reader, writer)

        return forward


async def pump(read: Callable[[int], Awaitable[bytes]], writer: Any) -> None:
    """Copy until the end. A peer that is gone ends the copying, as it would a real connection."""
    try:
        while data := await read(CHUNK):
            writer.write(data)
            await writer.drain()
    except (OSError, asyncssh.Error):
        return


async def forward_into(host: Host, name: str, port: int, reader: Any, writer: Any) -> None:
    """A forwarded port: connected inside the host's own network."""
    address = "127.0.0.1" if name in ("localhost", "127.0.0.1", "::1") else name
    try:
        sock = await host.socket()
        await asyncio.get_running_loop().sock_connect(sock, (address, port))
        inner_reader, inner_writer = await asyncio.open_connection(sock=sock)
    except OSError:
        writer.close()
        return

    async def outward() -> None:
        await pump(inner_reader.read, writer)
        if writer.can_write_eof():
            writer.write_eof()

    async def inward() -> None:
        await pump(reader.read, inner_writer)
        if not inner_writer.is_closing() and inner_writer.can_write_eof():
            inner_writer.write_eof()

    await asyncio.gather(outward(), inward(), return_exceptions=True)
    inner_writer.close()
    writer.close()


async def _pipe_writer(fd: int) -> asyncio.StreamWriter:
    loop = asyncio.get_running_loop()
    protocol = asyncio.streams.FlowControlMixin(loop=loop)
    transport, _ = await loop.connect_write_pipe(lambda: protocol, os.fdopen(fd, "wb", 0))
    return asyncio.StreamWriter(transport, protocol, None, loop)


async def _serve_process(host: Host, process: asyncssh.SSHServerProcess[bytes], after: Callable[[], None]) -> None:
    if process.command is not None:
        argv = ["/bin/bash", "-c", process.command]
    else:
        argv = ["/bin/bash", "-l"]
    env = {str(k): str(v) for k, v in process.env.items() if str(k).startswith(("LANG", "LC_"))}
    terminal = process.get_terminal_type()
    if terminal:
        code = await _with_terminal(host, process, argv, env | {"TERM": terminal})
    else:
        code = await _with_pipes(host, process, argv, env)
    after()
    if code < 0:
        process.exit_with_signal(signal.Signals(-code).name.removeprefix("SIG"))
    else:
        process.exit(code)


async def _with_pipes(
    host: Host, process: asyncssh.SSHServerProcess[bytes], argv: list[str], env: dict[str, str]
) -> int:
    in_read, in_write = os.pipe()
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    child = await host.spawn(argv, in_read, out_write, err_write, env=env)
    stdin = await _pipe_writer(in_write)

    async def feed() -> None:
        await pump(process.stdin.read, stdin)
        stdin.close()

    feeding = asyncio.ensure_future(feed())
    draining = [
        asyncio.ensure_future(pump((await pipe_reader(out_read)).read, process.stdout)),
        asyncio.ensure_future(pump((await pipe_reader(err_read)).read, process.stderr)),
    ]
    closing = asyncio.ensure_future(process.channel.wait_closed())
    waiting = asyncio.ensure_future(child.wait())
    await asyncio.wait([waiting, closing], return_when=asyncio.FIRST_COMPLETED)
    if not waiting.done():
        host.kill(child.pid, signal.SIGHUP)
        await asyncio.wait([waiting], timeout=2)
        if not waiting.done():
            host.kill(child.pid, signal.SIGKILL)
    code = await waiting
    # A daemon that kept the pipes must not keep the connection: what came before the exit is read, then it is over.
    await asyncio.wait(draining, timeout=2)
    for task in [feeding, closing, *draining]:
        task.cancel()
    await asyncio.gather(feeding, closing, *draining, return_exceptions=True)
    stdin.close()
    return code


async def _with_terminal(
    host: Host, process: asyncssh.SSHServerProcess[bytes], argv: list[str], env: dict[str, str]
) -> int:
    master, slave = os.openpty()

    def resize() -> None:
        columns, rows, _, _ = process.get_terminal_size()
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows or 24, columns or 80, 0, 0))

    resize()
    child = await host.spawn(argv, slave, os.dup(slave), os.dup(slave), env=env, tty=True)
    output = await pipe_reader(os.dup(master))
    typed = await _pipe_writer(master)

    async def feed() -> None:
        while True:
            try:
                data = await process.stdin.read(CHUNK)
            except asyncssh.TerminalSizeChanged:
                resize()
                continue
            except (asyncssh.Error, asyncssh.BreakReceived, asyncssh.SignalReceived):
                return
            if not data:
                return
            typed.write(data)
            await typed.drain()

    feeding = asyncio.ensure_future(feed())
    draining = asyncio.ensure_future(pump(output.read, process.stdout))
    closing = asyncio.ensure_future(process.channel.wait_closed())
    waiting = asyncio.ensure_future(child.wait())
    await asyncio.wait([waiting, closing], return_when=asyncio.FIRST_COMPLETED)
    if not waiting.done():
        host.kill(child.pid, signal.SIGHUP)
    code = await waiting
    await asyncio.wait([draining], timeout=1)
    for task in (feeding, draining, closing):
        task.cancel()
    await asyncio.gather(feeding, draining, closing, return_exceptions=True)
    typed.close()
    return code


class SshListener:
    """The SSH server of one host at its own address."""

    def __init__(self, host: Host, address: str, port: int) -> None:
        self.host = host
        self.address = address
        self.port = port
        self.wrong_key = False
        self._acceptor: asyncssh.SSHAcceptor | None = None
        self._stamp = 0

    @property
    def key_path(self) -> Path:
        return self.host.root / "etc/ssh/ssh_host_ed25519_key"

    def _keys(self) -> list[asyncssh.SSHKey]:
        if self.wrong_key:
            return [asyncssh.generate_private_key("ssh-ed25519")]
        return [asyncssh.read_private_key(str(self.key_path))]

    async def start(self) -> None:
        self._acceptor = await asyncssh.listen(
            self.address,
            self.port,
            server_factory=lambda: _Server(self.host),
            server_host_keys=self._keys(),
            process_factory=self._process,
            encoding=None,
            sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=self.host.inside.encode()),
            allow_scp=True,
            line_editor=False,
            agent_forwarding=False,
            x11_forwarding=False,
            keepalive_interval=0,
            login_timeout=60,
        )
        self._stamp = self._reload_stamp()

    def _reload_stamp(self) -> int:
        """Changes when somebody in the host reloads ssh."""
        path = self.host.root / "var/lib/sandbox/ssh-reloaded"
        return path.stat().st_mtime_ns if path.exists() else 0

    def reload(self) -> None:
        if self._acceptor is not None:
            self._acceptor.update(server_host_keys=self._keys())

    def _after_command(self) -> None:
        stamp = self._reload_stamp()
        if stamp != self._stamp:
            self._stamp = stamp
            self.reload()

    async def _process(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        await _serve_process(self.host, process, self._after_command)

    async def stop(self) -> None:
        if self._acceptor is not None:
            self._acceptor.close()
            await self._acceptor.wait_closed()
            self._acceptor = None
