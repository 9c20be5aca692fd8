"""Which headers of a request or an answer go on to the other side of an endpoint of ours."""

from __future__ import annotations

from collections.abc import Mapping

from multidict import CIMultiDict

# Of one connection each, or said anew for the next one.
_HOP_BY_HOP = frozenset(
    {
        *("connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization"),
        *("te", "trailer", "transfer-encoding", "upgrade", "host", "content-length"),
    }
)


def passing(headers: Mapping[str, str], *left_out: str) -> CIMultiDict[str]:
    """All but those of this connection, by rule or because `Connection` names them, and ``left_out``, in small letters."""
    named = {word.strip().lower() for word in headers.get("Connection", "").split(",")}
    kept_back = _HOP_BY_HOP | named | set(left_out)
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in kept_back)
