# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast an endpoint serves: TTFT, ITL, end to end and output tokens per second, and whether that is what it should be.

Definitions: TTFT is the time to the first chunk with output; ITL is (last - first) / (tokens - 1) with the engine's own
count of tokens, since a chunk may hold several; output tokens per second are those of all streams over the time they took.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from ..core.failure import Failure
from .client import EngineClient, EngineSilent, Stream

CONCURRENCY = (1, 4, 16)
TOKENS = 128
MOST_STREAMS = 256
LEAST_TOKENS, MOST_TOKENS = 8, 4096
# Of the expected speed of one stream, and of the session's own earlier measurement.
PASS_SHARE, WARN_SHARE, BASELINE_SHARE = 0.70, 0.50, 0.15
_CODE = '''def merge(left: list[int], right: list[int]) -> list[int]:
    """Merge two sorted lists into one."""
    merged: list[int] = []
    i = j = 0
    while i < len(left) and j < len(right):
        if left[i] <= right[j]:
            merged.append(left[i])
            i += 1
        else:
            merged.append(right[j])
            j += 1
    return merged + left[i:] + right[j:]
'''


@dataclass(frozen=True)
class Level:
    """What was measured with so many streams at once. Times are seconds; None is what no stream could tell."""

    concurrency: int
    requests: int
    failed: int
    ttft_p50: float | None
    ttft_max: float | None
    itl_p50: float | None
    e2e_p50: float | None
    output_tps: float | None
    stream_tps: float | None  # of one stream while it generates: 1 / ITL
    error: str | None = None


def check_wishes(levels: Sequence[int], tokens: int) -> None:
    """Failure(usage) for what cannot be measured."""
    if not levels or not all(1 <= level <= MOST_STREAMS for level in levels):
        raise Failure(
            "usage",
            f"concurrency {', '.join(map(str, levels)) or 'of nothing'} is not a list of numbers from 1 to {MOST_STREAMS}.",
            remedy="For example 1,4,16.",
            field="concurrency",
            value=list(levels),
        )
    if not LEAST_TOKENS <= tokens <= MOST_TOKENS:
        raise Failure(
            "usage",
            f"tokens {tokens} is not a number from {LEAST_TOKENS} to {MOST_TOKENS}.",
            remedy=f"Leave it out for {TOKENS}.",
            field="tokens",
            value=tokens,
        )


def served_model(client: EngineClient, session: str) -> str:
    """The name under which the endpoint serves; Failure(unhealthy) when it does not."""
    try:
        return str(client.served()[0]["id"])
    except EngineSilent as silent:
        raise Failure(
            "unhealthy",
            f"Session {session!r} serves nothing that could be measured.",
            cause=str(silent),
            remedy=f"See what is wrong: linode-coder validate {session}",
        ) from silent


def is_sandbox(api_url: str | None) -> bool:
    """Whether the API is one on this machine."""
    host = urlsplit(api_url or "").hostname or ""
    return host == "localhost" or host.startswith("127.")


def itl(stream: Stream) -> float | None:
    if stream.first is None or stream.last is None or not stream.tokens or stream.tokens < 2:
        return None
    gap = (stream.last - stream.first) / (stream.tokens - 1)
    return gap if gap > 0 else None


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def summarise(concurrency: int, streams: Sequence[Stream], seconds: float) -> Level:
    """One level from its streams, which took ``seconds`` together."""
    good = [stream for stream in streams if stream.error is None and stream.done and stream.tokens]
    broken = [stream for stream in streams if stream not in good]
    first = [stream.first - stream.sent for stream in good if stream.first is not None]
    gap = _median([itl(stream) for stream in good])
    tokens = sum(stream.tokens or 0 for stream in good)
    return Level(
        concurrency,
        len(streams),
        len(broken),
        _median(first),
        max(first, default=None),
        gap,
        _median([stream.ended - stream.sent for stream in good]),
        tokens / seconds if good and seconds > 0 else None,
        1 / gap if gap else None,
        next((stream.error or "the stream had no end or no usage" for stream in broken), None),
    )


def _body(model: str, unique: str, tokens: int) -> dict[str, Any]:
    # A prefix of its own keeps the prefix cache from answering; code is what is asked for in earnest.
    prompt = f"# request {unique}\n{_CODE}\n# Explain this function, then write tests for it.\n"
    return {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": tokens,
        "min_tokens": tokens,
        "ignore_eos": True,
        "temperature": 0,
    }


def _together(client: EngineClient, model: str, count: int, tokens: int, run: str) -> tuple[list[Stream], float]:
    streams: list[Stream | None] = [None] * count

    def one(position: int) -> None:
        started = time.monotonic()
        try:
            body = _body(model, f"{run}-{count}-{position}", tokens)
            streams[position] = client.stream("/v1/chat/completions", body)
        except EngineSilent as silent:
            streams[position] = Stream(sent=started, ended=time.monotonic(), error=str(silent))

    began = time.monotonic()
    threads = [threading.Thread(target=one, args=(position,)) for position in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [stream for stream in streams if stream is not None], time.monotonic() - began


def measure(client: EngineClient, model: str, levels: Sequence[int] = CONCURRENCY, tokens: int = TOKENS) -> list[Level]:
    """Warm up, then every level once; a level is measured twice and the better one counts, since the first run is low."""
    run = f"{time.time_ns():x}"
    _together(client, model, 1, min(tokens, 16), run + "w")
    found = []
    for count in levels:
        tries = [summarise(count, *_together(client, model, count, tokens, f"{run}{attempt}")) for attempt in "ab"]
        found.append(max(tries, key=lambda level: (-level.failed, level.output_tps or 0.0)))
    return found


@dataclass(frozen=True)
class Verdict:
    severity: str  # pass, warn, fail or unknown
    summary: str
    measured: float | None
    expected: float | None
    share: float | None
    baseline: float | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def _expectation(measured: float, expected: float | None) -> tuple[str, str, float | None]:
    if not expected:
        return "unknown", "what to expect of this model and plan is not known", None
    share = measured / expected
    severity = "pass" if share >= PASS_SHARE else "warn" if share >= WARN_SHARE else "fail"
    return severity, f"{share:.0%} of the expected {expected:.0f}", share


def judge(levels: Sequence[Level], expected: float | None, baseline: float | None, sandbox: bool) -> Verdict:
    """One stream's speed against what is expected of the model on the plan, and against this session's own earlier figure."""
    single = next((level for level in levels if level.concurrency == 1), None)
    measured = single.stream_tps if single else None
    broken = next((level for level in levels if level.failed), None)
    if broken:
        summary = (
            f"{broken.failed} of {broken.requests} requests failed at concurrency {broken.concurrency}: {broken.error}."
        )
        return Verdict("fail", summary, measured, expected, None, baseline)
    if measured is None:
        return Verdict(
            "unknown", "No speed could be measured: the answers were too short.", None, expected, None, baseline
        )
    if sandbox:
        summary = f"{measured:.0f} tokens/s from the sandbox's stand-in, which means nothing for a real GPU."
        return Verdict("unknown", summary, measured, expected, None, None)
    severity, against, share = _expectation(measured, expected)
    summary = f"One stream gets {measured:.1f} tokens/s: {against}."
    if baseline:
        change = measured / baseline - 1
        summary += f" That is {change:+.0%} against this session's baseline of {baseline:.1f}."
        if change < -BASELINE_SHARE and severity in ("pass", "unknown"):
            severity = "warn"
        elif severity == "unknown" and abs(change) <= BASELINE_SHARE:
            severity = "pass"
    return Verdict(severity, summary, measured, expected, share, baseline)


def too_slow(verdict: Verdict, session: str) -> Failure | None:
    if verdict.severity != "fail":
        return None
    return Failure(
        "unhealthy",
        verdict.summary,
        remedy=f"See what else the VM does: linode-coder check {session}",
        field="speed",
        value=verdict.measured,
    )
