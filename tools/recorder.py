# SPDX-License-Identifier: GPL-3.0-or-later
"""An HTTP server on loopback that hands every request on to an endpoint and remembers what was asked."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")


@dataclass
class Asked:
    """One request: its path without a query, the status of its answer, and what of its body matters here."""

    path: str
    status: int
    limit: int | None
    tools: list[str]


@dataclass
class Recorder:
    """``port`` is where it listens. With ``cut`` the next stream ends in its middle, without a word."""

    port: int = 0
    cut: bool = False
    asked: list[Asked] = field(default_factory=list)


def _names(body: dict[str, Any]) -> list[str]:
    tools = body.get("tools") or []
    return [str((tool.get("function") or tool).get("name", tool.get("type"))) for tool in tools]


@contextmanager
def recording(endpoint: int) -> Iterator[Recorder]:
    """In front of the endpoint at this local port."""
    recorder = Recorder()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *arguments: object) -> None:
            pass

        def hand_on(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {
                name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")
            }
            connection = http.client.HTTPConnection("127.0.0.1", endpoint, timeout=120)
            connection.request(self.command, self.path, data or None, headers)
            answer = connection.getresponse()
            body = json.loads(data) if data[:1] == b"{" else {}
            limit = next((body[name] for name in _LIMITS if body.get(name) is not None), None)
            path = self.path.partition("?")[0]
            recorder.asked.append(Asked(path, answer.status, limit, _names(body)))
            stream = (answer.getheader("Content-Type") or "").startswith("text/event-stream")
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.getheader("Content-Type") or "text/plain")
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            while part := answer.read1(65536):
                if stream and recorder.cut:
                    recorder.cut = False
                    self.wfile.write(part[: len(part) // 2])
                    break
                self.wfile.write(part)
                self.wfile.flush()
            connection.close()

        do_GET = do_POST = do_HEAD = do_OPTIONS = hand_on

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    recorder.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield recorder
    finally:
        server.shutdown()
        server.server_close()
