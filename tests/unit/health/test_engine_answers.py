# SPDX-License-Identifier: GPL-3.0-or-later
"""What answers on the engine's port may be anything: it costs its time limit and is unknown or unhealthy, never a crash."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine import client
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.client import EngineClient
from ansible_collections.linode_coder.gpu.plugins.module_utils.health import vm_look
from ansible_collections.linode_coder.gpu.plugins.module_utils.watch import activity_look


@contextmanager
def answering(says: bytes, pause: float = 0.0, times: int = 1) -> Iterator[int]:
    """A port on which every connection is told ``says``, again and again."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    there, _address = server.accept()
                except OSError:
                    return
                with there:
                    try:
                        there.recv(65536)
                        for _time in range(times):
                            there.sendall(says)
                            time.sleep(pause)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join(10)


SAYS = {
    "nothing": b"",
    "no HTTP": b"\x15\x03\x01 what?\n\n",
    "half an answer": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
    "a bad length": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a long header": b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 70000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("what", SAYS)
def test_an_answer_that_is_none(what: str) -> None:
    with answering(SAYS[what]) as port:
        found = vm_look.asked(EngineClient(port, None), "/health", 5)
        assert found["status"] is None and found["error"], found


def test_an_answer_that_does_not_end_costs_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    with answering(head + b"x", pause=0.05, times=400) as port:
        found = vm_look.asked(EngineClient(port, None), "/health", 0.3)
    assert (found["status"], found["error"]) == (None, "the answer does not end")
    monkeypatch.setattr(client, "ANSWER_LIMIT", 1000)
    with answering(head + b"x" * 5000) as port:
        assert vm_look.asked(EngineClient(port, None), "/health", 5)["error"] == "the answer does not end"


def test_a_watcher_takes_it_for_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoTokens:
        def __init__(self, _directory: str) -> None: ...
        def __enter__(self) -> NoTokens:
            return self

        def __exit__(self, *_error: object) -> None: ...
        def of(self, _start: float | None) -> dict[str, int]:
            return {"prompt_tokens": 0, "generation_tokens": 0, "requests": 0}

    monkeypatch.setattr(activity_look, "OwnTokens", NoTokens)
    for says in SAYS.values():
        with answering(says) as port:
            found = activity_look.read_activity(port, "/nowhere", "/nowhere")
        assert (found["readable"], found["served"]) == (False, False)


class StartingEngine(BaseHTTPRequestHandler):
    """Behind a proxy, which answers for it until it serves."""

    serves = False

    def do_GET(self) -> None:
        self.send_response(200 if StartingEngine.serves else 502)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None: ...


def test_a_start_that_ends_during_the_look_is_no_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its log was read after it was asked, and already says that it serves."""
    StartingEngine.serves = False

    def serves_now(_params: object) -> tuple[dict[str, Any], dict[str, str], dict[str, Any]]:
        assert asked.wait(30)
        StartingEngine.serves = True
        return {}, {"engine.log": "INFO:     Application startup complete."}, {}

    asked = threading.Event()
    look_at_engine = vm_look.look_at_engine

    def ask(*arguments: Any) -> Any:
        found = look_at_engine(*arguments)
        asked.set()
        return found

    monkeypatch.setattr(vm_look, "look_at_engine", ask)
    monkeypatch.setattr(vm_look, "look_at_container", serves_now)
    with ThreadingHTTPServer(("127.0.0.1", 0), StartingEngine) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        params = {name: option.get("default") for name, option in vm_look.LOOK_SPEC.items()}
        here = {"port": server.server_address[1], "project_dir": str(tmp_path), "state_dir": str(tmp_path)}
        texts, _key = vm_look.collect({**params, **here}, {}, check_mode=True)
        server.shutdown()
    assert json.loads(texts["host.json"])["engine"]["health"]["status"] == 200
