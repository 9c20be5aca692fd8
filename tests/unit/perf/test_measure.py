# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures from streams with known times, and what is said of them."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.client import EngineClient, Stream
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.speed_test import (
    Level,
    is_sandbox,
    judge,
    measure,
    summarise,
    too_slow,
)
from hypothesis import given
from hypothesis import strategies as st


def stream(first: float, last: float, tokens: int | None, error: str | None = None) -> Stream:
    return Stream(
        sent=10.0,
        first=10.0 + first,
        last=10.0 + last,
        ended=10.0 + last + 0.1,
        tokens=tokens,
        prompt_tokens=50,
        done=error is None,
        error=error,
    )


def level(tps: float | None, failed: int = 0) -> Level:
    return Level(1, 1, failed, 0.1, 0.1, 1 / tps if tps else None, 1.0, tps, tps, "HTTP 500" if failed else None)


def test_a_stream_is_measured_by_the_engines_count() -> None:
    found = summarise(2, [stream(0.2, 2.2, 101), stream(0.4, 2.4, 101)], seconds=2.5)
    assert found.ttft_p50 == pytest.approx(0.3) and found.ttft_max == pytest.approx(0.4)
    assert found.itl_p50 == pytest.approx(0.02) and found.stream_tps == pytest.approx(50)
    assert found.output_tps == pytest.approx(202 / 2.5)
    assert (found.requests, found.failed, found.error) == (2, 0, None)


@pytest.mark.parametrize("bad", [stream(0.1, 1.0, None), stream(0.1, 1.0, 50, "EngineCore encountered an issue")])
def test_a_broken_stream_counts_as_failed_and_for_nothing_else(bad: Stream) -> None:
    found = summarise(2, [stream(0.2, 2.2, 101), bad], seconds=2.0)
    assert found.failed == 1 and found.error
    assert found.output_tps == pytest.approx(50.5)


@pytest.mark.parametrize(
    ("tps", "expected", "baseline", "severity"),
    [
        (70.0, 100.0, None, "pass"),
        (69.9, 100.0, None, "warn"),
        (50.0, 100.0, None, "warn"),
        (49.9, 100.0, None, "fail"),
        (300.0, 100.0, None, "pass"),
        (90.0, 100.0, 100.0, "pass"),
        (84.0, 100.0, 100.0, "warn"),
        (130.0, 100.0, 100.0, "pass"),
        (49.0, 100.0, 49.0, "fail"),
        (90.0, None, None, "unknown"),
        (90.0, None, 100.0, "pass"),
        (80.0, None, 100.0, "warn"),
        (None, 100.0, None, "unknown"),
    ],
)
def test_verdicts(tps: float | None, expected: float | None, baseline: float | None, severity: str) -> None:
    verdict = judge([level(tps)], expected, baseline, sandbox=False)
    assert verdict.severity == severity
    failure = too_slow(verdict, "demo")
    assert (failure.exit_code if failure else 0) == (6 if severity == "fail" else 0)


def test_failed_requests_fail_whatever_the_speed() -> None:
    assert judge([level(100.0), level(100.0, failed=1)], 100.0, None, sandbox=True).severity == "fail"


def test_the_sandbox_means_nothing() -> None:
    verdict = judge([level(5.0)], 100.0, 100.0, sandbox=True)
    assert verdict.severity == "unknown" and "means nothing" in verdict.summary


@pytest.mark.parametrize(
    ("url", "sandbox"),
    [("http://127.0.0.1:1234/", True), ("http://localhost/", True), ("https://api.linode.com/", False), (None, False)],
)
def test_where_the_sandbox_is(url: str | None, sandbox: bool) -> None:
    assert is_sandbox(url) == sandbox


@given(st.floats(0.5, 1000), st.floats(0.5, 1000), st.floats(1.0, 2.0))
def test_faster_is_never_judged_worse(tps: float, expected: float, factor: float) -> None:
    order = ("fail", "warn", "pass")
    slow, fast = (judge([level(value)], expected, None, False).severity for value in (tps, tps * factor))
    assert order.index(slow) <= order.index(fast)


class Engine(BaseHTTPRequestHandler):
    """Ten chunks of three tokens each, 10 ms apart."""

    prompts: ClassVar[list[str]] = []
    at_once = most = 0

    def do_POST(self) -> None:
        kind = type(self)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        kind.prompts.append(body["messages"][0]["content"])
        kind.at_once += 1
        kind.most = max(kind.most, kind.at_once)
        self.send_response(200)
        self.end_headers()
        for _ in range(10):
            time.sleep(0.01)
            self._chunk({"choices": [{"delta": {"content": "a b c"}}]})
        self._chunk({"choices": [], "usage": {"completion_tokens": 30, "prompt_tokens": 9}})
        kind.at_once -= 1
        self.wfile.write(b"data: [DONE]\n\n")

    def _chunk(self, chunk: object) -> None:
        self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        pass


def test_chunks_are_not_taken_for_tokens_and_no_prompt_repeats() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Engine)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        levels = measure(EngineClient(server.server_address[1], "key"), "coder", (1, 3), tokens=30)
    finally:
        server.shutdown()
        server.server_close()
    assert [(one.concurrency, one.requests, one.failed) for one in levels] == [(1, 1, 0), (3, 3, 0)]
    assert Engine.most == 3
    assert len(set(Engine.prompts)) == len(Engine.prompts) == 1 + 2 * (1 + 3)
    # Thirty tokens in nine gaps of at least 10 ms.
    assert all(one.itl_p50 is not None and one.itl_p50 >= 9 * 0.01 / 29 for one in levels)
