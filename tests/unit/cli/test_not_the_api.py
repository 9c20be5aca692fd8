# SPDX-License-Identifier: GPL-3.0-or-later
"""A network with a sign-in page, or an edge, that answers in the API's place: every reading command says so, plainly."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent


class Portal(BaseHTTPRequestHandler):
    status, kind, body = 200, "text/html", b"<html>Welcome to the hotel</html>"

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Type", self.kind)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_arguments: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module", params=["200 page", "400 page", "404 page", "200 object", "200 list"])
def portal(request: pytest.FixtureRequest) -> Iterator[str]:
    status, _space, what = request.param.partition(" ")
    bodies = {"page": (Portal.kind, Portal.body), "object": ("application/json", b"{}"), "list": ("a/json", b"[]")}
    kind, body = bodies[what]
    handler = type("Handler", (Portal,), {"status": int(status), "kind": kind, "body": body})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("command", [["list"], ["status", "demo"], ["validate", "demo"], ["extend", "demo", "1h"]])
def test_it_is_said_in_one_sentence(portal: str, command: list[str], tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment = kept | {
        "LINODE_API_URL": portal,
        "LINODE_TOKEN": "token",
        "LINODE_CODER_HOME": str(tmp_path),
        "LINODE_CODER_RETRY_SCALE": "0.01",
        "NO_COLOR": "1",
        "COLUMNS": "400",
    }
    done = subprocess.run(
        [BIN / "linode-coder", *command], env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 5, done.stderr
    assert f"What answered at {portal} is not the Linode API" in done.stderr and "captive portal" in done.stderr
    assert "Traceback" not in done.stderr and "bug" not in done.stderr
