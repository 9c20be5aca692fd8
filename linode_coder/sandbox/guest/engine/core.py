"""The process that plays EngineCore: it starts in phases, generates at a rate, drains, hangs and dies.

Talks to the API server over one socket, a JSON document a line. In: {"op": "add", id, prompt, tokens}, {"op": "abort", id}.
Out: {"ready": {...}}, {"id", "new", "done"}, {"running", "waiting", "cache"}.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import NoReturn

from .. import faults
from ..gpu import engine_load
from .answers import VERSION
from .failures import FAILURES, StartFailure, fill
from .log import become, die_with_parent, log, say, traceback_text
from .memory import GIB, OVERHEAD_GIB, Model, Room, cards, files_of, is_truncated, room_for

# Shares of the whole start; a cold compile is the longest of them, as in real life.
SHARES = {"start": 0.1, "download": 0.0, "load": 0.3, "compile": 0.25, "profile": 0.1, "kv": 0.05, "capture": 0.2}
_LOADING = "\rLoading safetensors checkpoint shards: {0:3d}% Completed | {1}/{2} [00:00<00:00,  1.00it/s]"
_CAPTURING = "\rCapturing CUDA graphs (decode, FULL): {0:3d}%|###       | {1}/{2} [00:00<00:00, 30.00it/s]"
_TICK = 0.02
_IDLE = 0.25
# Seconds between two times that a full cache takes requests back, and how long they wait.
_PREEMPTS_EVERY, _PREEMPTED_FOR = 0.2, 0.1


# Of the time that compiling takes: reading what was compiled before.
_CACHED_SHARE = 0.1


def seconds_for(phase: str) -> float:
    """How long a phase takes here; a fault may prolong it."""
    seconds = float(os.environ.get("SANDBOX_ENGINE_SECONDS", "1.0")) * SHARES[phase]
    slow = faults.active("engine_slow_start")
    if slow is not None and slow.get("phase", "load") == phase:
        seconds += float(str(slow.get("delay") or 5))
    disk = faults.active("disk_slow")
    if disk is not None and phase == "load":
        seconds += float(str(disk.get("delay") or 5))
    return seconds


def wanted_failure(stage: str, options: argparse.Namespace) -> tuple[str, StartFailure] | None:
    """The failure that a fault asks for in this stage, unless the options avoid it."""
    for kind, slug in (("engine_start_fails", None), ("weights_truncated", "weights_truncated")):
        fault = faults.due(kind)
        if fault is None:
            continue
        cause = slug or str(fault.get("cause") or "text")
        if fault.get("text"):
            failure = StartFailure(str(fault.get("stage") or "load"), str(fault["text"]))
        else:
            failure = FAILURES[cause]
        if failure.stage == stage and not (failure.avoided is not None and failure.avoided(options)):
            faults.strike(kind)
            return cause, failure
    return None


class Core:
    def __init__(self, sock: socket.socket, options: argparse.Namespace, model: Model) -> None:
        self.sock = sock
        self.options = options
        self.model = model
        self.running: dict[str, dict[str, float]] = {}
        self.waiting: dict[str, dict[str, float]] = {}
        self.workers: list[int] = []
        self.rate = float(os.environ.get("SANDBOX_ENGINE_TOKENS_PER_SECOND", "200"))
        self.stop_at: float | None = None
        self.said = (0, 0, 0)
        self.cache_tokens = 0
        self.preempted, self.preempted_at = 0, 0.0
        self.on_gpu = (0, 0)  # MiB on each card, and requests that show there
        self.complained: set[str] = set()

    # -- the start

    def fail(self, text: str) -> NoReturn:
        text = traceback_text("/usr/local/lib/python3.12/dist-packages/vllm/v1/engine/core.py", text)
        log("ERROR", "core.py:1584", f"EngineCore failed to start.\n{text}")
        say(f"Process EngineCore:\n{text}", error=True)
        self.end(1)

    def end(self, code: int) -> NoReturn:
        for pid in self.workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        os._exit(code)

    def phase(self, name: str, room: Room, bar: str | None = None, steps: int = 1) -> float:
        """Let it take its time, and fail in it when a fault says so; the seconds it took."""
        began = time.monotonic()
        failure = wanted_failure(name, self.options)
        for step in range(steps):
            if bar is not None:
                say(bar.format(100 * step // steps, step, steps), error=True)
            time.sleep(seconds_for(name) / steps)
        if failure is not None:
            self.fail(fill(failure[1].text, self._values(room, failure[0])))
        if bar is not None:
            say(bar.format(100, steps, steps), error=True)
        return time.monotonic() - began

    def _compile(self, room: Room) -> float:
        """The seconds it took: next to none when an earlier start left what it compiled for this model in the cache."""
        cache = os.environ.get("VLLM_CACHE_ROOT")
        if not cache:
            return self.phase("compile", room)
        key = hashlib.sha256(f"{self.options.model} {self.options.tensor_parallel_size}".encode()).hexdigest()[:10]
        kept = Path(cache, "torch_compile_cache", key, "computation_graph.py")
        if kept.is_file():
            began = time.monotonic()
            time.sleep(seconds_for("compile") * _CACHED_SHARE)
            return time.monotonic() - began
        took = self.phase("compile", room)
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(f"# compiled for {self.options.model}\n")
        return took

    def _values(self, room: Room, cause: str) -> dict[str, object]:
        """What the texts of failures name. A context that is refused on demand is one of which the cards hold 16384 tokens."""
        options, card = self.options, cards()[0]
        context = room.context if room.context > 0 else self.model.context
        short = cause == "context_too_long" and room.needed <= room.cache
        return {
            "model": options.model,
            "tp": options.tensor_parallel_size,
            "card": card["name"],
            "cc": str(card["cc"]).replace(".", ""),
            "total": room.total,
            "used": room.total - 0.05,
            "wanted": room.wanted,
            "utilization": options.gpu_memory_utilization,
            "context": context,
            "needed": room.needed,
            "longest": min(16384, context // 2) if short else room.longest,
            "room": room.needed * min(16384, context // 2) / context if short else max(0.0, room.cache),
        }

    def start(self) -> Room:
        options, model, ranks = self.options, self.model, self.options.tensor_parallel_size
        hardware = cards()
        card_gib = float(str(hardware[0]["memory_mib"])) / 1024
        room = room_for(model, options, card_gib)
        began = time.monotonic()
        engine_load.tell(0, ranks, 0)
        self.phase("start", room)
        self._start_workers(ranks)
        self._hold(engine_load.CONTEXT_MIB)
        log(
            "INFO",
            "core.py:139",
            f"Initializing a V1 LLM engine (v{VERSION}) with config: model={options.model!r}, tokenizer={options.model!r}, "
            f"dtype=torch.bfloat16, max_seq_len={room.context}, tensor_parallel_size={ranks}, "
            f"quantization={options.quantization}, enforce_eager={bool(options.enforce_eager)}, kv_cache_dtype="
            f"{options.kv_cache_dtype}",
        )
        for rank in range(ranks):
            log(
                "INFO",
                "parallel_state.py:1929",
                f"world_size={ranks} rank={rank} local_rank={rank} distributed_init_method=tcp://127.0.0.1:29500 backend=nccl",
            )
        turing = str(hardware[0]["cc"]) < "8.0"
        backends = ["TRITON_ATTN"] if turing else ["FLASH_ATTN", "FLASHINFER", "TRITON_ATTN"]
        chosen = options.attention_backend or backends[0]
        log("INFO", "cuda.py:508", f"Using {chosen} attention backend out of potential backends: {backends}.")
        took = self.phase("download", room)
        if took > 0.05:
            log(
                "INFO", "weight_utils.py:537", f"Time spent downloading weights for {options.model}: {took:.6f} seconds"
            )
        log("INFO", "gpu_model_runner.py:4978", f"Starting to load model {options.model}...")
        log(
            "INFO",
            "weight_utils.py:1144",
            f"Filesystem type for checkpoints: EXT4. Checkpoint size: {model.weights:.2f} GiB. Available RAM: 12.00 GiB.",
        )
        took = self.phase("load", room, _LOADING, model.files)
        files = files_of(options.model, options.revision)
        shards = sorted(files.glob("*.safetensors")) if files is not None else []
        if files is not None and not shards:
            self.fail(fill(FAILURES["no_weights"].text, {"model": options.model}))
        if any(map(is_truncated, shards)):
            self.fail(FAILURES["weights_truncated"].text)
        if room.weights > card_gib - 0.5:
            self.fail(fill(FAILURES["oom_load"].text, self._values(room, "oom_load")))
        self._hold(room.weights * 1024 + engine_load.CONTEXT_MIB)
        log("INFO", "default_loader.py:506", f"Loading weights took {took:.2f} seconds")
        log(
            "INFO",
            "gpu_model_runner.py:5088",
            f"Model loading took {room.weights:.2f} GiB memory and {took:.6f} seconds",
        )
        if not options.enforce_eager:
            log(
                "INFO",
                "backends.py:886",
                "Using cache directory: /root/.cache/vllm/torch_compile_cache for vLLM's torch.compile",
            )
            took = self._compile(room)
            log("INFO", "backends.py:925", f"Dynamo bytecode transform time: {took / 4:.2f} s")
            log("INFO", "monitor.py:48", f"torch.compile took {took:.2f} s in total")
        took = self.phase("profile", room)
        log("INFO", "monitor.py:92", f"Initial profiling/warmup run took {took:.2f} s")
        log("INFO", "gpu_worker.py:772", f"Available KV cache memory: {max(0.0, room.cache):.2f} GiB")
        self.phase("kv", room)
        self._refuse_what_does_not_fit(room)
        self._hold((room.weights + OVERHEAD_GIB + room.cache) * 1024)
        if options.max_model_len == -1:
            log(
                "INFO",
                "kv_cache_planning.py:1404",
                f"Auto-fit max_model_len: reduced from {model.context} to {room.context} to fit in available KV cache memory "
                f"({room.cache:.2f} GiB GPU KV cache memory)"
                if room.context < model.context
                else f"Auto-fit max_model_len: full model context length {model.context} fits in available KV cache memory "
                f"({room.cache:.2f} GiB GPU KV cache memory)",
            )
        log(
            "INFO",
            "kv_cache_utils.py:1147",
            f"GPU KV cache size: {room.tokens:,} tokens, Maximum concurrency for {room.context:,} tokens per request: "
            f"{room.tokens / room.context:.2f}x",
        )
        if not options.enforce_eager:
            took = self.phase("capture", room, _CAPTURING, 5)
            log("INFO", "gpu_model_runner.py:6516", f"Graph capturing finished in {took:.0f} secs, took 0.35 GiB")
        log(
            "INFO",
            "gpu_worker.py:1013",
            f"Free memory on device ({card_gib - 0.4:.2f}/{card_gib:.2f} GiB) on startup. Desired GPU memory utilization is "
            f"({options.gpu_memory_utilization}, {room.wanted:.2f} GiB). Actual usage is {room.weights:.2f} GiB consumed after "
            f"model loading, {OVERHEAD_GIB - 0.35:.2f} GiB for peak activation, and 0.35 GiB for CUDAGraph memory. Replace "
            f"gpu_memory_utilization config with `--kv-cache-memory={int(room.cache * GIB)}` to fit into requested memory.",
        )
        log(
            "INFO",
            "core.py:412",
            f"init engine (profile, create kv cache, warmup model) took {time.monotonic() - began:.2f} s",
        )
        return room

    def _hold(self, mib: float) -> None:
        """So much of each card, as far as there is so much."""
        card = cards()[0]
        most = int(str(card["memory_mib"])) - int(str(card.get("reserved_mib") or 0))
        self._show(min(round(mib), most))

    def _show(self, mib: int) -> None:
        """What nvidia-smi shows of it, written when that changes."""
        working = sum(request["asked"] >= engine_load.SHOWS_FROM_TOKENS for request in self.running.values())
        if (mib, working) != self.on_gpu:
            self.on_gpu = (mib, working)
            engine_load.tell(mib, self.options.tensor_parallel_size, working)

    def _refuse_what_does_not_fit(self, room: Room) -> None:
        if self.options.max_model_len == -1 and room.context <= 0:
            self.fail(FAILURES["auto_context_impossible"].text)
        if room.cache <= 0:
            self.fail(FAILURES["no_kv_room"].text)
        if room.needed > room.cache:
            self.fail(fill(FAILURES["context_too_long"].text, self._values(room, "context_too_long")))

    def _start_workers(self, ranks: int) -> None:
        """One process a card, as with tensor parallelism; a single card is worked by EngineCore itself."""
        for rank in range(ranks if ranks > 1 else 0):
            pid = os.fork()
            if pid == 0:
                die_with_parent(signal.SIGKILL)
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                become(f"Worker_TP{rank}", f"VLLM::Worker_TP{rank}")
                self.sock.close()
                while True:
                    signal.pause()
            self.workers.append(pid)

    # -- serving

    def tell(self, message: dict[str, object]) -> None:
        try:
            self.sock.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            self.end(1)

    def serve(self, room: Room) -> NoReturn:
        self.cache_tokens = room.tokens
        self.tell({"ready": {"context": room.context, "tokens": room.tokens}})
        received = b""
        last = time.monotonic()
        while True:
            readable, _, _ = select.select([self.sock], [], [], _TICK if self.running else _IDLE)
            if not self.running:
                last = time.monotonic()  # the time of waiting is nobody's
            if readable:
                data = self.sock.recv(65536)
                if not data:
                    self.end(0)
                *lines, received = (received + data).split(b"\n")
                for line in lines:
                    self._take(json.loads(line))
            self._break_if_asked()
            now = time.monotonic()
            self._generate(now - last)
            last = now
            self._watch_workers()
            if self.stop_at is not None and (not self.running or now > self.stop_at):
                log(
                    "INFO",
                    "core.py:1743",
                    "[shutdown] EngineCore: request processing complete; starting resource teardown",
                )
                log("INFO", "core.py:1573", "[shutdown] EngineCore: exiting busy loop")
                self.end(0)

    def _take(self, message: dict[str, object]) -> None:
        identifier = str(message["id"])
        if message["op"] == "add":
            self.waiting[identifier] = {
                "asked": float(str(message["tokens"])),
                "left": float(str(message["tokens"])),
                "credit": 0.0,
                "first": 1.0,
                "prompt": float(str(message["prompt"])),
            }
        else:
            self.waiting.pop(identifier, None)
            self.running.pop(identifier, None)
        self._schedule()

    def _schedule(self) -> None:
        most = self.options.max_num_seqs or 256
        full = faults.active("engine_preempts") is not None and len(self.running) + len(self.waiting) > 1
        held_back = full and time.monotonic() - self.preempted_at < _PREEMPTED_FOR
        while self.waiting and len(self.running) < most and not (held_back and self.running):
            identifier = next(iter(self.waiting))
            self.running[identifier] = self.waiting.pop(identifier)
        self._show(self.on_gpu[0])
        state = (len(self.running), len(self.waiting), self.preempted)
        if state != self.said:
            self.said = state
            held = self.cache_tokens * 0.995 if full else sum(request["prompt"] for request in self.running.values())
            self.tell({"running": state[0], "waiting": state[1], "preempted": state[2], "cache": held})

    def _preempt(self) -> None:
        """A cache that is full of those that came first: the others go back, to be computed again."""
        now = time.monotonic()
        if faults.active("engine_preempts") is None or now - self.preempted_at < _PREEMPTS_EVERY:
            return
        back = list(self.running)[(len(self.running) + 1) // 2 :]
        if back:
            self.preempted, self.preempted_at = self.preempted + len(back), now
            for identifier in back:
                self.running[identifier]["preempted"] = self.running[identifier].get("preempted", 0.0) + 1
            self.waiting = {**{identifier: self.running.pop(identifier) for identifier in back}, **self.waiting}

    def _generate(self, seconds: float) -> None:
        slow = faults.active("engine_slow") if self.running else None
        # A fault that says how long a token takes has said it.
        if self.running and slow is None:
            throttled = [*faults.every("thermal"), *faults.every("throttle")]
            seconds *= engine_load.slowed(throttled, self.options.tensor_parallel_size)
        rate = self.rate if slow is None else 1 / max(0.001, float(str(slow.get("delay") or 5)))
        for identifier, request in list(self.running.items()):
            # The prompt's own step brings one token, unless every token takes its time.
            first = request.pop("first", 0.0)
            request["credit"] += first if first and slow is None else min(seconds, 1.0) * rate
            new = int(min(request["credit"], request["left"]))
            if new:
                request["credit"] -= new
                request["left"] -= new
                done = request["left"] < 1
                if done:
                    del self.running[identifier]
                preempted = int(request.get("preempted", 0))
                self.tell({"id": identifier, "new": new, "done": done, "preempted": preempted})
        self._preempt()
        self._schedule()

    # -- how it ends

    def terminate(self, *_: object) -> None:
        """SIGTERM of the API server: at once, or when what runs is done."""
        timeout = self.options.shutdown_timeout
        mode = "drain" if timeout else "abort"
        log("INFO", "core.py:1526", "[shutdown] EngineCore: trigger received signal=SIGTERM")
        log("INFO", "core.py:1712", f"[shutdown] EngineCore: start mode={mode} timeout={timeout}s")
        if timeout and self.running:
            count = len(self.running)
            log(
                "INFO",
                "core.py:1732",
                f"[shutdown] EngineCore: draining in-flight requests count={count} timeout={timeout}s",
            )
        self.stop_at = time.monotonic() + timeout

    def die(self, text: str) -> NoReturn:
        text = traceback_text("/usr/local/lib/python3.12/dist-packages/vllm/v1/engine/core.py", text)
        log("ERROR", "core.py:1586", f"EngineCore encountered a fatal error.\n{text}")
        self.end(1)

    def _break_if_asked(self) -> None:
        crash = faults.strike("engine_crash")
        if crash is not None:
            text = "torch.AcceleratorError: CUDA error: an illegal memory access was encountered"
            self.die(str(crash.get("text") or text))
        for fault in faults.every("engine_complains"):
            if str(fault.get("id")) not in self.complained:
                self.complained.add(str(fault.get("id")))
                text = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.16 GiB."
                log("ERROR", "core.py:1498", str(fault.get("text") or text))
        if self.running and faults.strike("cuda_oom") is not None:  # memory runs out under load
            total = float(str(cards()[0]["memory_mib"])) / 1024
            self.die(fill(FAILURES["oom_load"].text, {"total": total, "used": total - 0.05}))
        if faults.strike("engine_hang") is not None:
            os.kill(os.getpid(), signal.SIGSTOP)

    def _watch_workers(self) -> None:
        for rank, pid in enumerate(self.workers):
            if os.waitpid(pid, os.WNOHANG)[0]:
                self.workers.remove(pid)
                log(
                    "ERROR",
                    "multiproc_executor.py:380",
                    f"Worker proc VllmWorker-{rank} died unexpectedly (exit code: None), shutting down executor.",
                )
                self.die("RuntimeError: Executor failed.")


def start_core(options: argparse.Namespace, model: Model) -> tuple[int, socket.socket]:
    """Fork it; its process number and our end of the socket."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid:
        theirs.close()
        return pid, ours
    try:
        ours.close()
        die_with_parent(signal.SIGKILL)
        become("EngineCore", "VLLM::EngineCore")
        core = Core(theirs, options, model)
        signal.signal(signal.SIGTERM, lambda *_: core.end(143))
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        room = core.start()
        signal.signal(signal.SIGTERM, core.terminate)
        core.serve(room)
    except BaseException as error:
        say(f"the sandbox's engine failed: {type(error).__name__}: {error}", error=True)
        raise
    finally:
        sys.stdout.flush()
        os._exit(1)
