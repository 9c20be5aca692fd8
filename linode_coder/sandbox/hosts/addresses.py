"""Loopback addresses for hosts: one each, and not the same one again soon.

SSH clients keep control sockets and known keys by address, so an address that comes back at once with another host
behind it would be met with the old one's connection.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import socket
from pathlib import Path

from .base import SandboxError

_FIRST = int(ipaddress.IPv4Address("127.16.0.1"))
_COUNT = int(ipaddress.IPv4Address("127.247.255.254")) - _FIRST


def is_host_address(text: str) -> bool:
    """Whether it is one that `Addresses` gives."""
    try:
        number = int(ipaddress.IPv4Address(text))
    except ValueError:
        return False
    return 0 <= number - _FIRST < _COUNT


class Addresses:
    """Walks through 127.16.0.0 to 127.247.255.254 from a start that depends on the sandbox's directory."""

    def __init__(self, state: Path) -> None:
        self._state = state
        digest = hashlib.sha256(str(state).encode()).digest()
        self._next = int.from_bytes(digest[:4], "big") % _COUNT
        if state.exists():
            self._next = int(json.loads(state.read_text())["next"])

    def allocate(self) -> str:
        """The next address whose last number is neither 0 nor 255."""
        while True:
            candidate = ipaddress.IPv4Address(_FIRST + self._next % _COUNT)
            self._next += 1
            if candidate.packed[3] not in (0, 255):
                break
        temporary = self._state.with_suffix(".new")
        temporary.write_text(json.dumps({"next": self._next}))
        temporary.replace(self._state)
        return str(candidate)

    def ssh_port(self) -> int:
        """22 where this process may listen on it, else the first free port from 2222."""
        address = str(ipaddress.IPv4Address(_FIRST + self._next % _COUNT))
        ports: list[int] = [22, *range(2222, 2322)]
        for port in ports:
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    sock.bind((address, port))
                    sock.listen(1)
                except OSError:
                    continue
                return port
        raise SandboxError("No port from 2222 to 2321 is free for SSH.", "Stop what listens there.")
