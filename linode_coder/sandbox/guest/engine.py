"""Stand-in for vLLM's OpenAI-compatible server: its endpoints, metrics, phases and memory arithmetic, no model.

Log lines and refusals carry the texts of vLLM 0.32, since other parts read them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

VERSION = "0.32.0"
GIB = 2**30
OVERHEAD_GIB = 2.0  # activations, graphs and CUDA context of a small model


def log(level: str, source: str, text: str) -> None:
    print(f"{level} {time.strftime('%m-%d %H:%M:%S')} [{source}] {text}", file=sys.stderr, flush=True)


def weights_gib(model: str) -> float | None:
    """Size from what the name tells: parameters in billions, and bytes per parameter by quantisation."""
    match = re.search(r"(\d+(?:\.\d+)?)\s*[bB](?![a-zA-Z])", model)
    if match is None:
        return 0.01 if "tiny" in model.lower() else None
    low = model.lower()
    per_parameter = 0.6 if any(word in low for word in ("awq", "gptq", "int4", "nvfp4", "w4a16", "gpt-oss")) else 2.0
    if "fp8" in low or "int8" in low:
        per_parameter = 1.05
    return float(match.group(1)) * 1e9 * per_parameter / GIB


def refuse(text: str) -> None:
    log("ERROR", "core.py:1110", "EngineCore failed to start.")
    print(f"(EngineCore pid={os.getpid()}) ValueError: {text}", file=sys.stderr, flush=True)
    raise SystemExit(1)


class Engine:
    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.names = arguments.served_model_name or [arguments.model]
        self.max_len = arguments.max_model_len or 32768
        self.lock = threading.Lock()
        self.prompt_tokens = self.generated_tokens = self.requests = self.running = 0
        self.ready = False

    def load(self) -> None:
        """The phases of a start with their lines; a model that does not fit is refused with vLLM's text."""
        pause = float(os.environ.get("SANDBOX_ENGINE_SECONDS", "1.0")) / 4
        log("INFO", "utils.py:253", f"non-default args: {{'model': '{self.arguments.model}'}}")
        size = weights_gib(self.arguments.model)
        if size is None:
            message = f"{self.arguments.model} is not a local folder and is not a valid model identifier listed on 'https://huggingface.co/models'"
            print(f"OSError: {message}", file=sys.stderr, flush=True)
            raise SystemExit(1)
        time.sleep(pause)
        log("INFO", "gpu_model_runner.py:2338", f"Starting to load model {self.arguments.model}...")
        time.sleep(pause)
        ranks = self.arguments.tensor_parallel_size
        hardware = json.loads(Path(os.environ.get("SANDBOX_GPUS", "/etc/sandbox/gpus.json")).read_text())["gpus"]
        if ranks > len(hardware):
            refuse(f"World size ({ranks}) is larger than the number of available GPUs ({len(hardware)}) in this node.")
        card_gib = hardware[0]["memory_mib"] / 1024
        log("INFO", "gpu_model_runner.py:2392", f"Model loading took {size / ranks:.4f} GiB and {pause:.6f} seconds")
        room = card_gib * self.arguments.gpu_memory_utilization - size / ranks - OVERHEAD_GIB
        if room <= 0:
            refuse(
                "No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing the engine."
            )
        per_token = 57344 / ranks  # bytes of a 7B model with grouped-query attention
        needed = per_token * self.max_len / GIB
        if needed > room:
            most = int(room * GIB / per_token) // 16 * 16
            refuse(
                f"To serve at least one request with the models's max seq len ({self.max_len}), ({needed:.2f} GiB KV cache is "
                f"needed, which is larger than the available KV cache memory ({room:.2f} GiB). Based on the available memory, "
                f"the estimated maximum model length is {most}. Try increasing `gpu_memory_utilization` or decreasing "
                "`max_model_len` when initializing the engine."
            )
        log("INFO", "gpu_worker.py:298", f"Available KV cache memory: {room:.2f} GiB")
        log("INFO", "kv_cache_utils.py:1087", f"GPU KV cache size: {int(room * GIB / per_token):,} tokens")
        time.sleep(pause)
        log("INFO", "core.py:210", f"init engine (profile, create kv cache, warmup model) took {pause:.2f} seconds")
        time.sleep(pause)
        log("INFO", "api_server.py:1991", f"Starting vLLM server on http://{self.arguments.host}:{self.arguments.port}")
        self.ready = True

    def reply(self, text: str, limit: int | None) -> tuple[list[str], str]:
        words = f"This is the linode_coder sandbox, not a model. You wrote: {text.strip()[:400]}".split(" ")
        pieces = [word if index == 0 else " " + word for index, word in enumerate(words)]
        if limit is not None and limit < len(pieces):
            return pieces[:limit], "length"
        return pieces, "stop"

    def count(self, prompt: int, generated: int) -> None:
        with self.lock:
            self.prompt_tokens += prompt
            self.generated_tokens += generated
            self.requests += 1

    def metrics(self) -> str:
        label = f'{{engine="0",model_name="{self.names[0]}"}}'
        rows = (
            ("vllm:num_requests_running", "gauge", self.running),
            ("vllm:num_requests_waiting", "gauge", 0),
            ("vllm:kv_cache_usage_perc", "gauge", 0.0),
            ("vllm:prompt_tokens_total", "counter", self.prompt_tokens),
            ("vllm:generation_tokens_total", "counter", self.generated_tokens),
        )
        text = "".join(
            f"# HELP {name.removesuffix('_total')} {name}\n# TYPE {name.removesuffix('_total')} {kind}\n{name}{label} {float(value)}\n"
            for name, kind, value in rows
        )
        success = f'{{engine="0",finished_reason="stop",model_name="{self.names[0]}"}}'
        return (
            text + f"# TYPE vllm:request_success counter\nvllm:request_success_total{success} {float(self.requests)}\n"
        )


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    engine: Engine
    api_key: str | None

    def log_message(self, format: str, *arguments: object) -> None:
        print(f"INFO:     {self.client_address[0]}:{self.client_address[1]} - {format % arguments}", flush=True)

    def send(self, status: int, body: object, kind: str = "application/json") -> None:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def error(self, status: int, message: str, kind: str, param: str | None = None) -> None:
        self.send(status, {"error": {"message": message, "type": kind, "param": param, "code": status}})

    def authorised(self) -> bool:
        """The key guards /v1 only, as with vLLM."""
        if not self.api_key or not self.path.startswith("/v1"):
            return True
        if self.headers.get("Authorization") == f"Bearer {self.api_key}":
            return True
        self.send(401, {"error": "Unauthorized"})
        return False

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if not self.authorised():
            return
        if path in ("/health", "/ping"):
            self.send(200, "", "text/plain")
        elif path == "/version":
            self.send(200, {"version": VERSION})
        elif path == "/metrics":
            self.send(200, self.engine.metrics(), "text/plain; version=0.0.4; charset=utf-8")
        elif path == "/v1/models":
            cards = [
                {
                    "id": name,
                    "object": "model",
                    "created": int(time.time()),
                    "owned_by": "vllm",
                    "root": self.engine.arguments.model,
                    "parent": None,
                    "max_model_len": self.engine.max_len,
                    "permission": [],
                }
                for name in self.engine.names
            ]
            self.send(200, {"object": "list", "data": cards})
        else:
            self.send(404, {"detail": "Not Found"})

    def do_POST(self) -> None:
        body_bytes = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self.authorised():
            return
        path = self.path.partition("?")[0]
        if path == "/ping":
            self.send(200, "", "text/plain")
            return
        if path not in ("/v1/chat/completions", "/v1/completions"):
            self.send(404, {"detail": "Not Found"})
            return
        try:
            body = json.loads(body_bytes)
            prompt = self.prompt_of(body, path.endswith("chat/completions"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self.error(400, f"{type(error).__name__}: {error}", "Bad Request")
            return
        if body.get("model") and body["model"] not in self.engine.names:
            self.error(404, f"The model `{body['model']}` does not exist.", "NotFoundError", "model")
            return
        limit = body.get("max_completion_tokens") or body.get("max_tokens")
        if limit is not None and (not isinstance(limit, int) or limit < 1):
            self.error(400, f"max_tokens must be at least 1, got {limit}.", "BadRequestError", "max_tokens")
            return
        prompt_tokens = max(1, len(prompt) // 4)
        if prompt_tokens + (limit or 1) > self.engine.max_len:
            self.error(
                400,
                f"This model's maximum context length is {self.engine.max_len} tokens. However, your request has "
                f"{prompt_tokens} input tokens. Please reduce the length of the input messages.",
                "BadRequestError",
                "input_tokens",
            )
            return
        with self.engine.lock:
            self.engine.running += 1
        try:
            self.complete(body, prompt, prompt_tokens, limit, path.endswith("chat/completions"))
        finally:
            with self.engine.lock:
                self.engine.running -= 1

    def prompt_of(self, body: dict[str, object], chat: bool) -> str:
        if not chat:
            return str(body["prompt"])
        texts = []
        for message in body["messages"]:  # type: ignore[attr-defined]
            content = message["content"]
            texts.append(
                content if isinstance(content, str) else " ".join(part.get("text", "") for part in content or [])
            )
        return texts[-1] if texts else ""

    def complete(self, body: dict[str, object], prompt: str, prompt_tokens: int, limit: int | None, chat: bool) -> None:
        pieces, reason = self.engine.reply(prompt, limit)
        identifier = ("chatcmpl-" if chat else "cmpl-") + uuid.uuid4().hex
        model, created = self.engine.names[0], int(time.time())
        usage = {
            "prompt_tokens": prompt_tokens,
            "total_tokens": prompt_tokens + len(pieces),
            "completion_tokens": len(pieces),
        }
        base = {"id": identifier, "created": created, "model": model}
        self.engine.count(prompt_tokens, len(pieces))
        if not body.get("stream"):
            text = "".join(pieces)
            if chat:
                message = {"role": "assistant", "content": text, "tool_calls": []}
                choice: dict[str, object] = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
            else:
                choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}
            kind = "chat.completion" if chat else "text_completion"
            self.send(200, {**base, "object": kind, "choices": [choice], "usage": usage})
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        kind = "chat.completion.chunk" if chat else "text_completion"
        for index, piece in enumerate(pieces):
            finish = reason if index == len(pieces) - 1 else None
            part: dict[str, object] = {"delta": {"content": piece}} if chat else {"text": piece}
            if chat and index == 0:
                part = {"delta": {"role": "assistant", "content": piece}}
            self.chunk({**base, "object": kind, "choices": [{"index": 0, **part, "finish_reason": finish}]})
        options = body.get("stream_options")
        if isinstance(options, dict) and options.get("include_usage"):
            self.chunk({**base, "object": kind, "choices": [], "usage": usage})
        self.chunk("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def chunk(self, data: object) -> None:
        text = data if isinstance(data, str) else json.dumps(data)
        raw = f"data: {text}\n\n".encode()
        self.wfile.write(f"{len(raw):x}\r\n".encode() + raw + b"\r\n")
        self.wfile.flush()


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="vllm serve")
    parser.add_argument("model")
    parser.add_argument("--host", default="0.0.0.0")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--api-key")
    parser.add_argument("--served-model-name", nargs="+")
    parser.add_argument("--max-model-len", type=int)
    parser.add_argument("--gpu-memory-utilization", type=float, default=0.92)
    parser.add_argument("--tensor-parallel-size", type=int, default=1)
    parser.add_argument("--shutdown-timeout", type=int, default=0)
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    engine = Engine(options)
    Handler.engine = engine
    Handler.api_key = options.api_key or os.environ.get("VLLM_API_KEY")
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    engine.load()
    server = ThreadingHTTPServer((options.host, options.port), Handler)
    server.daemon_threads = True
    log("INFO", "launcher.py:47", "Application startup complete.")
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
