# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of the served endpoint with nothing but the standard library: on the VM itself, or through the tunnel."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..core.failure import Failure


def key_in(path: str) -> str:
    """The API key in the engine's secrets file."""
    try:
        with open(path, encoding="utf-8") as file:
            pairs = dict(line.strip().split("=", 1) for line in file if "=" in line)
        return pairs["VLLM_API_KEY"]
    except (OSError, KeyError) as error:
        raise Failure(
            "unhealthy",
            f"The VM has no API key in {path}.",
            cause=str(error),
            remedy="Finish the session first: linode-coder up NAME",
        ) from error


def api_key(project_dir: str) -> str | None:
    """The API key of the engine in this directory, as its secrets file has it; None without one."""
    try:
        return key_in(f"{project_dir}/secrets.env")
    except Failure:
        return None


class EngineSilent(Exception):
    """No answer, or one that is not of this protocol; the text says which."""


@dataclass
class Stream:
    """A streamed answer. Times are monotonic seconds; ``tokens`` is what the engine counted, never chunks."""

    sent: float
    first: float | None = None  # the first chunk that carries output
    last: float | None = None  # the last one
    ended: float = 0.0
    text: str = ""
    tokens: int | None = None
    prompt_tokens: int | None = None
    done: bool = False
    error: str | None = None
    kinds: set[str] = field(default_factory=set)


def _carried(choice: dict[str, Any]) -> tuple[str, str]:
    """Which kind of output a chunk carries, and its text. The first chunk of a chat carries only the role."""
    delta = choice.get("delta") or choice
    for kind in ("content", "text", "reasoning_content", "reasoning"):
        if delta.get(kind):
            return kind, str(delta[kind])
    return ("tool_calls", "") if delta.get("tool_calls") else ("", "")


class EngineClient:
    """``connect`` makes a connection where the port alone does not say whose it is."""

    def __init__(
        self,
        port: int,
        key: str | None,
        host: str = "127.0.0.1",
        timeout: float = 120,
        connect: Callable[[], http.client.HTTPConnection] | None = None,
    ) -> None:
        self.key = key
        self._connect = connect or (lambda: http.client.HTTPConnection(host, port, timeout=timeout))

    def _send(self, method: str, path: str, body: Any, key: str | None) -> tuple[Any, Any]:
        connection = self._connect()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body)
        try:
            connection.request(method, path, data, headers)
            return connection, connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise EngineSilent(f"{method} {path}: {error or type(error).__name__}") from error

    def ask(self, method: str, path: str, body: Any = None, **key: str | None) -> tuple[int, Any]:
        """Status and JSON, or text where it is none. ``key`` given as an argument replaces the client's own."""
        connection, answer = self._send(method, path, body, key.get("key", self.key))
        try:
            raw = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise EngineSilent(f"{method} {path}: {error or type(error).__name__}") from error
        finally:
            connection.close()
        try:
            return answer.status, json.loads(raw)
        except ValueError:
            return answer.status, raw.decode(errors="replace")

    def stream(self, path: str, body: dict[str, Any]) -> Stream:
        """Send with streaming and usage, and read to the end."""
        found = Stream(sent=time.monotonic())
        wanted = {**body, "stream": True, "stream_options": {"include_usage": True}}
        connection, answer = self._send("POST", path, wanted, self.key)
        try:
            if answer.status != 200:
                found.error = f"HTTP {answer.status}: {answer.read().decode(errors='replace')[:300]}"
            else:
                for line in answer:
                    self._line(found, line.strip())
                    if found.done:
                        break
        except (OSError, http.client.HTTPException) as error:
            found.error = f"the stream broke: {error or type(error).__name__}"
        finally:
            connection.close()
        found.ended = time.monotonic()
        return found

    @staticmethod
    def _line(found: Stream, line: bytes) -> None:
        if not line.startswith(b"data:"):
            return
        data = line[5:].strip()
        if data == b"[DONE]":
            found.done = True
            return
        try:
            chunk = json.loads(data)
        except ValueError:
            found.error = f"a chunk is not JSON: {data[:80]!r}"
            return
        # An error inside the stream comes with status 200, and [DONE] after it.
        if chunk.get("error"):
            found.error = str(chunk["error"].get("message") if isinstance(chunk["error"], dict) else chunk["error"])
        if chunk.get("usage"):
            found.tokens = chunk["usage"].get("completion_tokens")
            found.prompt_tokens = chunk["usage"].get("prompt_tokens")
        for choice in chunk.get("choices") or []:
            kind, text = _carried(choice)
            if kind:
                found.last = time.monotonic()
                found.first = found.first or found.last
                found.kinds.add(kind)
                found.text += text
