"""Stand-in for vLLM's OpenAI-compatible server: its flags, phases, log lines, endpoints, metrics and ends, no model.

Texts are those of vLLM 0.33, since other parts read them; `tests/engine` holds this one against the real one.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import NoReturn

from .. import faults
from ..start import command
from . import args
from .answers import VERSION
from .client import Client
from .core import start_core, wanted_failure
from .endpoints import ROUTES, Handler, State
from .failures import FAILURES, fill, invalid
from .flag_names import ARCHITECTURES, KV_CACHE_DTYPES, REASONING_PARSERS, TOOL_PARSERS
from .log import log, say, traceback_text
from .memory import Model, cards, files_of, is_known_type, model_of, needs_newer_card
from .metrics import Metrics

_ENTRY = "/usr/local/lib/python3.12/dist-packages/vllm/entrypoints/launchers/api_server/entry.py"
# How long a dead engine goes unnoticed when nobody asks it anything.
_WATCHDOG_SECONDS = 1.0


def refuse(text: str, code: int = 1) -> NoReturn:
    """An error of the API server's own process, as a traceback ends."""
    say(text if code == 2 else traceback_text(_ENTRY, text), error=True)
    raise SystemExit(code)


def checked(options: argparse.Namespace) -> Model:
    """What the configuration already refuses, in vLLM's order; the model when all is well."""
    if options.enable_auto_tool_choice and not options.tool_call_parser:
        refuse("TypeError: Error: --enable-auto-tool-choice requires --tool-call-parser")
    if options.tool_call_parser and options.tool_call_parser not in TOOL_PARSERS:
        names = ",".join(TOOL_PARSERS)
        refuse(f"KeyError: 'invalid tool call parser: {options.tool_call_parser} (chose from {{ {names} }})'")
    failure = wanted_failure("config", options)
    if failure is not None:
        values = {
            "model": options.model,
            "tp": options.tensor_parallel_size,
            "cc": str(cards()[0]["cc"]).replace(".", ""),
            "architecture": "FooBarForCausalLM",
            "model_type": "qwen99",
        }
        refuse(fill(failure[1].text, values), failure[1].code)
    model = model_of(options.model)
    if not Path(options.model).is_dir() and options.model.count("/") > 1:
        refuse(
            "huggingface_hub.errors.HFValidationError: Repo id must be in the form 'repo_name' or 'namespace/repo_name': "
            f"'{options.model}'. Use `repo_type` argument if needed."
        )
    if os.environ.get("HF_HUB_OFFLINE") == "1" and files_of(options.model, options.revision) is None:
        refuse(FAILURES["weights_missing"].text)
    if model is None:
        refuse(fill(FAILURES["repo_not_found"].text, {"model": options.model}))
    if not is_known_type(model.kind):
        refuse(fill(FAILURES["unknown_model_type"].text, {"model_type": model.kind}))
    if model.architecture not in ARCHITECTURES:
        refuse(fill(FAILURES["unknown_architecture"].text, {"architecture": model.architecture}))
    capability = str(cards()[0]["cc"])
    if needs_newer_card(options.model, capability):
        refuse(fill(FAILURES["quantization_needs_newer_gpu"].text, {"cc": capability.replace(".", "")}))
    log("INFO", "model.py:744", f"Resolved architecture: {model.architecture}")
    context = options.max_model_len or model.context
    if (
        options.max_model_len
        and options.max_model_len > model.context
        and (Path(options.model) / "config.json").is_file()
    ):
        refuse(
            invalid(
                "ModelConfig",
                f"User-specified max_model_len ({options.max_model_len}) is greater than the derived max_model_len "
                f"(max_position_embeddings={float(model.context)} or model_max_length=None in model's config.json). To allow "
                "overriding this maximum, set the env var VLLM_ALLOW_LONG_MAX_MODEL_LEN=1.",
            )
        )
    log("INFO", "model.py:2170", f"Using max model len {context}")
    if options.kv_cache_dtype not in KV_CACHE_DTYPES:
        text = f"Invalid kv_cache_dtype: {options.kv_cache_dtype!r}. Valid values are: {KV_CACHE_DTYPES}"
        refuse(invalid("CacheConfig", text, field="cache_dtype", given=options.kv_cache_dtype))
    available = len(cards())
    if options.tensor_parallel_size > available:
        refuse(
            invalid(
                "ParallelConfig",
                f"World size ({options.tensor_parallel_size}) is larger than the number of available GPUs ({available}) in this "
                "node. If this is intentional and you are using:\n- ray, set '--distributed-executor-backend ray'.\n"
                "- multiprocessing, set '--nnodes' appropriately.",
            )
        )
    if options.reasoning_parser and options.reasoning_parser not in REASONING_PARSERS:
        names = ", ".join(REASONING_PARSERS)
        refuse(f"KeyError: \"Reasoning parser '{options.reasoning_parser}' not found. Available parsers: {names}\"")
    return model


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: tuple[str, int]
    ) -> None:
        log("ERROR", "launcher.py:330", f"a request of {client_address[0]} failed: {sys.exc_info()[1]!r}")


def bound(options: argparse.Namespace) -> Server:
    """The socket is taken at once and listens only when the engine is ready."""
    squat_if_asked(options)
    server = Server((options.host or "0.0.0.0", options.port), Handler, bind_and_activate=False)
    try:
        server.server_bind()
    except OSError as error:
        refuse(f"OSError: [Errno {error.errno}] {error.strerror}")
    return server


def squat_if_asked(options: argparse.Namespace) -> None:
    """The fault `port_taken`: another program holds the port until the fault is cleared."""
    if faults.active("port_taken") is None:
        return
    squatter = socket.socket()
    with contextlib.suppress(OSError):
        squatter.bind((options.host or "0.0.0.0", options.port))
        squatter.listen()
        nothing = subprocess.DEVNULL
        subprocess.Popen(
            command("engine.squatter"),
            stdin=nothing,
            stdout=nothing,
            stderr=nothing,
            pass_fds=(squatter.fileno(),),
            start_new_session=True,
        )
    squatter.close()


def _banner(options: argparse.Namespace) -> None:
    for line in ("", "       █     █     █▄   ▄█", f" ▄▄ ▄█ █     █     █ ▀▄▀ █  version {VERSION}"):
        log("INFO", "startup.py:38", line)
    log("INFO", "startup.py:38", f"  █▄█▀ █     █     █     █  model   {options.model}")
    log("INFO", "startup.py:96", f"non-default args: {args.non_default(options)}")


def main(arguments: list[str]) -> int:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt("terminated")

    signal.signal(signal.SIGTERM, interrupt)
    try:
        options = args.parse(arguments)
    except (OSError, ValueError) as error:
        refuse(f"{type(error).__name__}: {error}")
    _banner(options)
    server = bound(options)
    model = checked(options)
    pid, sock = start_core(options, model)
    metrics = Metrics((options.served_model_name or [options.model])[0])
    client = Client(pid, sock, options, metrics)
    try:
        if not client.wait_ready():
            where = "/usr/local/lib/python3.12/dist-packages/vllm/v1/engine/utils.py"
            text = "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"
            say(traceback_text(where, text), error=True)
            return 1
        return serve(server, State(options, client, _keys(options), model.images))
    except KeyboardInterrupt:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        say(traceback_text(_ENTRY, "KeyboardInterrupt: terminated"), error=True)
        return 143


def _keys(options: argparse.Namespace) -> list[str]:
    key = os.environ.get("VLLM_API_KEY")
    return list(options.api_key or ([key] if key else []))


def serve(server: Server, state: State) -> int:
    """Until SIGTERM or the engine's death; 0 in both cases, as vLLM has it."""
    asked = threading.Event()

    def trigger(*_: object) -> None:
        if not asked.is_set():
            log("INFO", "launcher.py:256", "[shutdown] API server: shutdown triggered")
        asked.set()

    Handler.state = state
    log("INFO", "entry.py:135", "Supported tasks: ['generate']")
    log(
        "INFO", "entry.py:139", f"Starting vLLM server on http://{state.options.host or '0.0.0.0'}:{state.options.port}"
    )
    log("INFO", "launcher.py:188", "Available routes are:")
    for path, methods in ROUTES.items():
        log("INFO", "launcher.py:197", f"Route: {path}, Methods: {methods}")
    signal.signal(signal.SIGTERM, trigger)
    signal.signal(signal.SIGINT, trigger)
    server.server_activate()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
    say(f"INFO:     Started server process [{os.getpid()}]", error=True)
    say("INFO:     Waiting for application startup.", error=True)
    say("INFO:     Application startup complete.", error=True)
    while not asked.is_set() and not state.client.failed.wait(0.1):
        pass
    if asked.is_set():
        state.client.stop(state.options.shutdown_timeout)
        log("INFO", "launcher.py:284", "[shutdown] API server: signalling HTTP server shutdown")
        log("INFO", "launcher.py:306", "[shutdown] API server: shutting down FastAPI HTTP server")
    elif not state.open:
        time.sleep(_WATCHDOG_SECONDS)
    say("INFO:     Shutting down", error=True)
    server.shutdown()
    server.server_close()
    if state.open:
        say("INFO:     Waiting for connections to close. (CTRL+C to force quit)", error=True)
    while state.open:
        time.sleep(0.05)
    say("INFO:     Waiting for application shutdown.", error=True)
    say("INFO:     Application shutdown complete.", error=True)
    say(f"INFO:     Finished server process [{os.getpid()}]", error=True)
    return 0
