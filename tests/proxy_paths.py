"""What the proxy before the engine lets through, request by request: the same table for the real nginx and the played one."""

from __future__ import annotations

import http.client
import socket
from typing import NamedTuple

# From the proxy's own configuration: how its answers are told from the engine's.
_REFUSED = (b"The proxy does not let this path through.", b"The API key is missing or wrong", b"The Host header is not")


class Row(NamedTuple):
    """A request as it goes over the wire; who answers it, with one of these statuses (any when there is none)."""

    method: str
    target: str
    who: str
    statuses: tuple[int, ...] = ()
    headers: tuple[str, ...] = ()
    key: bool = True
    host: str = "127.0.0.1"


_UPGRADE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)

ROWS = (
    # The open one, the list with and without the key.
    Row("GET", "/health", "engine", (200,), key=False),
    *(Row("GET", path, "engine", (200,)) for path in ("/health", "/metrics", "/version")),
    Row("GET", "/v1/models", "engine", (200,)),
    Row("GET", "/v1/models?x=/invocations", "engine", (200,)),
    *(
        Row("GET", path, "proxy", (401,), key=False)
        for path in ("/v1/models", "/metrics", "/version", "/invocations", "/", "/health/", "/health/../metrics")
    ),
    Row("POST", "/v1/chat/completions", "engine", (400, 422)),
    Row("POST", "/v1/chat/completions", "proxy", (401,), key=False),
    Row("POST", "/v1/messages/count_tokens", "proxy", (401,), key=False),
    # What the engine would take for another path, and so for one that needs no key.
    *(
        Row("GET", "/v1/models", who, (400,), key=key, host=host)
        for host, who in (("127.0.0.1?", "proxy"), ("x#", "proxy"), ("x?/health", "nginx"))
        for key in (True, False)
    ),
    Row("GET", "/v1/chat/completions", "engine", (405,)),
    Row("GET", "/v1/responses/resp_1", "engine"),
    # Whatever runs the model, stops it or describes it without asking for the key.
    *(
        Row(method, path, "proxy")
        for method, path in (
            ("POST", "/invocations"),
            ("POST", "/invocations?x=/v1/models"),
            ("POST", "/tokenize"),
            ("POST", "/detokenize"),
            ("POST", "/pause"),
            ("POST", "/resume"),
            ("POST", "/abort_requests"),
            ("POST", "/scale_elastic_ep"),
            ("POST", "/generative_scoring"),
            ("GET", "/docs"),
            ("GET", "/openapi.json"),
            ("GET", "/ping"),
            ("GET", "/load"),
            ("GET", "/"),
            ("GET", "/healthz"),
            ("GET", "/health/"),
            ("GET", "/v1"),
            ("GET", "/v1/"),
            ("GET", "/v1/modelsx"),
            ("GET", "/v1/models/"),
            ("GET", "/V1/models"),
            ("POST", "/v1/load_lora_adapter"),
            ("POST", "/v1/unload_lora_adapter"),
            ("DELETE", "/invocations"),
        )
    ),
    # The same, disguised: what counts is where the path leads.
    *(
        Row("POST", path, "proxy")
        for path in (
            "//invocations",
            "/./invocations",
            "/%69nvocations",
            "/v1/../invocations",
            "/v1/%2e%2e/invocations",
            "/v1/models/../../invocations",
            "/v1/models/%2e%2e/%2E%2E/invocations",
            "/v1/models%2f..%2f..%2finvocations",
            "/v1/responses/x/../../../invocations",
            "/%2569nvocations",
            "http://127.0.0.1/invocations",
        )
    ),
    # Allowed paths in disguise reach the engine as they were written, and it has none of that name.
    *(Row("GET", path, "engine", (404, 401)) for path in ("//v1//models", "/v1/./models", "/invocations/../v1/models")),
    # Nonsense ends at the proxy.
    Row("GET", "/../../etc/passwd", "nginx", (400,)),
    Row("GET", "/v1/models%00", "nginx", (400,)),
    Row("POST", "/v1/chat/completions", "nginx", (413,), (f"Content-Length: {(64 << 20) + 1}",)),
    # No protocol but HTTP gets through.
    Row("GET", "/v1/realtime", "proxy", headers=_UPGRADE),
    Row("GET", "/v1/models", "engine", (200,), _UPGRADE),
)


def ask(port: int, key: str, row: Row) -> tuple[int, str]:
    """Status and who gave it: engine, proxy (by its list) or nginx (by itself)."""
    lines = [f"{row.method} {row.target} HTTP/1.1", f"Host: {row.host}", *row.headers]
    lines += [f"Authorization: Bearer {key}"] if row.key else []
    lines += [] if any(header.startswith("Content-Length") for header in row.headers) else ["Content-Length: 0"]
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        answer = http.client.HTTPResponse(connection, method=row.method)
        answer.begin()
        said = answer.read(500)
        refused = any(text in said for text in _REFUSED)
    if refused:
        return answer.status, "proxy"
    return answer.status, "nginx" if row.who == "nginx" and answer.status in (400, 413) else "engine"


def wrong(port: int, key: str) -> list[str]:
    """The requests that were not answered as the table says."""
    found = []
    for row in ROWS:
        status, who = ask(port, key, row)
        statuses = row.statuses or ((404,) if row.who == "proxy" else ())
        if who != row.who or (statuses and status not in statuses):
            found.append(f"{row.method} {row.target}: {status} by {who}, not {statuses} by {row.who}")
    return found
