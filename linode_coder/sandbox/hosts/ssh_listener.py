"""The SSH server of one simulated host, at its own loopback address."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable

import asyncssh

from .base import SandboxError
from .guest_link import GuestLink
from .ssh_sessions import Forward, Session

_LOG = logging.getLogger("linode_coder.sandbox.ssh")
HOST_KEY = "/etc/ssh/ssh_host_ed25519_key"
AUTHORIZED_KEYS = "/root/.ssh/authorized_keys"
# The AES modes run in the processor: a fifth of the CPU time that chacha20 costs here.
_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr")


class _Stalled(asyncssh.SSHServerSession[bytes]):
    """Takes whatever is asked for, and never answers (a fault)."""

    def pty_requested(self, *_terminal: object) -> bool:
        return True

    def shell_requested(self) -> bool:
        return True

    def exec_requested(self, command: str) -> bool:
        return True

    def subsystem_requested(self, subsystem: str) -> bool:
        return True

    def eof_received(self) -> bool:
        return True


class _Way:
    """What a client sends, later than it came when the way is long (a fault): all of the round trip, in the order in which it was
    sent."""

    def __init__(self, listener: SshListener, conn: asyncssh.SSHServerConnection) -> None:
        self._listener, self._conn = listener, conn
        self._take = conn.data_received
        self._due = 0.0
        # The transport asks the connection for it each time.
        vars(conn)["data_received"] = self._received

    def _received(self, data: bytes, datatype: asyncssh.DataType = None) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._due = max(now + self._listener.delay, self._due)
        if self._due <= now:
            self._take(data, datatype)
        else:
            loop.call_at(self._due, self._arrive, data, datatype)

    def _arrive(self, data: bytes, datatype: asyncssh.DataType) -> None:
        # What was on its way when the connection ended is lost.
        if not self._conn.is_closed():
            self._take(data, datatype)


class _Server(asyncssh.SSHServer):
    """One connection: key authentication as root, against the host's own file at that moment."""

    def __init__(self, listener: SshListener) -> None:
        self._listener = listener
        self._conn: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._conn = conn
        _Way(self._listener, conn)
        self._listener.connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._conn is not None:
            self._listener.connections.discard(self._conn)

    async def begin_auth(self, username: str) -> bool:
        if username == "root" and self._conn is not None:
            with contextlib.suppress(OSError, SandboxError, ValueError):
                text = (await self._listener.link.read_file(AUTHORIZED_KEYS)).decode(errors="replace")
                self._conn.set_authorized_keys(asyncssh.import_authorized_keys(text))
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def session_requested(self) -> Session | _Stalled:
        assert self._conn is not None
        if self._listener.stalls:
            return _Stalled()
        host, port = self._conn.get_extra_info("peername")[:2]
        own, own_port = self._conn.get_extra_info("sockname")[:2]
        env = {"SSH_CLIENT": f"{host} {port} {own_port}", "SSH_CONNECTION": f"{host} {port} {own} {own_port}"}
        return Session(self._listener.link, own, env)

    def connection_requested(
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> Awaitable[asyncssh.SSHTCPSession[bytes]]:
        return Forward.open(self._listener.link, dest_host, dest_port)


class SshListener:
    """Listens while the host is up and its ssh unit runs."""

    def __init__(self, link: GuestLink, address: str, port: int) -> None:
        self.link = link
        self.address = address
        self.port = port
        self.connections: set[asyncssh.SSHServerConnection] = set()
        self.foreign_key = False
        """Present a key that is not the host's (a fault)."""
        self.stalls = False
        """Let clients in and answer nothing (a fault)."""
        self.delay = 0.0
        """Seconds that the way takes, there and back (a fault)."""
        self._acceptor: asyncssh.SSHAcceptor | None = None
        self._lock = asyncio.Lock()

    @property
    def listening(self) -> bool:
        """Whether clients can connect."""
        return self._acceptor is not None

    async def start(self) -> None:
        """Listen with the key that lies in the host now. `SandboxError` when there is none or the port is taken."""
        async with self._lock:
            if self._acceptor is not None:
                return
            key = await self._key()
            try:
                self._acceptor = await asyncssh.listen(
                    self.address,
                    self.port,
                    server_factory=lambda: _Server(self),
                    server_host_keys=[key],
                    encryption_algs=_CIPHERS,
                    compression_algs=("none", "zlib@openssh.com"),
                    authorized_client_keys=None,
                    password_auth=False,
                    kbdint_auth=False,
                    gss_host=None,
                    encoding=None,
                    line_editor=False,
                    agent_forwarding=False,
                    x11_forwarding=False,
                    allow_scp=False,
                    reuse_address=True,
                    backlog=128,
                    login_timeout=60,
                )
            except OSError as error:
                raise SandboxError(
                    f"SSH cannot listen at {self.address} port {self.port}: {error.strerror}.",
                    "Stop what listens there, or delete the instance and create it again.",
                ) from error

    async def reload(self) -> None:
        """New connections get the key that lies in the host now; those that are open stay."""
        key = await self._key()
        if self._acceptor is not None:
            self._acceptor.update(server_host_keys=[key])

    async def stop(self, *, drop: bool) -> None:
        """Stop listening; `drop` also ends the open connections at once."""
        async with self._lock:
            if self._acceptor is not None:
                self._acceptor.close()
                self._acceptor = None
            if drop:
                for conn in list(self.connections):
                    conn.abort()

    async def _key(self) -> asyncssh.SSHKey:
        if self.foreign_key:
            return asyncssh.generate_private_key("ssh-ed25519")
        try:
            return asyncssh.import_private_key(await self.link.read_file(HOST_KEY))
        except (OSError, ValueError) as error:
            raise SandboxError(
                f"The host at {self.address} has no usable key in {HOST_KEY}: {error}.",
                "Write an ed25519 private key there and reload ssh.",
            ) from error
