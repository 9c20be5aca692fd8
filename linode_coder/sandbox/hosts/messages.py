"""Messages over a local SOCK_SEQPACKET socket: one JSON object each, with open files beside it.

Standard library only: used by the server, the keeper and the hosts' first process alike.
"""

from __future__ import annotations

import array
import json
import os
import socket
from typing import Any

MESSAGE_LIMIT = 160 * 1024
"""Bytes of one encoded message; the kernel's default socket buffer holds it."""
_MAX_FILES = 8


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def encode(message: dict[str, Any]) -> bytes:
    """The bytes of one message; ValueError beyond `MESSAGE_LIMIT`."""
    raw = json.dumps(message).encode()
    if len(raw) > MESSAGE_LIMIT:
        raise ValueError(f"message of {len(raw)} bytes is over {MESSAGE_LIMIT}")
    return raw


def send(sock: socket.socket, message: dict[str, Any], files: tuple[int, ...] = ()) -> None:
    """Send one message and copies of open files; the caller keeps (and closes) its own."""
    send_raw(sock, encode(message), files)


def send_raw(sock: socket.socket, raw: bytes, files: tuple[int, ...] = ()) -> None:
    """The same for an encoded message; BlockingIOError when a non-blocking socket is full."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))] if files else []
    sock.sendmsg([raw], rights)


def receive(sock: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """The next message and the files that came with it; None at the end of the connection."""
    raw, ancillary, _flags, _address = sock.recvmsg(MESSAGE_LIMIT + 1, socket.CMSG_SPACE(_MAX_FILES * 4))
    files = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            files.frombytes(data[: len(data) - len(data) % files.itemsize])
    received = list(files)
    for fd in received:
        os.set_inheritable(fd, False)
    if not raw:
        for fd in received:
            os.close(fd)
        return None
    message: dict[str, Any] = json.loads(raw)
    return message, received
