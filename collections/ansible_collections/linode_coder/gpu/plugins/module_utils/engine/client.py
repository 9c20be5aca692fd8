# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's HTTP interface, asked with nothing but the standard library: on the VM itself, or through the tunnel."""

from __future__ import annotations

import copy
import http.client
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

# Bytes; no answer of an engine is longer.
ANSWER_LIMIT = 16_000_000


class EngineSilent(Exception):
    """No answer, or one that is not of this protocol; the text says to what and why, ``reason`` only why."""

    def __init__(self, asked: str, error: Exception | str) -> None:
        self.reason = str(error) or type(error).__name__
        super().__init__(f"{asked}: {self.reason}")


# What a client of HTTP raises when something that is no engine has its port, and says anything.
_SILENT = (OSError, ValueError, http.client.HTTPException)


@dataclass(frozen=True)
class Answer:
    status: int
    text: str

    def json(self) -> Any:
        """What the text says as JSON; the text itself where it is none."""
        try:
            return json.loads(self.text)
        except (ValueError, RecursionError):
            return self.text


def models_of(body: Any) -> list[dict[str, Any]]:
    """The models that an answer to /v1/models lists, as the engine describes them; empty when there are none."""
    cards = body.get("data") if isinstance(body, dict) else None
    return [card for card in cards if isinstance(card, dict) and card.get("id")] if isinstance(cards, list) else []


def names_of(cards: Sequence[dict[str, Any]]) -> list[str]:
    """The names that clients may ask by."""
    return [str(card["id"]) for card in cards]


def is_served(cards: Sequence[dict[str, Any]], model: str) -> bool:
    """Whether ``model`` is what the engine serves. A name proves it only where the engine says a path instead of a repository, or
    nothing: aliases may be called like other models.
    """
    roots = [str(card.get("root") or "") for card in cards]
    nameless = [name for name, root in zip(names_of(cards), roots, strict=True) if root[:1] in ("", "/")]
    return model in roots or model in nameless


@dataclass
class Stream:
    """A streamed answer. Times are monotonic seconds; ``tokens`` is what the engine counted, never chunks."""

    sent: float
    first: float | None = None  # the first chunk that carries output
    last: float | None = None  # the last one
    ended: float = 0.0
    text: str = ""  # all of it, reasoning as well
    tokens: int | None = None
    prompt_tokens: int | None = None
    done: bool = False
    error: str | None = None
    kinds: set[str] = field(default_factory=set)
    content: str = ""  # of the text what is the answer, without reasoning
    status: int | None = None  # of HTTP


def _carried(choice: dict[str, Any]) -> tuple[str, str]:
    """Which kind of output a chunk carries, and its text. The first chunk of a chat carries only the role."""
    delta = choice.get("delta") or choice
    if not isinstance(delta, dict):
        return "", ""
    for kind in ("content", "text", "reasoning_content", "reasoning"):
        if delta.get(kind):
            return kind, str(delta[kind])
    return ("tool_calls", "") if delta.get("tool_calls") else ("", "")


def _count(value: Any) -> int | None:
    """A number of tokens that a stream can have."""
    known = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1_000_000_000
    return value if known else None


def _whole(answer: http.client.HTTPResponse, deadline: float) -> bytes:
    """The body of an answer; an OSError when it does not end in its time or in a size that anything of ours has. Of a refusal
    what came of it is enough.
    """
    parts, size = [], 0
    try:
        while part := answer.read1(65536):
            parts.append(part)
            size += len(part)
            if time.monotonic() > deadline or size > ANSWER_LIMIT:
                raise OSError("the answer does not end")
        if answer.length:
            raise OSError("the answer ends early")
    except (OSError, http.client.HTTPException):
        if answer.status == 200:
            raise
    return b"".join(parts)


class EngineClient:
    """Asks the engine at a local port. ``timeout`` is in seconds, for a whole answer, or for each part of a stream."""

    def __init__(self, port: int, key: str | None, timeout: float = 120) -> None:
        self.port, self.key, self.timeout = port, key, timeout

    def connection(self, timeout: float) -> http.client.HTTPConnection:
        """One for one question; where the port alone does not say whose it is, another kind of client makes sure."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def with_key(self, key: str | None) -> EngineClient:
        """A client that is let in with ``key``, or asks without one."""
        other = copy.copy(self)
        other.key = key
        return other

    def _send(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: Any
    ) -> http.client.HTTPResponse:
        headers = {"Content-Type": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        return connection.getresponse()

    def fetch(self, method: str, path: str, body: Any = None, timeout: float | None = None) -> Answer:
        """Status and text of the answer; EngineSilent where it does not come, or does not end, in its time and its size."""
        limit = self.timeout if timeout is None else timeout
        deadline = time.monotonic() + limit
        try:
            connection = self.connection(limit)
            try:
                answer = self._send(connection, method, path, body)
                return Answer(answer.status, _whole(answer, deadline).decode("utf-8", "replace"))
            finally:
                connection.close()
        except _SILENT as error:
            raise EngineSilent(f"{method} {path}", error) from error

    def ask(self, method: str, path: str, body: Any = None, timeout: float | None = None) -> tuple[int, Any]:
        """Status and JSON, or text where it is none."""
        answer = self.fetch(method, path, body, timeout)
        return answer.status, answer.json()

    def healthy(self) -> bool:
        """Whether the engine says so; False as well when it does not answer."""
        try:
            return self.fetch("GET", "/health").status == 200
        except EngineSilent:
            return False

    def served(self) -> list[dict[str, Any]]:
        """What the engine lists, as it describes it: one model by each of its names, its own first. EngineSilent for none."""
        status, body = self.ask("GET", "/v1/models")
        models = models_of(body) if status == 200 else []
        if not models:
            raise EngineSilent("GET /v1/models", f"HTTP {status}")
        return models

    def metrics(self) -> str:
        """The page of its counters; empty when there is none to be had."""
        try:
            answer = self.fetch("GET", "/metrics")
        except EngineSilent:
            return ""
        return answer.text if answer.status == 200 else ""

    def stream(
        self,
        path: str,
        body: dict[str, Any],
        show: Callable[[str, str], None] | None = None,
        connection: http.client.HTTPConnection | None = None,
    ) -> Stream:
        """Send with streaming and usage, and read to the end. ``show`` gets the kind and the text of each part as it comes.

        A ``connection`` that is given is there for the next request as well, if the engine keeps it.
        """
        found = Stream(sent=time.monotonic())
        wanted = {**body, "stream": True, "stream_options": {"include_usage": True}}
        used = self.connection(self.timeout) if connection is None else connection
        try:
            answer = self._send(used, "POST", path, wanted)
        except _SILENT as error:
            used.close()
            raise EngineSilent(f"POST {path}", error) from error
        found.status = answer.status
        try:
            if answer.status != 200:
                found.error = f"HTTP {answer.status}: {answer.read().decode(errors='replace')[:300]}"
            else:
                for line in answer:
                    self._line(found, line.strip(), time.monotonic(), show)
                    if found.done:
                        break
                if connection is not None and found.done:
                    answer.read()
        except _SILENT as error:
            found.error = f"the stream broke: {str(error) or type(error).__name__}"
        finally:
            if connection is None or not found.done or found.error:
                used.close()
        found.ended = time.monotonic()
        return found

    @staticmethod
    def _line(found: Stream, line: bytes, at: float, show: Callable[[str, str], None] | None) -> None:
        """``at`` is when it was read: what is made of it afterwards takes its own time."""
        if not line.startswith(b"data:"):
            return
        data = line[5:].strip()
        if data == b"[DONE]":
            found.done = True
            return
        try:
            chunk = json.loads(data)
        except (ValueError, RecursionError):
            chunk = None
        if not isinstance(chunk, dict):
            found.error = f"a chunk is not JSON: {data[:80]!r}"
            return
        # An error inside the stream comes with status 200, and [DONE] after it.
        if chunk.get("error"):
            found.error = str(chunk["error"].get("message") if isinstance(chunk["error"], dict) else chunk["error"])
        usage, choices = chunk.get("usage"), chunk.get("choices")
        if usage and isinstance(usage, dict):
            found.tokens = _count(usage.get("completion_tokens"))
            found.prompt_tokens = _count(usage.get("prompt_tokens"))
        for choice in choices if isinstance(choices, list) else ():
            kind, text = _carried(choice) if isinstance(choice, dict) else ("", "")
            if kind:
                found.last = at
                found.first = found.first or at
                found.kinds.add(kind)
                found.text += text
                found.content += text if kind in ("content", "text") else ""
                if show is not None and text:
                    show(kind, text)
