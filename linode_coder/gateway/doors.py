"""Who is let in: a client on this machine that has the key. A page of a browser is none, whatever name it has given this machine."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from .errors import Refusal

_HOST = re.compile(r"(?P<name>[a-z0-9.-]+|\[[0-9a-f:]+\])(?::[0-9]{1,5})?", re.ASCII)
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def _is_loopback(host: str) -> bool:
    found = _HOST.fullmatch(host.lower())
    return found is not None and found["name"] in _LOOPBACK


def check_origin(host: str | None, origin: str | None) -> None:
    """Refusal for a request that was led here by the name of another host, or by a page of one."""
    if host is None or not _is_loopback(host):
        raise Refusal(400, "invalid_host", "The Host header is not this machine: use http://127.0.0.1.")
    if origin is None:
        return
    try:
        parts = urlsplit(origin)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not _is_loopback(parts.netloc):
        raise Refusal(403, "invalid_origin", "A page of another host may not ask here.")
