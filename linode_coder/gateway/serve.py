"""The gateway from its start to its end: one for a home, at one port of the loopback."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from aiohttp import web
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.file_lock import open_lock, take

from ..settings.config import Config
from .app import Gateway, Patience
from .command import Command
from .key import gateway_key, key_file
from .known import Directory
from .limits import Limits
from .session import House
from .upstream import make_client
from .wakes import gateway_dir

# Seconds: for answers that have begun, when it is to stop; and for an `up` that is interrupted, which says what still bills.
GRACE_S, UP_ENDS_S = 10.0, 60.0
# For the last words of streams after that.
_WORDS_S = 3.0

Tell = Callable[[str, dict[str, Any]], None]


def one_for_this_home() -> int:
    """The descriptor of a lock that is held until it is closed. Failure(conflict) when another gateway has it."""
    path = gateway_dir() / "lock"
    try:
        file = open_lock(path)
    except OSError as error:
        raise Failure(
            "config",
            f"{path} cannot be made, which the gateway needs.",
            cause=error.strerror,
            remedy="Name a home that can be written: export LINODE_CODER_HOME=DIRECTORY",
        ) from error
    if take(file, 0):
        return file
    who = os.pread(file, 100, 0).decode("ascii", "replace").strip()
    os.close(file)
    pid, _space, port = who.partition(" ")
    at = f" (process {pid}, port {port})" if pid.isdigit() and port.isdigit() else ""
    raise Failure(
        "conflict",
        f"A gateway of this home runs already{at}.",
        remedy="Use that one, or stop it first.",
        field="gateway",
    )


def listen(port: int) -> socket.socket:
    """Bound to the loopback alone. Failure(conflict) when another program has the port."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise Failure(
            "conflict",
            f"Port {port} of this machine cannot be listened on.",
            cause=os.strerror(error.errno) if error.errno else str(error),
            remedy="Choose another one: linode-coder gateway --port N, or `port` under [gateway] in config.toml.",
            field="port",
            value=port,
        ) from error
    listener.listen(128)
    return listener


def serve(
    config: Config,
    port: int,
    program: Sequence[str],
    look: Callable[[], list[dict[str, Any]]],
    tell: Tell,
    patience: Patience | None = None,
) -> None:
    """Until SIGTERM or Ctrl-C. ``program`` are the words that start linode-coder, ``look`` asks for all sessions."""
    key = gateway_key()
    lock = one_for_this_home()
    try:
        listener = listen(port)
        held = listener.getsockname()[1]
        with suppress(OSError):
            os.truncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()} {held}\n".encode(), 0)
        asyncio.run(_run(config, key, listener, program, look, tell, patience or Patience()))
    finally:
        os.close(lock)


async def start(gateway: Gateway, listener: socket.socket) -> web.AppRunner:
    """Answer at the socket; the end is the runner's `cleanup`, which lets answers that have begun come to theirs."""
    # Whoever goes away needs no answer any more, so the engine need not go on with it.
    runner = web.AppRunner(
        gateway.app(), handler_cancellation=True, access_log=None, shutdown_timeout=GRACE_S + _WORDS_S
    )
    await runner.setup()
    await web.SockSite(runner, listener).start()
    return runner


async def _run(
    config: Config,
    key: str,
    listener: socket.socket,
    program: Sequence[str],
    look: Callable[[], list[dict[str, Any]]],
    tell: Tell,
    patience: Patience,
) -> None:
    command, port = Command(program), listener.getsockname()[1]
    async with make_client() as client:
        house = House(command, client, Directory(look, config.gateway_sessions), Limits.of(config), config.cap, tell)
        gateway = Gateway(house, key, port, patience)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        runner = await start(gateway, listener)
        known = (await gateway.status())["sessions"]
        tell(
            f"The gateway is at http://127.0.0.1:{port}/v1, its key in {key_file()}.",
            {"event": "started", "port": port, "api_key_file": str(key_file()), "sessions": known},
        )
        for row in known:
            models = f": {', '.join(row['models'])}" if row["models"] else ""
            tell(f"{row['session']} ({row['state']}){models}", {})
        await stop.wait()
        tell("Stopping.", {"event": "stopping"})
        await end(gateway, runner)


async def end(gateway: Gateway, runner: web.AppRunner) -> None:
    """Take nothing new, let answers that have begun come to their end or be told of it, and end what runs for them."""
    command = gateway.house.command
    gateway.house.stopping.set()
    command.interrupt()
    asyncio.get_running_loop().call_later(GRACE_S, gateway.ending.set)
    await runner.cleanup()
    await _end_of_ups(gateway, command)


async def _end_of_ups(gateway: Gateway, command: Command) -> None:
    """An `up` that was interrupted says what still bills."""
    making = [session.ready() for session in gateway.sessions.values() if session.progress is not None]
    if not making:
        return
    _done, late = await asyncio.wait(making, timeout=UP_ENDS_S)
    if late:
        command.kill()
        await asyncio.wait(late, timeout=5)
