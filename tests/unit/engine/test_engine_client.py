# SPDX-License-Identifier: GPL-3.0-or-later
"""One client asks the engine everything, and takes whatever has the engine's port for what it is."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine import client
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.client import (
    EngineClient,
    EngineSilent,
    models_of,
)


class Says(BaseHTTPRequestHandler):
    """``answers`` are status and body of each path; ``asked`` is what came."""

    answers: ClassVar[dict[str, tuple[int, bytes]]]
    asked: ClassVar[list[tuple[str, str, str | None, bytes]]]

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.asked.append((self.command, self.path, self.headers.get("Authorization"), body))
        status, said = self.answers[self.path]
        self.send_response(status)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_POST = do_GET

    def log_message(self, *_: object) -> None: ...


@contextmanager
def engine(answers: dict[str, tuple[int, bytes]]) -> Iterator[tuple[int, list[tuple[str, str, str | None, bytes]]]]:
    asked: list[tuple[str, str, str | None, bytes]] = []
    handler = type("Engine", (Says,), {"answers": answers, "asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.server_address[1], asked
        server.shutdown()
        thread.join()


CARD = {"id": "coder", "root": "org/Model-7B", "max_model_len": 4096}
SERVING = {
    "/health": (200, b""),
    "/v1/models": (200, json.dumps({"data": [CARD, {"id": "org/Model-7B"}]}).encode()),
    "/metrics": (200, b"vllm:num_requests_running 1.0\n"),
    "/v1/completions": (200, b'{"usage": {"completion_tokens": 1}}'),
}


def test_every_question_has_one_answer() -> None:
    with engine(SERVING) as (port, asked):
        own = EngineClient(port, "the-key")
        assert own.with_key(None).healthy() and own.served() == [CARD, {"id": "org/Model-7B"}]
        assert own.metrics() == "vllm:num_requests_running 1.0\n"
        assert own.ask("POST", "/v1/completions", {"n": 1}) == (200, {"usage": {"completion_tokens": 1}})
        assert own.key == "the-key"
    bearer = "Bearer the-key"
    assert asked == [
        ("GET", "/health", None, b""),
        ("GET", "/v1/models", bearer, b""),
        ("GET", "/metrics", bearer, b""),
        ("POST", "/v1/completions", bearer, b'{"n": 1}'),
    ]


@pytest.mark.parametrize(
    "body",
    [None, 7, "text", [], {}, {"data": None}, {"data": {}}, {"data": [None, 7, [], {}, {"id": ""}, {"root": "x"}]}],
)
def test_what_is_no_list_of_models_is_none(body: Any) -> None:
    assert models_of(body) == []
    lists = {"/v1/models": (200, json.dumps(body).encode())}
    with engine(lists) as (port, _asked), pytest.raises(EngineSilent) as caught:
        EngineClient(port, None).served()
    assert (caught.value.reason, str(caught.value)) == ("HTTP 200", "GET /v1/models: HTTP 200")


@pytest.mark.parametrize("said", [b"\xff\xfe", b"{", b"[" * 100_000, b"<html>"])
def test_what_is_no_json_is_text(said: bytes) -> None:
    with engine({"/v1/models": (200, said)}) as (port, _asked):
        assert EngineClient(port, None).ask("GET", "/v1/models") == (200, said.decode(errors="replace"))


def test_a_refusal_is_an_answer_and_serves_nothing() -> None:
    with engine({path: (401, b'{"error": "Unauthorized"}') for path in SERVING}) as (port, _asked):
        own = EngineClient(port, "old")
        assert not own.healthy() and own.metrics() == ""
        assert own.ask("GET", "/v1/models") == (401, {"error": "Unauthorized"})
        with pytest.raises(EngineSilent, match="HTTP 401"):
            own.served()


def test_nobody_at_the_port_is_silence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    own = EngineClient(port, None)
    assert not own.healthy() and own.metrics() == ""
    for question in (own.served, lambda: own.stream("/v1/completions", {})):
        with pytest.raises(EngineSilent, match="refused"):
            question()


def test_a_key_that_no_header_can_hold_is_silence_and_no_crash() -> None:
    with engine(SERVING) as (port, asked):
        for key in ("a\nHost: elsewhere", "\u20ac"):
            with pytest.raises(EngineSilent):
                EngineClient(port, key).served()
    assert asked == []


def test_a_refusal_that_does_not_end_is_still_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ANSWER_LIMIT", 100)
    with engine({"/health": (500, b"x" * 5000), "/metrics": (200, b"x" * 5000)}) as (port, _asked):
        own = EngineClient(port, None)
        assert own.fetch("GET", "/health").status == 500
        with pytest.raises(EngineSilent, match="does not end"):
            own.fetch("GET", "/metrics")
        assert own.metrics() == ""


@pytest.mark.parametrize("chunk", [b"[]", b"7", b"{", b"null", b"[" * 100_000])
def test_a_stream_of_something_else_is_a_broken_stream(chunk: bytes) -> None:
    with engine({"/v1/completions": (200, b"data: " + chunk + b"\n\ndata: [DONE]\n\n")}) as (port, _asked):
        found = EngineClient(port, None).stream("/v1/completions", {})
    assert found.done and "not JSON" in (found.error or "")
