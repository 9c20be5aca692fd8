# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our own load generator: streams that each send their next request when the last one has ended, from threads of this process.

A time is taken when a line has been read from the socket, before anything is made of it. What is sent is made beforehand.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any

from ..engine.client import EngineClient, EngineSilent, Stream
from .figures import is_good

NAME, VERSION = "linode-coder", "1"
PATH = "/v1/chat/completions"
# Between the beginnings of two streams: all at the same moment is more than one process can send.
APART_S = 0.001
# Words of code, most of which are one token everywhere.
_WORDS = (
    *("def", "return", "class", "import", "for", "while", "with", "if", "else", "try", "raise", "yield", "not", "and"),
    *("list", "dict", "set", "str", "int", "value", "key", "name", "path", "file", "line", "text", "index", "count"),
    *("start", "end", "left", "right", "first", "last", "open", "close", "read", "write", "send", "get", "put", "add"),
)
_TASK = "\n# Explain this, then write tests for it.\n"


@dataclass(frozen=True)
class Prompts:
    """Makes prompts of about so many tokens: ``per_word`` is how many the model needs for one of our words.

    The same ``seed`` makes the same prompts; two seeds share nothing but what is meant to be shared.
    """

    seed: str
    input_tokens: int
    shared_tokens: int = 0
    per_word: float = 1.0

    def _text(self, seed: str, tokens: int) -> str:
        # Load for a measurement, no secret.
        words = random.Random(seed)  # noqa: S311
        return " ".join(words.choice(_WORDS) for _word in range(max(1, round(tokens / self.per_word))))

    def prompt(self, unique: str) -> str:
        """What differs stands before what does not, unless a prefix is to be shared: a cache knows prefixes only."""
        own = f"# request {self.seed} {unique}\n" + self._text(
            f"{self.seed} {unique}", self.input_tokens - self.shared_tokens
        )
        shared = self._text("shared", self.shared_tokens) + "\n" if self.shared_tokens else ""
        return shared + own + _TASK


def body(model: str, prompt: str, tokens: int) -> dict[str, Any]:
    """A request that generates exactly so many tokens."""
    return {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": tokens,
        "min_tokens": tokens,
        "ignore_eos": True,
        "temperature": 0,
    }


@dataclass(frozen=True)
class Load:
    """``streams`` in the order in which they were sent off, ``seconds`` from the first request to the end of the last, and how
    late each request was sent in ``lags``."""

    streams: list[Stream]
    seconds: float
    lags: list[float]


def ask(client: EngineClient, wanted: dict[str, Any], connection: HTTPConnection | None = None) -> Stream:
    """One request; that it was not answered is an error of the stream."""
    sent = time.monotonic()
    try:
        return client.stream(PATH, wanted, connection=connection)
    except EngineSilent as silent:
        return Stream(sent=sent, ended=time.monotonic(), error=str(silent))


def _open(connection: HTTPConnection) -> None:
    """Before it is needed, as clients do that keep theirs: a request then takes the engine's time and that of the way."""
    if connection.sock is None:
        # The request that finds it closed says why.
        with contextlib.suppress(OSError, HTTPException):
            connection.connect()


class _Streams:
    """Threads that share a list of requests."""

    def __init__(self, client: EngineClient, wanted: Sequence[dict[str, Any]], count: int) -> None:
        self.client, self.wanted, self.count = client, wanted, count
        self.next, self.good, self.bad = 0, 0, 0
        self.began = 0.0
        self.stop = False
        self.lock = threading.Lock()
        self.done: list[Stream] = []
        self.lags: list[float] = []
        self.ready = threading.Barrier(count, action=self._begin)

    def _begin(self) -> None:
        self.began = time.monotonic()

    def _take(self) -> dict[str, Any] | None:
        with self.lock:
            # Nothing but failures: the rest would only be more of them.
            if self.stop or self.next >= len(self.wanted) or (not self.good and self.bad >= self.count):
                return None
            self.next += 1
            return self.wanted[self.next - 1]

    def work(self, position: int) -> None:
        connection = self.client.connection(self.client.timeout)
        _open(connection)
        self.ready.wait()
        due = self.began + position * APART_S
        time.sleep(max(0.0, due - time.monotonic()))
        while (wanted := self._take()) is not None:
            stream = ask(self.client, wanted, connection)
            with self.lock:
                self.done.append(stream)
                self.lags.append(max(0.0, stream.sent - due))
                self.good += is_good(stream)
                self.bad += not is_good(stream)
            _open(connection)
            due = time.monotonic()
        connection.close()


def drive(client: EngineClient, wanted: Sequence[dict[str, Any]], count: int) -> Load:
    """Send all requests, ``count`` of them at a time. After a KeyboardInterrupt no new ones are sent."""
    streams = _Streams(client, wanted, count)
    # Daemons, so that one which waits for its answer does not hold up a program that was told to end.
    threads = [threading.Thread(target=streams.work, args=(each,), daemon=True) for each in range(count)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        streams.stop = True
    ended = max((stream.ended for stream in streams.done), default=streams.began)
    return Load(streams.done, ended - streams.began, streams.lags)
