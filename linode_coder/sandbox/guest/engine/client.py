"""The API server's view of EngineCore: requests in, tokens out, and the end of either."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator

from ..json_types import Json
from .answers import BLOCK
from .log import log, traceback_text
from .metrics import Metrics

_LOOK_AT_CLIENT = 0.5
_STATS_EVERY = 10.0


class EngineDeadError(Exception):
    """EngineCore encountered an issue. See stack trace (above) for the root cause."""

    # That is what the log says of it.
    told_clients = "The server had an error while processing your request."


class ShuttingDown(Exception):
    """cannot schedule new futures after shutdown"""

    told_clients = "cannot schedule new futures after shutdown"


class Client:
    def __init__(self, pid: int, sock: socket.socket, options: argparse.Namespace, metrics: Metrics) -> None:
        self.pid = pid
        self.sock = sock
        self.options = options
        self.metrics = metrics
        self.dead = self.stopping = False
        self.failed = threading.Event()
        self._queues: dict[str, queue.SimpleQueue[Json | None]] = {}
        self._lock = threading.Lock()
        self._buffer = b""
        self._seen_prompts: set[str] = set()

    def wait_ready(self) -> bool:
        """Whether it came up. SIGTERM meanwhile interrupts."""
        message = self._receive()
        if message is None:
            return False
        ready = dict(message["ready"])
        self.metrics.cache_tokens, self.metrics.context = ready["tokens"], ready["context"]
        threading.Thread(target=self._listen, daemon=True).start()
        threading.Thread(target=self._log_stats, daemon=True).start()
        return True

    def _receive(self) -> Json | None:
        while b"\n" not in self._buffer:
            try:
                data = self.sock.recv(65536)
            except OSError:
                return None
            if not data:
                return None
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return dict(json.loads(line))

    def _listen(self) -> None:
        while True:
            message = self._receive()
            if message is None:
                break
            if "id" in message:
                waiting = self._queues.get(str(message["id"]))
                if waiting is not None:
                    waiting.put(message)
            else:
                self.metrics.running = int(str(message["running"]))
                self.metrics.waiting = int(str(message["waiting"]))
                self.metrics.put("num_preemptions", float(str(message["preempted"])))
                self.metrics.cache_usage = min(1.0, float(str(message["cache"])) / max(1, self.metrics.cache_tokens))
        if self.stopping:
            # In abort mode nobody tells the open streams anything, as with vLLM.
            return
        self.dead = True
        log("ERROR", "core_client.py:839", "[shutdown] MPClient: engine core exited unexpectedly; starting cleanup")
        error = f"vllm.v1.engine.exceptions.EngineDeadError: {EngineDeadError.__doc__}"
        where = "/usr/local/lib/python3.12/dist-packages/vllm/v1/engine/async_llm.py"
        log("ERROR", "async_llm.py:943", f"AsyncLLM output_handler failed.\n{traceback_text(where, error)}")
        for waiting in list(self._queues.values()):
            waiting.put(None)
        self.failed.set()

    def _log_stats(self) -> None:
        before = (0.0, 0.0)
        while not self.dead:
            time.sleep(_STATS_EVERY)
            now = (self.metrics.total("prompt_tokens"), self.metrics.total("generation_tokens"))
            if now != before or self.metrics.running:
                rates = [(new - old) / _STATS_EVERY for new, old in zip(now, before, strict=True)]
                hits = self.metrics.total("prefix_cache_hits") / max(1.0, self.metrics.total("prefix_cache_queries"))
                log(
                    "INFO",
                    "loggers.py:335",
                    f"Engine 000: Avg prompt throughput: {rates[0]:.1f} tokens/s, Avg generation throughput: "
                    f"{rates[1]:.1f} tokens/s, Running: {self.metrics.running} reqs, Waiting: {self.metrics.waiting} reqs, "
                    f"GPU KV cache usage: {self.metrics.cache_usage * 100:.1f}%, Prefix cache hit rate: {hits * 100:.1f}%",
                )
            before = now

    def generate(
        self, prompt: str, prompt_tokens: int, tokens: int, reason: str, gone: Callable[[], bool]
    ) -> Iterator[int]:
        """How many tokens came, each time some did. Ends early, and counts as aborted, when the client is `gone`."""
        if self.stopping:
            raise ShuttingDown
        if self.dead:
            raise EngineDeadError
        identifier = uuid.uuid4().hex
        arrived: queue.SimpleQueue[Json | None] = queue.SimpleQueue()
        self._queues[identifier] = arrived
        began = time.monotonic()
        first: float | None = None
        count = cached = 0
        try:
            self._send({"op": "add", "id": identifier, "prompt": prompt_tokens, "tokens": tokens})
            while True:
                try:
                    message = arrived.get(timeout=_LOOK_AT_CLIENT)
                except queue.Empty:
                    if gone():
                        self._abort(identifier)
                        return
                    continue
                if message is None:
                    self.metrics.finish("error")
                    raise EngineDeadError
                now = time.monotonic()
                if first is None:
                    first = now
                    cached = self._count_prompt(prompt, prompt_tokens)
                    self.metrics.observe("time_to_first_token_seconds", now - began)
                new = int(str(message["new"]))
                count += new
                self.metrics.add("generation_tokens", new)
                self.metrics.observe("iteration_tokens_total", new)
                if message["done"]:
                    # Before the last token goes out: a client that has its answer finds it counted.
                    self._finish(prompt_tokens, count, tokens, now - began, now - first, reason)
                    self.metrics.observe("request_num_preemptions", int(str(message["preempted"])))
                    self.metrics.observe("request_prefill_kv_computed_tokens", prompt_tokens - cached)
                yield new
                if message["done"]:
                    return
        except GeneratorExit:
            self._abort(identifier)
            raise
        finally:
            self._queues.pop(identifier, None)

    def _send(self, message: Json) -> None:
        with self._lock, contextlib.suppress(OSError):
            self.sock.sendall(json.dumps(message).encode() + b"\n")

    def _abort(self, identifier: str) -> None:
        self._send({"op": "abort", "id": identifier})
        self.metrics.finish("abort")

    def cached(self, prompt: str, prompt_tokens: int) -> int:
        """How many of its tokens the cache has."""
        return (prompt_tokens - 1) // BLOCK * BLOCK if prompt in self._seen_prompts else 0

    def _count_prompt(self, prompt: str, prompt_tokens: int) -> int:
        """How much of it was cached: a prompt that came before is, but for its last, incomplete block."""
        cached = self.cached(prompt, prompt_tokens)
        if len(self._seen_prompts) < 1000:
            self._seen_prompts.add(prompt)
        self.metrics.add("prompt_tokens", prompt_tokens)
        self.metrics.add("prompt_tokens_cached", cached)
        self.metrics.add("prefix_cache_queries", prompt_tokens)
        self.metrics.add("prefix_cache_hits", cached)
        return cached

    def _finish(self, prompt: int, count: int, asked: int, whole: float, decode: float, reason: str) -> None:
        observe = self.metrics.observe
        self.metrics.finish(reason)
        observe("e2e_request_latency_seconds", whole)
        observe("request_queue_time_seconds", 0.0)
        observe("request_prefill_time_seconds", whole - decode)
        observe("request_decode_time_seconds", decode)
        observe("request_inference_time_seconds", whole)
        observe("request_prompt_tokens", prompt)
        observe("request_generation_tokens", count)
        observe("request_params_max_tokens", asked)
        observe("request_params_n", 1)
        observe("request_max_num_generation_tokens", count)
        if count > 1:
            observe("request_time_per_output_token_seconds", decode / (count - 1))
            observe("inter_token_latency_seconds", decode / (count - 1))

    def stop(self, timeout: int) -> None:
        """As SIGTERM does it: drained within `timeout`, or with 0 at once."""
        self.stopping = True
        mode = "drain" if timeout else "abort"
        log("INFO", "launcher.py:272", f"[shutdown] API server: stopping engine client mode={mode} timeout={timeout}s")
        log("INFO", "core_client.py:792", f"[shutdown] MPClient: start timeout={timeout}s")
        log("INFO", "core_client.py:794", "[shutdown] MPClient: stopping engine manager")
        log("INFO", "utils.py:628", "[shutdown] Process manager: send sigterm to process EngineCore")
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
        until = time.monotonic() + (timeout or 0.2)
        while not self._reaped() and time.monotonic() < until:
            time.sleep(0.02)
        if not self._reaped():
            log(
                "WARNING",
                "utils.py:653",
                f"[shutdown] Process manager: force killing remaining process EngineCore pid {self.pid}",
            )
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        log("INFO", "core_client.py:796", "[shutdown] MPClient: engine manager stopped")
        log("INFO", "core_client.py:799", "[shutdown] MPClient: complete")
        log("INFO", "launcher.py:281", "[shutdown] API server: engine client stopped")

    def _reaped(self) -> bool:
        try:
            return os.waitpid(self.pid, os.WNOHANG)[0] != 0
        except ChildProcessError:
            return True
