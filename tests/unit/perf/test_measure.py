# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures from streams with known times, and runs against an endpoint that answers, dies or is left."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import takewhile
from typing import ClassVar

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.client import EngineClient, Stream
from ansible_collections.linode_coder.gpu.plugins.module_utils.perf import load
from ansible_collections.linode_coder.gpu.plugins.module_utils.perf.figures import level_of, percentile, spread
from ansible_collections.linode_coder.gpu.plugins.module_utils.perf.profiles import PROFILES, next_level, profile_for
from ansible_collections.linode_coder.gpu.plugins.module_utils.perf.run import (
    begin,
    is_sandbox,
    measure,
    served_model,
    too_slow,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.perf.verdict import judge
from hypothesis import given
from hypothesis import strategies as st

from linode_coder.cli.validate_perf import ProfileName


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


def test_a_stream_is_measured_by_the_engines_count() -> None:
    found = level_of(2, [stream(0.2, 2.2, 101), stream(0.4, 2.4, 101)], 2.5, [0.001, 0.003], {})
    assert found["ttft"]["p50"] == pytest.approx(0.3) and found["ttft"]["max"] == pytest.approx(0.4)
    assert found["itl"]["p50"] == pytest.approx(0.02) and found["stream_tps"] == pytest.approx(50)
    assert found["e2e"]["mean"] == pytest.approx(2.4)
    assert found["output_tps"] == pytest.approx(202 / 2.5) and found["requests_ps"] == pytest.approx(0.8)
    assert (found["requests"], found["failed"], found["errors"]) == (2, 0, {})
    assert (found["input_tokens"], found["output_tokens"]) == (100, 202)
    assert 0.001 < found["generator_lag"] <= 0.003


@pytest.mark.parametrize("bad", [stream(0.1, 1.0, None), stream(0.1, 1.0, 50, "EngineCore encountered\nan issue")])
def test_a_broken_stream_counts_as_failed_and_for_nothing_else(bad: Stream) -> None:
    found = level_of(2, [stream(0.2, 2.2, 101), bad, bad], 2.0, [], {})
    assert found["failed"] == 2 and list(found["errors"].values()) == [2]
    assert "\n" not in "".join(found["errors"])
    assert found["output_tps"] == pytest.approx(50.5) and len(found["samples"]["ttft"]) == 1


def test_nothing_measured_is_no_figure() -> None:
    found = level_of(1, [stream(0.1, 1.0, 50, "gone")], 1.0, [], {})
    assert [found[name] for name in ("ttft", "itl", "e2e", "output_tps", "stream_tps", "requests_ps")] == [None] * 6


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_percentiles_are_between_the_least_and_the_most(values: list[float]) -> None:
    found = spread(values)
    assert found is not None and found["max"] == max(values)
    assert min(values) <= found["p50"] <= found["p90"] <= found["p99"] <= found["max"]
    assert min(values) <= found["mean"] * (1 + 1e-9) and found["mean"] <= max(values) * (1 + 1e-9)


@pytest.mark.parametrize(("share", "value"), [(0.0, 1.0), (0.5, 2.5), (0.9, 3.7), (1.0, 4.0)])
def test_percentiles_are_linear_between_two_values(share: float, value: float) -> None:
    assert percentile([1.0, 2.0, 3.0, 4.0], share) == pytest.approx(value)


@pytest.mark.parametrize(
    ("url", "sandbox"),
    [("http://127.0.0.1:1234/", True), ("http://localhost/", True), ("https://api.linode.com/", False), (None, False)],
)
def test_where_the_sandbox_is(url: str | None, sandbox: bool) -> None:
    assert is_sandbox(url) == sandbox


def test_a_failed_verdict_has_its_exit_code() -> None:
    verdict = {"severity": "fail", "summary": "One stream gets 4 tokens/s.", "measured": 4.0}
    failure = too_slow({"session": "demo", "verdict": verdict})
    assert failure is not None and failure.exit_code == 6
    assert too_slow({"session": "demo", "verdict": {**verdict, "severity": "warn"}}) is None
    assert too_slow({"session": "demo", "verdict": None}) is None


class Engine(BaseHTTPRequestHandler):
    """Chunks of three tokens each, 10 ms apart; it answers no more after ``dies_after`` requests."""

    prompts: ClassVar[list[str]] = []
    at_once = most = 0
    dies_after = 10_000

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        if self.path == "/v1/models":
            self.wfile.write(json.dumps({"data": [{"id": "coder", "max_model_len": 512}]}).encode())
        elif self.path == "/version":
            self.wfile.write(b'{"version": "0.25.1"}')
        else:
            self.wfile.write(f"vllm:num_preemptions_total 2.0\nvllm:num_requests_waiting {self.most}\n".encode())

    def do_POST(self) -> None:
        kind = type(self)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        kind.prompts.append(body["messages"][0]["content"])
        if len(kind.prompts) > kind.dies_after:
            self.send_response(500)
            self.end_headers()
            self.wfile.write(b"EngineCore encountered an issue")
            return
        kind.at_once += 1
        kind.most = max(kind.most, kind.at_once)
        self.send_response(200)
        self.end_headers()
        tokens = body["max_tokens"]
        for _ in range(tokens // 3):
            time.sleep(0.01)
            self._chunk({"choices": [{"delta": {"content": "a b c"}}]})
        self._chunk({"choices": [], "usage": {"completion_tokens": tokens, "prompt_tokens": 9}})
        kind.at_once -= 1
        self.wfile.write(b"data: [DONE]\n\n")

    def _chunk(self, chunk: object) -> None:
        self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def engine() -> Iterator[tuple[type[Engine], EngineClient]]:
    class Own(Engine):
        prompts: ClassVar[list[str]] = []

    server = ThreadingHTTPServer(("127.0.0.1", 0), Own)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield Own, EngineClient(server.server_address[1], "key")
    finally:
        server.shutdown()
        server.server_close()


QUOTE = {
    "existing": {"plan": "g2-gpu-rtx4000a1-s", "region": "us-ord", "model": "m", "hourly": 0.52},
    "engine": {"flags": {"max-num-seqs": 8}, "fit": {"decode_tps": 60.0}},
}


def test_chunks_are_not_taken_for_tokens_and_no_prompt_repeats(engine: tuple[type[Engine], EngineClient]) -> None:
    kind, client = engine
    profile = profile_for("quick", (1, 3), 30)
    run = begin(profile, "here", "demo", QUOTE, False)
    measure(client, profile, run, served_model(client, "demo", profile))
    assert [(one["concurrency"], one["requests"], one["failed"]) for one in run["levels"]] == [(1, 4, 0), (3, 6, 0)]
    assert (run["complete"], run["why_partial"], run["engine"], run["gpus"]) == (True, None, "0.25.1", 1)
    assert kind.most == 3
    # One that fits the prompts, a warm-up of as many as the streams, and what is measured.
    beginnings = {prompt.splitlines()[0] for prompt in kind.prompts}
    assert len(beginnings) == len(kind.prompts) == 1 + (1 + 4) + (3 + 6)
    # Thirty tokens in nine gaps of at least 10 ms.
    assert all(one["itl"]["p50"] >= 9 * 0.01 / 29 for one in run["levels"])
    assert run["levels"][0]["engine"]["preemptions"] == 0 and run["levels"][0]["engine"]["queue_max"] is not None
    json.dumps(run, allow_nan=False)


def test_the_cards_are_looked_at_before_the_load(engine: tuple[type[Engine], EngineClient]) -> None:
    _kind, client = engine
    profile = profile_for("quick", (1,), 8)
    run = begin(profile, "here", "demo", QUOTE, False)
    busy = "0, 97, 18200, 20475, 1900, 3105, 129.51, 130.00, 66, 0x0, 4, 4, 16, 16"
    copied = "33554432 bytes (34 MB, 32 MiB) copied, 0.016 s, 2.1 GB/s"
    measure(client, profile, run, "coder", ask=lambda argv: busy if argv[0] == "nvidia-smi" else copied)
    assert [sample["at"] < 0 for sample in run["gpu_samples"]][:3] == [True, True, False]
    assert run["disk_read"] == pytest.approx(2.097e9, rel=0.01) and run["round_trip"] > 0
    assert [reason["id"] for reason in judge(run)["reasons"] if reason["id"] == "neighbour"] == ["neighbour"]
    there = begin(profile, "vm", "demo", QUOTE, False)
    measure(client, profile, there, "coder", ask=lambda argv: "")
    assert (there["round_trip"], there["disk_read"], there["requests_before"]) == (None, None, None)


def test_an_endpoint_that_dies_leaves_what_was_measured(engine: tuple[type[Engine], EngineClient]) -> None:
    kind, client = engine
    kind.dies_after = 1 + 1 + 2
    profile = profile_for("quick", (1, 2, 4), 30)
    run = begin(profile, "here", "demo", QUOTE, False)
    measure(client, profile, run, "coder")
    assert [(one["concurrency"], one["failed"] == one["requests"]) for one in run["levels"]] == [(1, False), (2, True)]
    # Of four requests no more are sent when both streams have failed; one of them may have been about to.
    failed = run["levels"][1]["failed"]
    assert failed in (2, 3) and run["levels"][1]["errors"] == {"HTTP 500: EngineCore encountered an issue": failed}
    assert run["complete"] is False and "2 streams" in run["why_partial"]
    verdict = judge(run)
    assert verdict["severity"] == "fail" and "not complete" in verdict["summary"]


def test_an_interrupt_leaves_what_was_measured(engine: tuple[type[Engine], EngineClient]) -> None:
    _kind, client = engine
    profile = profile_for("quick", (1, 2), 30)
    run = begin(profile, "here", "demo", QUOTE, False)

    def tell(line: str) -> None:
        if line.startswith("2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(client, profile, run, "coder", tell)
    assert [one["concurrency"] for one in run["levels"]] == [1]
    assert (run["complete"], run["why_partial"]) == (False, "interrupted")


def test_prompts_that_do_not_fit_are_refused_before_the_load(engine: tuple[type[Engine], EngineClient]) -> None:
    kind, client = engine
    with pytest.raises(Failure, match=r"needs 10400 tokens of context; session 'demo' serves 512"):
        served_model(client, "demo", PROFILES["agent"])
    assert kind.prompts == []


def in_common(one: str, other: str) -> int:
    """How many words both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one.split(), other.split(), strict=False)))


def test_prompts_are_as_long_as_wanted_and_share_what_they_should() -> None:
    one, other = (load.Prompts("run", 2000, 1500, per_word=1.25).prompt(name) for name in ("a", "b"))
    assert 1190 <= in_common(one, other) <= 1210 and 1590 <= len(one.split()) <= 1630
    first, second = (load.Prompts(seed, 200).prompt("a") for seed in ("run-1", "run-2"))
    assert in_common(first, second) == 2 and load.Prompts("run-1", 200).prompt("a") == first


def test_streams_are_doubled_until_nothing_is_gained() -> None:
    profile = PROFILES["saturation"]
    done: list[tuple[int, float | None]] = []
    speeds = {1: 50.0, 2: 99.0, 4: 180.0, 8: 185.0}
    while (streams := next_level(profile, done)) is not None:
        done.append((streams, speeds[streams]))
    assert [streams for streams, _speed in done] == [1, 2, 4, 8]
    assert next_level(profile, [(256, 1000.0)]) is None
    assert next_level(profile, [(1, 50.0), (2, None)]) is None
    quick = PROFILES["quick"]
    assert [next_level(quick, [(1, None)] * done) for done in range(4)] == [1, 8, 32, None]


@pytest.mark.parametrize(
    ("name", "streams", "tokens", "field"),
    [
        ("nosuch", None, None, "profile"),
        ("quick", (), None, "concurrency"),
        ("quick", (0,), None, "concurrency"),
        ("quick", (257,), None, "concurrency"),
        ("quick", None, 7, "tokens"),
        ("quick", None, 4097, "tokens"),
        ("chat", (1,), None, "concurrency"),
        ("chat", None, 64, "tokens"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    name: str, streams: tuple[int, ...] | None, tokens: int | None, field: str
) -> None:
    with pytest.raises(Failure) as refused:
        profile_for(name, streams, tokens)
    assert refused.value.field == field


def test_the_command_and_the_module_offer_the_profiles() -> None:
    assert [name.value for name in ProfileName] == list(PROFILES)
