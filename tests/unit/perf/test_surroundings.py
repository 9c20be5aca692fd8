# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured before the load: the disk, the way to the engine, who else uses it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.program import run
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.client import EngineClient
from ansible_collections.linode_coder.gpu.plugins.module_utils.perf import surroundings
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile import CORPUS


class Engine(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    page: ClassVar[bytes] = b""
    health: ClassVar[bytes] = b""

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        body = self.page if self.path == "/metrics" else self.health
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def client() -> Iterator[EngineClient]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Engine) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield EngineClient(server.server_port, None)
        server.shutdown()


def test_what_the_real_dd_says_is_read(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(bytes(8 << 20))
    said = run(["dd", f"if={tmp_path / 'weights'}", "of=/dev/null", "bs=4M", "count=8"], 30).text
    speed = surroundings.read_speed(said)
    assert speed is not None and speed > 1e6
    assert surroundings.disk_read(lambda argv: said) == speed


@pytest.mark.parametrize(
    ("said", "mib_s"),
    [
        ("8+0 records in\n8+0 records out\n33554432 bytes (34 MB, 32 MiB) copied, 0.5 s, 67 MB/s\n", 64),
        ("4194304 bytes (4.2 MB, 4.0 MiB) copied, 8.00001 s, 524 kB/s", 0.5),
        ("33554432 bytes copied, 3.2e-2 s, 1 GB/s", 1000),
        ("0 bytes copied, 0.1 s, 0.0 kB/s", None),
        ("33554432 bytes (34 MB, 32 MiB) copied, 0 s, Infinity B/s", None),
        ("33554432 bytes (34 MB, 32 MiB) copied, 1.2.3 s", None),
        ("dd: failed to open '/dev/sda': Permission denied", None),
        *((text, None) for text in CORPUS.values()),
    ],
)
def test_what_dd_says(said: str, mib_s: float | None) -> None:
    speed = surroundings.read_speed(said)
    assert speed is None if mib_s is None else speed == pytest.approx(mib_s * 2**20, rel=0.001)


@given(st.text("0123456789.e+- bytescopied,MB()\n", max_size=200))
def test_any_text_is_a_speed_or_none(text: str) -> None:
    speed = surroundings.read_speed(text)
    assert speed is None or speed > 0


def test_the_way_is_the_best_of_a_few_or_unknown(client: EngineClient) -> None:
    found = surroundings.round_trip(client)
    assert found is not None and 0 < found < 60
    assert surroundings.round_trip(EngineClient(1, None)) is None


def test_an_answer_without_an_end_is_no_way(client: EngineClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "health", b"x" * 1_000_000)
    assert surroundings.round_trip(client) is None


@pytest.mark.parametrize(
    ("page", "found"),
    [
        (b'vllm:num_requests_running{engine="0"} 2.0\nvllm:num_requests_waiting{engine="0"} 1.0\n', 3),
        (b"vllm:num_requests_running 0.0\nvllm:num_requests_waiting 0.0\n", 0),
        (b"vllm:num_requests_running 2.0\n", None),
        (b"vllm:num_requests_running NaN\nvllm:num_requests_waiting 0\n", None),
    ],
)
def test_who_else_asks(client: EngineClient, monkeypatch: pytest.MonkeyPatch, page: bytes, found: int | None) -> None:
    monkeypatch.setattr(Engine, "page", page)
    assert surroundings.requests_before(client) == found
    assert surroundings.requests_before(EngineClient(1, None)) is None
