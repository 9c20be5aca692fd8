"""The stand-in for vLLM against the real one: told the same they answer, count, refuse and end the same.

Where they differ, the stand-in is wrong.
"""

from __future__ import annotations

import http.client
import json
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import psutil
import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.client import EngineClient
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.diagnosis import diagnose
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.traces import (
    parse_traces,
    traces_environment,
    traces_flags,
)

from linode_coder.endpoint.engine import Abilities, abilities
from linode_coder.sandbox import vllm_env
from linode_coder.sandbox.guest.engine import args, flag_names
from linode_coder.sandbox.guest.start import command
from tests.agents import AGENTS, CHATS, MESSAGES, RESPONSES, TEXTS, UNTAKEN, sent, status_of
from tests.engine.conftest import PATIENCE
from tests.streams import CUT_CALLS, LONG_STREAMS, STREAMS, check_stream, limited, told

ROOT = Path(__file__).resolve().parents[2]
SERVED = [
    *("--served-model-name", "tiny", "gpt-4o", "--enable-auto-tool-choice", "--tool-call-parser", "hermes"),
    "--enable-prompt-tokens-details",
]
# A card that leaves half a GiB for the cache, as the real one gets it below.
CARD = {"index": 0, "name": "NVIDIA RTX 4000 Ada Generation", "memory_mib": 2800, "cc": "8.9"}
CPU_BUILD = ["--dtype", "float32", "--enforce-eager", "--gpu-memory-utilization", "0.1"]
KEY = {"Authorization": "Bearer key"}


class Starts:
    """Starts the real one: what it imports, which takes longer than all that it does, is imported once."""

    def __init__(self, vllm: Path, home: Path) -> None:
        self.models = vllm / "models"
        self.variables = {
            "PATH": os.defpath,
            "HOME": str(home),
            "VLLM_API_KEY": "key",
            "HF_HUB_OFFLINE": "1",
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "OMP_NUM_THREADS": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "NO_COLOR": "1",
            **vllm_env.ON_CPU,
            # What it finds out about an architecture is kept for the next start.
            "VLLM_CACHE_ROOT": str(vllm / "cache"),
        }
        program = str(Path(__file__).with_name("vllm_starts.py"))
        self.server = subprocess.Popen(
            [str(vllm / "env/bin/python"), "-P", program, str(ROOT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self.variables,
            text=True,
        )
        assert self.answer() == "ready"

    def answer(self) -> Any:
        assert self.server.stdout is not None
        # Imports may say something of their own.
        while not (line := self.server.stdout.readline()).startswith(("null", '"ready"', *"-0123456789{")):
            assert line, "the process that starts the real engine has ended"
        return json.loads(line)

    def ask(self, **what: Any) -> Any:
        assert self.server.stdin is not None
        self.server.stdin.write(json.dumps(what) + "\n")
        self.server.stdin.flush()
        return self.answer()

    def end(self) -> None:
        assert self.server.stdin is not None
        self.server.stdin.close()
        self.server.wait(PATIENCE)


class Started:
    """One start of the real engine, asked as a `Popen` is."""

    def __init__(
        self, starts: Starts, directory: Path, log: Path, arguments: list[str], more: dict[str, str] | None = None
    ) -> None:
        self.starts, self.code = starts, None
        environment = {**starts.variables, **(more or {}), "HOME": str(directory)}
        self.pid = starts.ask(directory=str(directory), log=str(log), arguments=arguments, environment=environment)

    def poll(self) -> int | None:
        if self.code is None:
            self.code = self.starts.ask(ended=self.pid)
        return self.code

    def wait(self, timeout: float = PATIENCE) -> int:
        until = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired("vllm", timeout)
            time.sleep(0.1)
        return code


class Engine:
    """One engine of either kind on this machine, told `arguments`: the real one of `starts`, with `more` in its environment, or the
    stand-in."""

    def __init__(
        self,
        tmp: Path,
        starts: Starts | None,
        *arguments: str,
        port: int | None = None,
        more: dict[str, str] | None = None,
    ) -> None:
        if port is None:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
        self.port = port
        where = ["--host", "127.0.0.1", "--port", str(port)]
        self.log_path = tmp / "log"
        self.log_path.touch()
        if starts is not None:
            self.process: Started | subprocess.Popen[bytes] = Started(
                starts, tmp, self.log_path, [*arguments, *where, *CPU_BUILD], more
            )
            return
        gpus = tmp / "gpus.json"
        gpus.write_text(json.dumps({"gpus": [CARD]}))
        (tmp / "run").mkdir()
        variables = {
            "PATH": os.defpath,
            "HOME": str(tmp),
            "VLLM_API_KEY": "key",
            "SANDBOX_GPUS": str(gpus),
            "SANDBOX_RUN": str(tmp / "run"),
            "SANDBOX_ENGINE_SECONDS": "0.1",
        }
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [*command("engine.main"), *arguments, *where],
                stdout=log,
                stderr=log,
                env=variables,
                cwd=tmp,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def wait(self) -> None:
        until = time.monotonic() + PATIENCE
        while "Application startup complete" not in self.log:
            assert self.process.poll() is None, self.log[-4000:]
            assert time.monotonic() < until, self.log[-4000:]
            time.sleep(0.1)

    def end(self) -> None:
        # With the helpers that an engine has started, which outlive one that is killed.
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def ask(self, method: str, path: str, body: Any, headers: dict[str, str]) -> tuple[int, str, str]:
        """Status, kind of content and content."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body)
        try:
            connection.request(method, path, data, {"Content-Type": "application/json", **headers})
            answer = connection.getresponse()
            return answer.status, answer.getheader("Content-Type") or "", answer.read().decode()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def starts(tmp_path_factory: pytest.TempPathFactory, vllm: Path) -> Iterator[Starts]:
    starts = Starts(vllm, tmp_path_factory.mktemp("starts"))
    yield starts
    starts.end()


class Collector(BaseHTTPRequestHandler):
    """Takes traces as a collector does that speaks OTLP over HTTP."""

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
        cast("queue.SimpleQueue[tuple[str, bytes]]", vars(self.server)["taken"]).put((self.path, body))


@pytest.fixture(scope="module")
def collector() -> Iterator[tuple[str, queue.SimpleQueue[tuple[str, bytes]]]]:
    """Its address, and what it was sent."""
    taken: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        vars(server)["taken"] = taken
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", taken
        server.shutdown()


@pytest.fixture(scope="module")
def engines(
    tmp_path_factory: pytest.TempPathFactory,
    starts: Starts,
    collector: tuple[str, queue.SimpleQueue[tuple[str, bytes]]],
) -> Iterator[tuple[Engine, Engine]]:
    """The real one and the stand-in, both serving and told to send traces, which only the real one has."""
    address = parse_traces(collector[0]) or ""
    flags = [word for name, value in traces_flags(address).items() for word in (f"--{name}", value)]
    arguments = ["--model", str(starts.models / "tiny-coder-1m"), *SERVED, *flags]
    more = {**traces_environment(address), "OTEL_BSP_SCHEDULE_DELAY": "100"}
    both = [Engine(tmp_path_factory.mktemp("like"), kind, *arguments, more=more) for kind in (starts, None)]
    try:
        for engine in both:
            engine.wait()
        yield both[0], both[1]
    finally:
        for engine in both:
            engine.end()


def test_the_real_one_sends_traces_to_the_collector_that_is_named(
    engines: tuple[Engine, Engine], collector: tuple[str, queue.SimpleQueue[tuple[str, bytes]]]
) -> None:
    assert engines[0].ask("POST", TEXTS, {**TEXT, "model": "tiny"}, KEY)[0] == 200
    seen = b""
    while b"llm_request" not in seen:
        path, body = collector[1].get(timeout=PATIENCE)
        assert path == "/v1/traces"
        seen += body
    assert b"linode-coder" in seen and b"gen_ai.usage.completion_tokens" in seen
    # What was asked and answered is in none of them.
    assert b"HELLO" not in seen and b'"prompt"' not in seen


# What they hold are words of the protocol, and as good as names of fields.
WORDS = ("type", "object", "role", "status", "finish_reason", "stop_reason", "reason")


def shape(value: Any, name: str = "") -> Any:
    """The document with kinds in place of values; lists have the kinds of their elements, each once and in order."""
    if isinstance(value, dict):
        return {key: shape(part, key) for key, part in sorted(value.items())}
    if isinstance(value, list):
        return collapsed([shape(part) for part in value])
    if name in WORDS and isinstance(value, str):
        return f"{name} {value}"
    return "null" if value is None else type(value).__name__


def collapsed(parts: list[Any]) -> list[Any]:
    return [part for index, part in enumerate(parts) if index == 0 or part != parts[index - 1]]


def events(text: str) -> list[Any]:
    """A stream's kinds of events in order; how many there are of a kind in a row is a matter of speed."""
    return collapsed([(name, data if data == "[DONE]" else shape(data)) for name, data in told(text)])


HELLO = [{"role": "user", "content": "hi"}]
LONG = "x" * 20000
CHAT = {"messages": HELLO, "max_tokens": 16, "ignore_eos": True, "temperature": 0}
TEXT = {"prompt": "hi", "max_tokens": 16, "ignore_eos": True, "temperature": 0}
MESSAGE = {"model": "tiny", "messages": HELLO, "max_tokens": 16, "temperature": 0}
RESPONSE = {"input": "hi", "max_output_tokens": 5, "temperature": 0}
WITH_USAGE = {"stream": True, "stream_options": {"include_usage": True}}
TOOL = {"type": "function", "function": {"name": "set_mode", "parameters": {"type": "object", "properties": {}}}}
# Random weights call a tool when the grammar makes them and the tokens { } </tool_call> <|im_end|> are made likely.
CALL = {
    "messages": HELLO,
    "max_tokens": 60,
    "temperature": 0,
    "tools": [TOOL],
    "logit_bias": {"90": 50, "92": 100, "260": 100, "258": 60},
}
NAMED = {"tool_choice": {"type": "function", "function": {"name": "set_mode"}}}
# The token { and no other.
BRACES = {**CHAT, "logit_bias": {"90": 100}}
FORM = {
    "type": "json_schema",
    "json_schema": {"name": "x", "schema": {"type": "object", "additionalProperties": False}},
}
FLAT = {"type": "function", "name": "set_mode", "parameters": {"type": "object", "properties": {}}}
SPACE = {
    "type": "namespace",
    "name": "n",
    "description": "d",
    "tools": [{**FLAT, "name": "x", "description": "d", "strict": False}],
}
CALLED = {
    "input": "hi",
    "max_output_tokens": 60,
    "temperature": 0,
    "tools": [FLAT, SPACE, {"type": "custom", "name": "c"}, {"type": "local_shell"}, {"type": "web_search"}],
    "tool_choice": {"type": "function", "name": "set_mode"},
    "logit_bias": CALL["logit_bias"],
}
ANSWERS: dict[str, tuple[str, str, Any]] = {
    "models": ("GET", "/v1/models", None),
    "version": ("GET", "/version", None),
    "health": ("GET", "/health", None),
    "ping": ("GET", "/ping", None),
    "load": ("GET", "/load", None),
    "chat": ("POST", "/v1/chat/completions", CHAT),
    "chat stream": ("POST", "/v1/chat/completions", {**CHAT, "stream": True}),
    "chat stream with usage": ("POST", "/v1/chat/completions", {**CHAT, **WITH_USAGE}),
    "call of a named tool": ("POST", "/v1/chat/completions", {**CALL, **NAMED}),
    "call of any tool": ("POST", "/v1/chat/completions", {**CALL, "tool_choice": "required"}),
    "call in a stream": ("POST", "/v1/chat/completions", {**CALL, **NAMED, "stream": True}),
    "tools not to be used": ("POST", "/v1/chat/completions", {**CHAT, "tools": [TOOL], "tool_choice": "none"}),
    "completion": ("POST", "/v1/completions", TEXT),
    "completion stream": ("POST", "/v1/completions", {**TEXT, "stream": True}),
    "completion stream with usage": ("POST", "/v1/completions", {**TEXT, **WITH_USAGE}),
    "message": ("POST", "/v1/messages", MESSAGE),
    "message stream": ("POST", "/v1/messages", {**MESSAGE, "stream": True}),
    "count of tokens": ("POST", "/v1/messages/count_tokens", {"model": "tiny", "messages": HELLO}),
    "response": ("POST", "/v1/responses", RESPONSE),
    "response stream": ("POST", "/v1/responses", {**RESPONSE, "stream": True}),
    "chat, two answers": ("POST", "/v1/chat/completions", {**CHAT, "n": 2, "temperature": 1}),
    "chat, two answers in a stream": (
        "POST",
        "/v1/chat/completions",
        {**BRACES, **WITH_USAGE, "n": 2, "temperature": 1},
    ),
    "chat with probabilities": ("POST", "/v1/chat/completions", {**BRACES, "logprobs": True, "top_logprobs": 1}),
    "chat with probabilities in a stream": (
        "POST",
        "/v1/chat/completions",
        {**BRACES, "logprobs": True, "top_logprobs": 1, "stream": True},
    ),
    "chat of a schema": ("POST", "/v1/chat/completions", {**CALL, "tools": None, "response_format": FORM}),
    "completions": ("POST", "/v1/completions", {**TEXT, "prompt": ["a", "b"]}),
    "completions in a stream": ("POST", "/v1/completions", {**TEXT, **WITH_USAGE, "prompt": ["a", "b"]}),
    "completion of tokens": ("POST", "/v1/completions", {**TEXT, "prompt": [71, 72]}),
    "completions of tokens": ("POST", "/v1/completions", {**TEXT, "prompt": [[71, 72], [73]]}),
    "response with a call": ("POST", "/v1/responses", CALLED),
    "response with a call in a stream": ("POST", "/v1/responses", {**CALLED, "stream": True}),
    "tokens of a text": ("POST", "/tokenize", {"prompt": "hi there"}),
    "tokens of a chat": ("POST", "/tokenize", {"messages": HELLO}),
    "text of tokens": ("POST", "/detokenize", {"tokens": [71, 72]}),
    "invocation": ("POST", "/invocations", CHAT),
}


SEVERAL = ("chat, two answers in a stream", "completions in a stream")


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_have_the_same_shape(engines: tuple[Engine, Engine], name: str) -> None:
    real, standin = (engine.ask(*ANSWERS[name], KEY) for engine in engines)
    assert real[:2] == standin[:2]
    if name in SEVERAL:
        # Which of the answers goes on next is a matter of speed too.
        kinds = [sorted({json.dumps(event) for event in events(text)}) for _status, _kind, text in (standin, real)]
        assert kinds[0] == kinds[1]
    elif real[1].startswith("text/event-stream"):
        assert events(standin[2]) == events(real[2])
    else:
        assert shape(json.loads(standin[2] or "{}")) == shape(json.loads(real[2] or "{}"))
    if real[1].startswith("text/event-stream"):
        for _status, _kind, text in (real, standin):
            check_stream(ANSWERS[name][1], text)


@pytest.mark.parametrize("name", STREAMS)
def test_streams_have_the_same_events(engines: tuple[Engine, Engine], name: str) -> None:
    path, body = STREAMS[name]
    real, standin = (engine.ask("POST", path, {"model": "tiny", **body}, KEY) for engine in engines)
    assert real[:2] == standin[:2] == (200, "text/event-stream; charset=utf-8")
    for _status, _kind, text in (real, standin):
        check_stream(path, text)
    assert events(standin[2]) == events(real[2])


# Tokens with which the call has begun, and its arguments have not come to their end: those of the tokenizer, and the stand-in's.
AT_ITS_BEGINNING, IN_ITS_ARGUMENTS = (4, 4), (60, 11)


@pytest.mark.parametrize("tokens", [AT_ITS_BEGINNING, IN_ITS_ARGUMENTS])
@pytest.mark.parametrize("name", CUT_CALLS)
def test_a_call_that_its_limit_ends_is_streamed_the_same_way(
    engines: tuple[Engine, Engine], name: str, tokens: tuple[int, int]
) -> None:
    path, body = CUT_CALLS[name]
    real, standin = (
        engine.ask("POST", path, {"model": "tiny", **limited(path, body, limit)}, KEY)
        for engine, limit in zip(engines, tokens, strict=True)
    )
    assert real[:2] == standin[:2] == (200, "text/event-stream; charset=utf-8")
    for _status, _kind, text in (real, standin):
        check_stream(path, text)
    assert events(standin[2]) == events(real[2])
    begun = any(word in real[2] for word in ('"tool_calls":[', '"tool_use"', "function_call_arguments.delta"))
    assert begun == (tokens == IN_ITS_ARGUMENTS)


def test_a_call_is_told_the_same_way(engines: tuple[Engine, Engine]) -> None:
    for choice in (NAMED, {"tool_choice": "required"}):
        told = []
        for engine in engines:
            (given,) = json.loads(engine.ask("POST", "/v1/chat/completions", {**CALL, **choice}, KEY)[2])["choices"]
            (call,) = given["message"]["tool_calls"]
            told.append((given["message"]["content"], given["finish_reason"], call["type"], call["function"]))
        assert told[0] == told[1]
        assert told[0][3] == {"name": "set_mode", "arguments": "{}"}


ERRORS: dict[str, tuple[str, str, Any]] = {
    "unknown path": ("GET", "/nowhere", None),
    "unknown guarded path": ("GET", "/v1/nowhere", None),
    "wrong method": ("GET", CHATS, None),
    "wrong method for models": ("POST", "/v1/models", {}),
    "no embeddings": ("POST", "/v1/embeddings", {"input": "x"}),
    "no body": ("POST", CHATS, b""),
    "no JSON": ("POST", CHATS, b"{bad"),
    "no object": ("POST", CHATS, b"[1]"),
    "chat: unknown model": ("POST", CHATS, {**CHAT, "model": "other"}),
    "completion: unknown model": ("POST", TEXTS, {**TEXT, "model": "other"}),
    "message: unknown model": ("POST", MESSAGES, {**MESSAGE, "model": "other"}),
    "response: unknown model": ("POST", RESPONSES, {**RESPONSE, "model": "other"}),
    "count: unknown model": ("POST", "/v1/messages/count_tokens", {"model": "other", "messages": HELLO}),
    "tokenize: unknown model": ("POST", "/tokenize", {"model": "other", "prompt": "x"}),
    "chat: nothing in it": ("POST", CHATS, {}),
    "message: nothing in it": ("POST", MESSAGES, {}),
    "message: no limit": ("POST", MESSAGES, {"model": "tiny", "messages": HELLO}),
    "count: no model": ("POST", "/v1/messages/count_tokens", {"messages": HELLO}),
    "completion: nothing in it": ("POST", TEXTS, {}),
    "tokenize: nothing in it": ("POST", "/tokenize", {}),
    "detokenize: nothing in it": ("POST", "/detokenize", {}),
    "chat: no messages": ("POST", CHATS, {"messages": []}),
    "message: no messages": ("POST", MESSAGES, {**MESSAGE, "messages": []}),
    "chat: messages are text": ("POST", CHATS, {"messages": "x"}),
    "chat: a message is text": ("POST", CHATS, {"messages": ["x"]}),
    "completion: prompt is a number": ("POST", TEXTS, {"prompt": 5}),
    "completion: no prompt": ("POST", TEXTS, {"prompt": []}),
    "response: input is a number": ("POST", RESPONSES, {"input": 5}),
    "chat: limit of nothing": ("POST", CHATS, {**CHAT, "max_tokens": 0}),
    "chat: new limit of nothing": ("POST", CHATS, {"messages": HELLO, "max_completion_tokens": 0}),
    "message: limit of nothing": ("POST", MESSAGES, {**MESSAGE, "max_tokens": 0}),
    "response: limit of nothing": ("POST", RESPONSES, {**RESPONSE, "max_output_tokens": 0}),
    "chat: limit is text": ("POST", CHATS, {**CHAT, "max_tokens": "x"}),
    "message: limit is text": ("POST", MESSAGES, {**MESSAGE, "max_tokens": "x"}),
    "chat: limit is a list": ("POST", CHATS, {**CHAT, "max_tokens": [1]}),
    "chat: limit is a fraction": ("POST", CHATS, {**CHAT, "max_tokens": 1.5}),
    "chat: limit beyond the context": ("POST", CHATS, {**CHAT, "max_tokens": 5000}),
    "chat: new limit beyond the context": ("POST", CHATS, {"messages": HELLO, "max_completion_tokens": 5000}),
    "completion: limit beyond the context": ("POST", TEXTS, {**TEXT, "max_tokens": 5000}),
    "message: limit beyond the context": ("POST", MESSAGES, {**MESSAGE, "max_tokens": 5000}),
    "response: limit beyond the context": ("POST", RESPONSES, {**RESPONSE, "max_output_tokens": 5000}),
    "chat: prompt beyond the context": ("POST", CHATS, {"messages": [{"role": "user", "content": LONG}]}),
    "completion: prompt beyond the context": ("POST", TEXTS, {"prompt": LONG}),
    "stream: prompt beyond the context": ("POST", TEXTS, {"prompt": LONG, "stream": True}),
    "message: prompt beyond the context": ("POST", MESSAGES, {**MESSAGE, "messages": [{**HELLO[0], "content": LONG}]}),
    "response: prompt beyond the context": ("POST", RESPONSES, {"input": LONG}),
    "chat: temperature below zero": ("POST", CHATS, {**CHAT, "temperature": -1}),
    "message: temperature below zero": ("POST", MESSAGES, {**MESSAGE, "temperature": -1}),
    "chat: temperature is text": ("POST", CHATS, {**CHAT, "temperature": "x"}),
    "chat: top_p beyond one": ("POST", CHATS, {**CHAT, "top_p": 2}),
    "chat: no answer wanted": ("POST", CHATS, {**CHAT, "n": 0}),
    "chat: stream is text": ("POST", CHATS, {**CHAT, "stream": "x"}),
    "chat: usage without a stream": ("POST", CHATS, {**CHAT, "stream_options": {"include_usage": True}}),
    "chat: choice without tools": ("POST", CHATS, {**CHAT, "tool_choice": "required"}),
    "chat: choice of another tool": (
        "POST",
        CHATS,
        {**CHAT, "tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "other"}}},
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_say_the_same(engines: tuple[Engine, Engine], name: str) -> None:
    real, standin = (engine.ask(*ERRORS[name], KEY) for engine in engines)
    assert real[0] >= 400
    assert (standin[:2], json.loads(standin[2])) == (real[:2], json.loads(real[2]))


STREAMED = (CHATS, TEXTS, MESSAGES, RESPONSES)


@pytest.mark.parametrize("path", STREAMED)
def test_streams_are_refused_the_same_way(engines: tuple[Engine, Engine], path: str) -> None:
    """What is wrong with a request is said before its stream begins, or in it."""
    bodies = {name: body for name, (_method, where, body) in ERRORS.items() if where == path}
    bodies |= {name: sent(request, "tiny") for name, request in UNTAKEN.items() if request.path == path}
    differ = {}
    # What is about streams themselves stands where the others do.
    asked = {
        name: body
        for name, body in bodies.items()
        if isinstance(body, dict) and not {"stream", "stream_options"} & body.keys()
    }
    for name, body in asked.items():
        real, standin = (engine.ask("POST", path, {**body, "stream": True}, KEY) for engine in engines)
        if (standin[:2], *map(said, standin[2:])) != (real[:2], *map(said, real[2:])):
            differ[name] = (standin, real)
    assert not differ, differ
    assert len(asked) > 5


def said(text: str) -> Any:
    """An answer of either kind, for what it says."""
    return told(text) if text.startswith(("data:", "event:")) else json.loads(text)


@pytest.mark.parametrize("name", AGENTS)
def test_agents_are_answered_the_same(engines: tuple[Engine, Engine], name: str) -> None:
    request = AGENTS[name]
    body = sent(request, "tiny")
    if body is not None and "count_tokens" not in request.path:
        # Random weights say something, and not for long.
        limit = "max_output_tokens" if request.path == RESPONSES else "max_tokens"
        budget = (body.get("thinking") or {}).get("budget_tokens", 15)
        body |= {limit: budget + 1, "temperature": 0}
    real, standin = (engine.ask(request.method, request.path, body, KEY) for engine in engines)
    assert real[0] == standin[0] == request.status, real[2]
    assert real[1] == standin[1]
    if real[1].startswith("text/event-stream"):
        assert events(standin[2]) == events(real[2])
    elif real[2]:
        assert shape(json.loads(standin[2])) == shape(json.loads(real[2]))


@pytest.mark.parametrize("name", UNTAKEN)
def test_what_agents_cannot_have_is_refused_the_same_way(engines: tuple[Engine, Engine], name: str) -> None:
    request = UNTAKEN[name]
    answers = [engine.ask(request.method, request.path, sent(request, "tiny"), KEY) for engine in engines]
    real, standin = answers
    assert (standin[:2], json.loads(standin[2])) == (real[:2], json.loads(real[2]))
    assert real[0] == status_of(request)


def test_a_further_name_is_answered_by_the_first(engines: tuple[Engine, Engine]) -> None:
    listed, answered = [], []
    for engine in engines:
        _status, _type, text = engine.ask("GET", "/v1/models", None, KEY)
        listed.append([card["id"] for card in json.loads(text)["data"]])
        _status, _type, text = engine.ask("POST", MESSAGES, {**MESSAGE, "model": "gpt-4o"}, KEY)
        answered.append(json.loads(text)["model"])
        _status, _type, text = engine.ask("POST", "/v1/completions", {"model": "gpt-4o", "prompt": "a"}, KEY)
        answered.append(json.loads(text)["model"])
    assert listed == [["tiny", "gpt-4o"]] * 2
    assert answered == ["tiny"] * 4


def test_both_say_what_they_take(engines: tuple[Engine, Engine]) -> None:
    for engine in engines:
        assert abilities(EngineClient(engine.port, "key"), "tiny") == Abilities(tools=True, images=False)


@pytest.mark.parametrize(
    ("headers", "path", "status"),
    [
        ({}, "/v1/models", 401),
        ({"Authorization": "Bearer wrong"}, "/v1/models", 401),
        ({"Authorization": "Bearer wrong"}, "/v1/nowhere", 401),
        ({"Authorization": "key"}, "/v1/models", 401),
        ({"Authorization": "Basic key"}, "/v1/models", 401),
        # Whatever Anthropic's clients did with a key in the past, vLLM reads it as a bearer token only.
        ({"x-api-key": "key"}, "/v1/models", 401),
        ({"x-api-key": "key", "Authorization": "Bearer wrong"}, "/v1/models", 401),
        ({"Authorization": "bearer key"}, "/v1/models", 200),
        ({"x-api-key": "wrong", **KEY}, "/v1/models", 200),
        ({}, "/version", 200),
        ({}, "/health", 200),
    ],
)
def test_keys_count_the_same(engines: tuple[Engine, Engine], headers: dict[str, str], path: str, status: int) -> None:
    real, standin = (engine.ask("GET", path, None, headers) for engine in engines)
    assert (real[0], standin[0]) == (status, status)
    if status == 401:
        assert json.loads(real[2]) == json.loads(standin[2]) == {"error": "Unauthorized"}


def metrics_of(text: str) -> tuple[set[str], set[str]]:
    """The metrics of the engine with their types, and their series; of the web server's those that we read."""
    ours = r"(?:vllm:\w+|http_requests_total|process_start_time_seconds|process_resident_memory_bytes)"
    types = set(re.findall(rf"^# TYPE ({ours} \w+)$", text, re.MULTILINE))
    series = set()
    for name, labels in re.findall(rf"^({ours})(?:{{(.*)}})? \S+$", text, re.MULTILINE):
        # Buckets follow the longest context; a configuration's values and handlers are not names.
        values = name in ("vllm:cache_config_info", "http_requests_total")
        hidden = r'="[^"]*"' if values else r'(?<=le)="[^"]*"'
        series.add(f"{name} {re.sub(hidden, '', labels)}")
    return types, series


def test_metrics_have_the_same_names_types_and_series(engines: tuple[Engine, Engine]) -> None:
    for engine in engines:
        engine.ask("POST", TEXTS, TEXT, KEY)
    real, standin = (metrics_of(engine.ask("GET", "/metrics", None, {})[2]) for engine in engines)
    assert standin == real
    assert len(real[0]) > 60 and any("generation_tokens_total" in series for series in real[1])


def test_the_same_use_moves_the_same_counters(engines: tuple[Engine, Engine]) -> None:
    """But for the number of tokens of a prompt: the stand-in has no tokenizer."""
    names = (
        "generation_tokens_total",
        "request_success_total",
        "request_generation_tokens_count",
        "num_requests_running",
    )

    def counts(engine: Engine) -> list[float]:
        text = engine.ask("GET", "/metrics", None, {})[2]
        return [sum(map(float, re.findall(rf"^vllm:{name}{{.*}} (\S+)$", text, re.MULTILINE))) for name in names]

    moved = []
    for engine in engines:
        before = counts(engine)
        for method, path, body in (
            ("POST", CHATS, CHAT),
            ("POST", CHATS, {**CHAT, **WITH_USAGE}),
            ("POST", TEXTS, TEXT),
            ("GET", "/v1/models", None),
            ("POST", TEXTS, {**TEXT, "model": "other"}),
            ("POST", TEXTS, {"prompt": LONG}),
        ):
            engine.ask(method, path, body, KEY)
        moved.append([after - earlier for after, earlier in zip(counts(engine), before, strict=True)])
    assert moved[0] == moved[1] == [48.0, 3.0, 3.0, 0.0]


def test_both_know_the_same_names(starts: Starts) -> None:
    """The flags with what they take, parsers of tools and of reasoning, architectures that generate text."""
    real = starts.ask(known=True)
    flags = {
        name: [action.dest, action.nargs, sorted(map(str, action.choices)) if action.choices else None]
        for name, action in args.make_parser()._option_string_actions.items()
    }
    # Its parser never sees it: -O3 is made --optimization-level 3 before.
    del flags["-O"]
    assert flags == real.pop("flags")
    assert real == {
        "tool_parsers": sorted(flag_names.TOOL_PARSERS),
        "reasoning_parsers": sorted(flag_names.REASONING_PARSERS),
        "architectures": sorted(flag_names.ARCHITECTURES),
    }


def test_an_engine_that_dies_ends_its_streams_the_same_way(engines: tuple[Engine, Engine]) -> None:
    """The last that both are asked."""
    real, standin = (broken_off(engine) for engine in engines)
    # Three say what happened, and one breaks off.
    assert {name: ended and "error" in json.dumps(said) for name, (ended, said) in standin.items()} == {
        **dict.fromkeys(LONG_STREAMS, True),
        "a response": False,
    }
    # On a busy machine the real server tells some as if they had come to their end: which, is chance.
    broken = {name: end for name, end in real.items() if not end[0] or "error" in json.dumps(end[1])}
    assert len(broken) >= 2 and {name: standin[name] for name in broken} == broken


def broken_off(engine: Engine) -> dict[str, Any]:
    """What streams say whose engine is killed when they have begun, and whether they come to an end."""
    streams = {}
    connections = {
        name: http.client.HTTPConnection("127.0.0.1", engine.port, timeout=PATIENCE) for name in LONG_STREAMS
    }
    # All are asked before one is read: the first must not be at its end when the last begins.
    for name, (path, body) in LONG_STREAMS.items():
        connections[name].request(
            "POST", path, json.dumps({"model": "tiny", **body}), {"Content-Type": "application/json", **KEY}
        )
    for name, connection in connections.items():
        answer = connection.getresponse()
        begun = b""
        while not has_words(line := answer.readline()):
            assert line, begun
            begun += line
        streams[name] = (answer, begun + line)
    # Either says so in every line of its log.
    core = psutil.Process(int(re.findall(r"\(EngineCore pid=(\d+)\)", engine.log)[-1]))
    core.kill()
    found = {}
    for name, (answer, begun) in streams.items():
        try:
            text, ended = begun + answer.read(), True
        except http.client.IncompleteRead as cut:
            text, ended = begun + cut.partial, False
        found[name] = (ended, events(text.decode()))
    return found


def has_words(line: bytes) -> bool:
    """Whether a line of a stream is of the answer's own text."""
    if not line.startswith(b"data: {"):
        return False
    data = json.loads(line.removeprefix(b"data: "))
    choice = (data.get("choices") or [{}])[0]
    return bool(choice.get("text") or choice.get("delta", {}).get("content")) or data.get("type", "").endswith("delta")


def model(tmp: Path, source: Path, **changes: Any) -> str:
    """A copy of a model with another configuration."""
    copy = tmp / "model"
    shutil.copytree(source, copy)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, **changes}))
    return str(copy)


def without_weights(tmp: Path, models: Path) -> list[str]:
    name = model(tmp, models / "tiny-coder-1m")
    Path(name, "model.safetensors").unlink()
    return ["--model", name]


TINY = "tiny-coder-1m"
# What is asked for, the exit code, and what the log is read as.
REFUSED: dict[str, tuple[Any, int, str]] = {
    "unknown flag": (lambda tmp, models: ["--model", str(models / TINY), "--no-such-flag"], 2, "unknown_flag"),
    "bad value": (lambda tmp, models: ["--model", str(models / TINY), "--max-model-len", "x"], 2, "bad_argument"),
    "unknown tool parser": (
        lambda tmp, models: ["--model", str(models / TINY), "--enable-auto-tool-choice", "--tool-call-parser", "nope"],
        1,
        "tool_parser",
    ),
    "unknown reasoning parser": (
        lambda tmp, models: ["--model", str(models / TINY), "--reasoning-parser", "nope"],
        1,
        "reasoning_parser",
    ),
    "no such directory": (lambda tmp, models: ["--model", str(tmp / "nowhere")], 1, "model_not_found"),
    "unknown architecture": (
        lambda tmp, models: ["--model", model(tmp, models / TINY, architectures=["FooBarForCausalLM"])],
        1,
        "unknown_architecture",
    ),
    "unknown kind of model": (
        lambda tmp, models: ["--model", model(tmp, models / TINY, model_type="qwen99")],
        1,
        "unknown_architecture",
    ),
    "context beyond the model's": (
        lambda tmp, models: ["--model", str(models / TINY), "--max-model-len", "8192"],
        1,
        "context_above_model",
    ),
    "context beyond the memory": (
        lambda tmp, models: ["--model", str(models / "tiny-coder-long")],
        1,
        "context_too_long",
    ),
    "no weights": (without_weights, 1, "no_weights"),
    "truncated weights": (lambda tmp, models: ["--model", str(models / "tiny-coder-broken")], 1, "corrupt_weights"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_start_is_refused_the_same_way(tmp_path: Path, starts: Starts, name: str) -> None:
    arguments, code, slug = REFUSED[name]
    check_refusal(tmp_path, starts, arguments(tmp_path, starts.models), code, slug)


def test_a_port_that_is_taken_is_refused_the_same_way(tmp_path: Path, starts: Starts) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        check_refusal(tmp_path, starts, ["--model", str(starts.models / TINY)], 1, "port_in_use", port)


def check_refusal(
    tmp: Path, starts: Starts, arguments: list[str], code: int, slug: str, port: int | None = None
) -> None:
    ends = []
    for kind in (starts, None):
        directory = tmp / ("real" if kind else "standin")
        directory.mkdir()
        engine = Engine(directory, kind, *arguments, port=port)
        try:
            ended = engine.process.wait(PATIENCE)
        finally:
            engine.end()
        first, *_others = diagnose(engine.log) or [None]
        assert first is not None, engine.log[-4000:]
        # A CPU's cache has other sizes than a card's.
        exact = slug != "context_too_long"
        ends.append(
            {
                "code": ended,
                "slug": first.slug,
                "sentence": first.sentence if exact else re.sub(r"[\d.]+\d", "N", first.sentence),
                "parameters": first.parameters if exact else sorted(first.parameters or {}),
                # Whether the engine's own process was there: then the cause stands above a generic line.
                "generic": "RuntimeError: Engine core initialization failed. See root cause above." in engine.log,
            }
        )
    assert ends[0] == ends[1]
    assert (ends[0]["code"], ends[0]["slug"]) == (code, slug)
