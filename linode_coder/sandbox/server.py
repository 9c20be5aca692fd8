"""The sandbox's one process: API, metadata and hosts.

``python -m linode_coder.sandbox.server OPTIONS_JSON``; says "ready" on standard output once it answers, or one JSON
line with what keeps it from working.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from aiohttp import web

from .api.app import new_app, serve_api
from .api.controls import control_routes
from .api.instances import seed
from .api.metadata import metadata_app
from .api.sandbox import Sandbox
from .errors import SandboxError
from .hosts.base import HostBackend
from .hosts.none import NoHosts

if TYPE_CHECKING:
    from .hosts.docker_hosts import DockerHosts
    from .hosts.simulated import SimulatedHosts


async def serve(options: dict[str, Any]) -> None:
    directory = Path(options["directory"])
    with (directory / "lock").open("w") as lock:
        await _only_one(lock)
        await _serve(directory, options)


async def _only_one(lock: TextIO) -> None:
    """Hold the directory; a server that was just killed needs a moment to let go of it."""
    for _ in range(100):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            return
    raise SandboxError("Another sandbox server uses the same directory.", "Stop it: linode-coder sandbox stop")


async def _serve(directory: Path, options: dict[str, Any]) -> None:
    sandbox = Sandbox(
        path=directory / "state.sqlite",
        profile=options["timing"],
        rate_limits=options.get("rate_limits", "recorded"),
    )
    hosts: HostBackend
    if options["hosts"] == "none":
        hosts = NoHosts()
    else:
        backend: type[SimulatedHosts] | type[DockerHosts]
        if options["hosts"] == "docker":
            from .hosts.docker_hosts import DockerHosts as backend
        else:  # brings asyncssh, which the others do not need
            from .hosts.simulated import SimulatedHosts as backend
        hosts = backend(
            directory / ("docker-hosts" if options["hosts"] == "docker" else "hosts"),
            lambda instance_id: metadata_app(sandbox, instance_id),
            options["engine_config"],
            options["engine_binds"],
        )
    sandbox.backend = hosts
    await hosts.start()
    try:
        await _answer(directory, options, sandbox)
    finally:
        await sandbox.lifecycle.stop()
        await hosts.close()
        sandbox.store.close()
        (directory / "server.json").unlink(missing_ok=True)


async def _answer(directory: Path, options: dict[str, Any], sandbox: Sandbox) -> None:
    await sandbox.lifecycle.resume()
    seed(sandbox, options["seed_instances"])
    app = new_app()
    stopping = asyncio.Event()
    facts = {
        "pid": os.getpid(),
        "url": "",
        "hosts": options["hosts"],
        "engine": options["engine"],
        "timing": options["timing"],
        "rate_limits": options.get("rate_limits", "recorded"),
        "seed_instances": options["seed_instances"],
        "guest_seconds": options["engine_config"]["seconds"],
        "ssh_port": sandbox.backend.ssh_port,
        "started": int(time.time()),
    }
    control_routes(app, sandbox, stopping, facts)
    serve_api(app, sandbox)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", options["port"])
    try:
        await site.start()
    except OSError as error:
        raise SandboxError(
            f"Port {options['port']} cannot be used: {error.strerror}.", "Choose another one with --port."
        ) from error
    port = runner.addresses[0][1]
    facts.update(port=port, url=f"http://127.0.0.1:{port}/")
    record = directory / "server.json"
    record.with_suffix(".new").write_text(json.dumps(facts))
    record.with_suffix(".new").replace(record)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    print("ready", flush=True)
    os.dup2(2, 1)
    await stopping.wait()
    await runner.cleanup()


def main() -> None:
    options = json.loads(sys.argv[1])
    try:
        asyncio.run(serve(options))
    except SandboxError as error:
        print(json.dumps({"message": error.message, "remedy": error.remedy}), flush=True)
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
