# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandbox's API at an address that a container reaches."""

from __future__ import annotations

import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from tests.sandbox_fixture import RunningSandbox


def gateway_of(container: str) -> str:
    """This machine's address as a container sees it."""
    command = ["docker", "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}", container]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


@contextmanager
def api_at(gateway: str, sandbox: RunningSandbox) -> Iterator[str]:
    """The sandbox's API at an address that the container reaches."""
    upstream = urlsplit(sandbox.url)

    class Pass(BaseHTTPRequestHandler):
        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = urllib.request.Request(
                f"http://{upstream.netloc}{self.path}",
                body or None,
                {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")},
                method=self.command,
            )
            try:
                answer = urllib.request.urlopen(request, timeout=60)
            except urllib.error.HTTPError as error:
                answer = error
            with answer:
                content = answer.read()
                self.send_response(answer.status)
                for name in ("Content-Type", "Date"):
                    if answer.headers.get(name):
                        self.send_header(name, answer.headers[name])
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = pass_on

        def log_message(self, *_: object) -> None:
            """The sandbox logs."""

    server = ThreadingHTTPServer((gateway, 0), Pass)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{gateway}:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
