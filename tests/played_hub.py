# SPDX-License-Identifier: GPL-3.0-or-later
"""A small server that plays the Hugging Face Hub."""

from __future__ import annotations

import json
import time
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.played_server import PlayedServer


class PlayedHub(PlayedServer):
    """Answers by path: (status, headers, body), a body that is no str as JSON; ``seen`` is path and Authorization."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, dict[str, str], Any]] = {}
        self.delay = 0.0
        self.seen: list[tuple[str, str | None]] = []
        played = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_arguments: object) -> None:
                """Quiet."""

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                played.seen.append((path, self.headers.get("Authorization")))
                time.sleep(played.delay)
                missing = (401, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}, {})
                status, headers, body = played.answers.get(path, missing)
                data = (body if isinstance(body, str) else json.dumps(body)).encode()
                try:
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except BrokenPipeError:
                    """The client has given up, as it was meant to."""

        self.begin(Handler)

    def serve(self, name: str, info: Any, config: Any, status: int = 200, **headers: str) -> None:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        self.answers[f"/api/models/{name}"] = (200, {}, info)
        self.answers[f"/{name}/resolve/main/config.json"] = (status, named, config)
