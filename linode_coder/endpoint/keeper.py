"""What keepers of a local port do alike: one alone is a keeper, holds the port, runs a program for as long as it lives, and ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import IO, Any, Protocol, TypeVar

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.file_lock import take

from .tunnel_files import State, Target, keeper_file, read_target, state_file, write

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
# One that lived for so long was no part of a series of failures.
STEADY_S = 10.0
# Of the environment, what the program has no use for.
_SECRETS = ("TOKEN", "SECRET", "PASSWORD", "API_KEY")

Log = Callable[[str], None]


class Ended(Exception):
    """Why nothing is kept any more."""


class Kept(Protocol):
    state: State


K = TypeVar("K", bound=Kept)


def pauses() -> Callable[[float], float]:
    """From how long the last program lived, in seconds, to how long to wait before the next."""
    following = FIRST_PAUSE

    def after(lived: float) -> float:
        nonlocal following
        pause = FIRST_PAUSE if lived >= STEADY_S else following
        following = min(pause * 2, LONGEST_PAUSE)
        return pause

    return after


def environment() -> dict[str, str]:
    """Of the program."""
    return {key: value for key, value in os.environ.items() if not any(word in key for word in _SECRETS)}


async def stop_program(process: asyncio.subprocess.Process | None, patience: float) -> None:
    """It may be stopped, or wait for a network that is gone: after ``patience`` seconds it is killed."""
    if process is None or process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), patience)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def claim(name: str, lock: IO[str]) -> bool:
    """Say in the lock file who holds it, also when somebody damaged that; False when another file is there now, or none."""
    own = str(os.getpid())
    try:
        if not os.path.samestat(keeper_file(name).stat(), os.fstat(lock.fileno())):
            return False
    except OSError:
        return False
    lock.seek(0)
    if lock.read() != own:
        lock.seek(0)
        lock.truncate()
        lock.write(own)
        lock.flush()
    return True


def hear_signals(look: asyncio.Event) -> asyncio.Event:
    """SIGTERM and SIGINT set what is returned, SIGUSR1 sets ``look``; a terminal that closes ends nothing."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    loop.add_signal_handler(signal.SIGUSR1, look.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    return stopped


async def work_until_one_ends(*works: Awaitable[object]) -> BaseException | None:
    """The error of the first that ends, or None; the others are cancelled."""
    tasks = [asyncio.ensure_future(work) for work in works]
    done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
    return next((error for task in done if not task.cancelled() and (error := task.exception())), None)


def keep(
    name: str,
    what: Callable[[Target], str],
    make: Callable[[Target, IO[str], Log], K | None],
    run: Callable[[K, socket.socket], Coroutine[Any, Any, str]],
) -> int:
    """Hold the port of ``name`` until ``run`` ends; the exit status. ``make`` gives None where something is missing."""
    lock = keeper_file(name).open("a+", errors="replace")
    if not take(lock.fileno(), 0):
        return 3
    claim(name, lock)

    def log(text: str) -> None:
        print(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), text, file=sys.stderr, flush=True)

    target = read_target(name)
    keeper = None if target is None else make(target, lock, log)
    if target is None or keeper is None:
        return 4
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", target["port"]))
    except OSError as error:
        log(f"port {target['port']}: {error.strerror}")
        return 5
    listener.listen(128)
    write(state_file(name), keeper.state)
    log(f"keeping port {target['port']} for {what(target)}")
    why = asyncio.run(run(keeper, listener))
    log(f"ended: {why}")
    return 0
