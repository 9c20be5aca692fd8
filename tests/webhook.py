# SPDX-License-Identifier: GPL-3.0-or-later
"""A webhook of one's own: what it was sent, and how it answers."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Webhook:
    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.status = 200
        self.drip = False
        self.over = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if outer.drip:
                    # An answer that never ends, a byte at a time.
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                    deadline = time.monotonic() + 60
                    while not outer.over.wait(0.2) and time.monotonic() < deadline:
                        self.wfile.write(b".")
                        self.wfile.flush()
                    return
                if outer.status == 200:
                    outer.paths.append(self.path)
                    outer.bodies.append(json.loads(body))
                self.send_response(outer.status)
                self.send_header("Content-Length", "0")
                if outer.status == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """The bodies say it."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/hook/planted-secret-of-the-webhook"

    def notices(self) -> list[tuple[str, str]]:
        """Kind and label of everything that arrived, in its order."""
        return [(row["kind"], row["label"]) for body in self.bodies for row in body["notices"]]


@contextmanager
def listening() -> Iterator[Webhook]:
    hook = Webhook()
    thread = threading.Thread(target=hook.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hook
    finally:
        hook.over.set()
        hook.server.shutdown()
        hook.server.server_close()
        thread.join(10)
