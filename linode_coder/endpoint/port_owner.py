"""Whose a local port is: nothing secret is sent to a port that another program may have taken."""

from __future__ import annotations

import http.client
import socket
from pathlib import Path

from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.client import EngineClient

from .tunnel_files import keeper, read_target

_LISTEN = "0A"


def listens(pid: int, port: int) -> bool:
    """Whether this process holds the listening socket of the port on 127.0.0.1.

    Only Linux says so. Elsewhere a keeper that lives is taken at its word: it binds the port before it says anything, never lets
    go of it, and ends when it cannot have it.
    """
    table = Path("/proc/net/tcp")
    if not table.exists():
        return True
    wanted = f"0100007F:{port:04X}"
    rows = (line.split() for line in table.read_text().splitlines()[1:])
    sockets = {f"socket:[{row[9]}]" for row in rows if row[1] == wanted and row[3] == _LISTEN}
    return bool(sockets & _open_files(pid))


def _open_files(pid: int) -> set[str]:
    found = set()
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            try:
                found.add(str(entry.readlink()))
            except OSError:  # closed meanwhile
                continue
    except OSError:  # the process has ended, or is another user's
        return set()
    return found


def our_port(name: str) -> tuple[int, int] | None:
    """The local port of the session and the process that keeps it; None when no keeper of ours holds it."""
    pid, target = keeper(name), read_target(name)
    if pid is None or target is None or not listens(pid, target["port"]):
        return None
    return target["port"], pid


class NotOurs(ConnectionError):
    """Nobody of ours holds the port."""


class OwnConnection(http.client.HTTPConnection):
    """To the endpoint of a session, and to nothing else that listens there: looked at before and after connecting, so that it was
    the same keeper all the time. Only then is anything sent."""

    def __init__(self, name: str, timeout: float) -> None:
        self._session = name
        target = read_target(name)
        super().__init__("127.0.0.1", target["port"] if target else 0, timeout=timeout)

    def connect(self) -> None:
        before = our_port(self._session)
        if before is None or before[0] != self.port:
            raise NotOurs("the tunnel is closed")
        super().connect()
        if our_port(self._session) != before:
            self.close()
            raise NotOurs("the tunnel was closed meanwhile")
        # Small requests go out at once.
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class TunnelClient(EngineClient):
    """Asks the engine of a session through the tunnel that is open. Its API key goes to our own keeper or nowhere."""

    def __init__(self, name: str, key: str | None = None, timeout: float = 5) -> None:
        super().__init__(0, key, timeout)
        self.name = name

    def connection(self, timeout: float) -> OwnConnection:
        return OwnConnection(self.name, timeout)
