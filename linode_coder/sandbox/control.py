"""Starting, asking and stopping the sandbox's server from outside."""

from __future__ import annotations

import asyncio
import http.client
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import sandbox_dir

from .own_token import TOKEN

# The smallest of the real engine's models.
TINY = "sandbox/tiny-coder-1m"


def record() -> dict[str, Any] | None:
    """What the running server wrote of itself; None when none runs (a record left by a killed one does not count)."""
    path = sandbox_dir() / "server.json"
    if not path.exists():
        return None
    facts: dict[str, Any] = json.loads(path.read_text())
    return facts if _alive(facts["pid"]) else None


def _alive(pid: int) -> bool:
    """Whether this process is a sandbox server; a number given to another one since does not count."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return b"linode_coder.sandbox.server" in command


def running() -> dict[str, Any]:
    facts = record()
    if facts is None:
        raise Failure("not_found", "No sandbox is running.", remedy="Start one: linode-coder sandbox start")
    return facts


def call(method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Ask the running server."""
    url = urlsplit(running()["url"])
    connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=30)
    try:
        connection.request(method, "/_sandbox/" + path, json.dumps(body) if body else None)
        answer = connection.getresponse()
        data: dict[str, Any] = json.loads(answer.read())
    except OSError as error:
        raise Failure(
            "unhealthy",
            "The sandbox does not answer.",
            cause=str(error),
            remedy=f"See {sandbox_dir() / 'server.log'}; stop it and start it again.",
        ) from error
    finally:
        connection.close()
    if answer.status >= 400:
        raise Failure(
            "usage",
            f"The sandbox refuses this: {data['error'].rstrip('.')}.",
            remedy="See: linode-coder sandbox fault list",
        )
    return data


def start(
    hosts: str,
    engine: str,
    port: int = 0,
    seed_instances: int = 0,
    timing: str = "quick",
    rate_limits: str = "recorded",
    guest_seconds: dict[str, float] | None = None,
    say: Callable[[str, str], None] = lambda _step, _detail: None,
) -> tuple[dict[str, Any], bool]:
    """The server's record, and whether this call started it. Returns when it answers.

    ``guest_seconds`` says how long new hosts need for an engine's image, its weights and its start (image, weights, engine).
    `say` hears what step of installing the real vLLM is at, the first time that `engine` is vllm.
    """
    already = record()
    if already is not None:
        wanted = {
            "hosts": hosts,
            "engine": engine,
            "timing": timing,
            "rate_limits": rate_limits,
            "seed_instances": seed_instances,
        }
        if port:
            wanted["port"] = port
        other = ", ".join(f"{name} {already[name]}" for name, value in wanted.items() if already[name] != value)
        if other:
            raise Failure(
                "conflict",
                f"A sandbox with other options is running: {other.replace('_', ' ')}.",
                remedy="Stop it first: linode-coder sandbox stop",
            )
        return already, False
    missing = [name for name in ("aiohttp", "asyncssh") if importlib.util.find_spec(name) is None]
    if missing:
        raise Failure(
            "config",
            f"The sandbox needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed.",
            remedy="Install the sandbox's extra: pip install 'linode-coder[sandbox]'",
        )
    from .engine import engine_setup

    directory = sandbox_dir()
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    config, binds = engine_setup(engine, hosts, say)
    config["seconds"] = guest_seconds or {}
    previous = directory / "port"
    if port == 0 and previous.exists():
        port = _still_free(int(previous.read_text()))
    options = {
        "directory": str(directory),
        "hosts": hosts,
        "engine": engine,
        "engine_config": config,
        "engine_binds": binds,
        "port": port,
        "seed_instances": seed_instances,
        "timing": timing,
        "rate_limits": rate_limits,
    }
    log_path = directory / "server.log"
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "linode_coder.sandbox.server", json.dumps(options)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd="/",
            start_new_session=True,
        )
    stdout = process.stdout
    if stdout is None:
        raise RuntimeError("the server's standard output is a pipe")
    with stdout:
        try:
            line = stdout.readline().decode().strip()
        except BaseException:
            # Whoever is interrupted here does not know yet what it would have to stop.
            process.terminate()
            process.wait()
            raise
    if line != "ready":
        process.wait()
        said = {"message": "The sandbox could not be started.", "remedy": f"See {log_path}."}
        if line.startswith("{"):
            said = json.loads(line)
        raise Failure("config", said["message"], remedy=said["remedy"])
    facts = record()
    if facts is None:
        raise Failure("internal", "The sandbox went away as soon as it was ready.", remedy=f"See {log_path}.")
    previous.write_text(str(facts["port"]))
    return facts, True


def _still_free(port: int) -> int:
    """The port of the last time, else 0: find another. A server that was just killed needs a moment to let go of it."""
    for _ in range(20):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                time.sleep(0.05)
            else:
                return port
    return 0


def stop() -> bool:
    """Whether there was one to stop. Returns when its process is gone, and the tunnels to its hosts are closed."""
    from ..endpoint.tunnel import close_local

    close_local()
    facts = record()
    if facts is None:
        return _stop_docker_hosts()
    os.kill(facts["pid"], signal.SIGTERM)
    deadline = time.monotonic() + 30
    while _alive(facts["pid"]):
        if time.monotonic() > deadline:
            os.kill(facts["pid"], signal.SIGKILL)
        time.sleep(0.05)
    _stop_docker_hosts()
    return True


def _stop_docker_hosts() -> bool:
    """Containers outlive a server that was killed: whether there were any to stop."""
    directory = sandbox_dir() / "docker-hosts"
    if not directory.exists():
        return False
    from .hosts.docker_hosts import stop_leftovers

    return asyncio.run(stop_leftovers(directory))


def environment(facts: dict[str, Any]) -> dict[str, str]:
    """What points our commands and foreign clients at this sandbox."""
    host = f"127.0.0.1:{facts['port']}"
    exports = {
        "LINODE_TOKEN": TOKEN,
        "LINODE_API_TOKEN": TOKEN,
        "LINODE_API_URL": f"http://{host}/",
        "LINODE_URL": f"http://{host}",
        "LINODE_CLI_TOKEN": TOKEN,
        "LINODE_CLI_API_HOST": host,
        "LINODE_CLI_API_SCHEME": "http",
        "LINODE_CLI_API_VERSION": "v4",
        "LINODE_CLI_SUPPRESS_VERSION_WARNING": "1",
    }
    if facts["ssh_port"] != 22:
        exports["LINODE_CODER_SSH_PORT"] = str(facts["ssh_port"])
    if facts["engine"] == "vllm":
        # Its hub has the tiny models and no others: what `up` would choose could not be fetched, by a VM that bills.
        exports["LINODE_CODER_MODEL"] = TINY
    return exports
