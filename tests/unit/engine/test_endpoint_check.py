# SPDX-License-Identifier: GPL-3.0-or-later
"""Every check of a served endpoint, against a server that goes wrong in one way at a time."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.client import EngineClient
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.endpoint_check import check_endpoint, unhealthy

KEY = "the-right-key"
MODEL = "org/Model-7B"
CALL = {"type": "function", "id": "c1", "function": {"name": "read_file", "arguments": '{"path": "README.md"}'}}


class Engine(BaseHTTPRequestHandler):
    wrong = ""

    def answer(self, status: int, body: Any) -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def refused(self) -> bool:
        given = self.headers.get("Authorization")
        open_door = self.wrong == "open" or (self.wrong == "any key" and given)
        if given != f"Bearer {KEY}" and not open_door:
            self.answer(401, {"error": "Unauthorized"})
            return True
        return False

    def do_GET(self) -> None:
        if self.path == "/health":
            self.answer(503 if self.wrong == "sick" else 200, b"")
        elif not self.refused():
            name = "org/Other" if self.wrong == "other model" else MODEL
            cards = [{"id": "coder", "root": name, "max_model_len": 4096}]
            self.answer(200, {"data": [] if self.wrong == "no model" else cards})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.refused():
            return
        if body.get("stream"):
            self.stream()
        elif "tools" in body:
            self.tools(body)
        elif body["max_tokens"] > 4096 and self.wrong != "clips":
            self.answer(400, {"error": {"message": "max_tokens is too large"}})
        elif self.wrong == "dies in chat":
            self.close_connection = True
        else:
            tokens = 0 if self.wrong == "mute" else 9
            self.answer(200, {"choices": [{"message": {"content": "hi"}}], "usage": {"completion_tokens": tokens}})

    def tools(self, body: dict[str, Any]) -> None:
        free = body["tool_choice"] == "auto"
        if self.wrong == "no tools":
            self.answer(400, {"error": {"message": '"auto" tool choice requires --enable-auto-tool-choice'}})
        elif self.wrong == "bad call" or (self.wrong == "shy" and free):
            bad = {"type": "function", "function": {"name": "read_file", "arguments": "{"}}
            self.answer(200, {"choices": [{"message": {"tool_calls": [bad] if self.wrong == "bad call" else []}}]})
        else:
            self.answer(200, {"choices": [{"message": {"tool_calls": [CALL]}}]})

    def stream(self) -> None:
        chunks: list[Any] = [{"choices": [{"delta": {"role": "assistant"}}]}]
        if self.wrong == "error in the stream":
            chunks.append({"error": {"message": "EngineCore encountered an issue"}})
        elif self.wrong != "empty stream":
            chunks += [{"choices": [{"delta": {"content": "one two"}}]}, {"choices": [{"delta": {"content": "three"}}]}]
        if self.wrong != "no usage":
            chunks.append({"choices": [], "usage": {"completion_tokens": 17, "prompt_tokens": 5}})
        lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
        if self.wrong != "cut":
            lines.append("data: [DONE]\n\n")
        self.answer(200, "".join(lines).encode())

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def engine(wrong: str) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Wrong", (Engine,), {"wrong": wrong}))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("wrong", "check", "severity"),
    [
        ("", "", "pass"),
        ("sick", "health", "fail"),
        ("other model", "models", "fail"),
        ("no model", "models", "fail"),
        ("open", "key", "fail"),
        ("any key", "key", "fail"),
        ("mute", "chat", "fail"),
        ("dies in chat", "chat", "fail"),
        ("error in the stream", "streaming", "fail"),
        ("empty stream", "streaming", "fail"),
        ("cut", "streaming", "fail"),
        ("no usage", "streaming", "warn"),
        ("no tools", "tool_call", "fail"),
        ("shy", "tool_call", "warn"),
        ("bad call", "tool_call", "warn"),
        ("clips", "context", "warn"),
    ],
)
def test_each_way_to_go_wrong(wrong: str, check: str, severity: str) -> None:
    with engine(wrong) as port:
        findings = check_endpoint(EngineClient(port, KEY), MODEL, 4096)
    assert len(findings) == 7
    bad = [(finding.id, finding.severity) for finding in findings if finding.severity in ("warn", "fail")]
    assert bad == ([(f"endpoint.{check}", severity)] if check else [])
    failure = unhealthy(findings, "demo")
    assert (failure.exit_code if failure else 0) == (6 if severity == "fail" else 0)


def test_an_old_key_and_a_short_context() -> None:
    with engine("") as port:
        old = check_endpoint(EngineClient(port, "an-old-key"), MODEL)
        short = check_endpoint(EngineClient(port, KEY), MODEL, 8192)
    assert [finding.severity for finding in old] == ["pass", "fail", "pass", "unknown", "unknown", "unknown", "unknown"]
    assert short[-1].severity == "fail" and "4096" in short[-1].summary


def test_nothing_listens() -> None:
    with engine("") as port:
        pass
    findings = check_endpoint(EngineClient(port, KEY), MODEL)
    assert [finding.severity for finding in findings] == ["fail"] + ["unknown"] * 6
