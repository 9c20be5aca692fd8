"""Keeps the tunnel of one session: python -m linode_coder.endpoint.tunnel_keeper NAME.

It holds the local port for as long as it lives, so that nobody else can take it while ssh is down, and passes connections on to
a socket of ssh in a directory that only its owner enters. An ssh that ends is started again, with longer and longer pauses. What
it does is in tunnel.log, how the tunnel is in tunnel-state.json.

SIGTERM ends it; SIGUSR1 makes it look at once whether the tunnel works.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from typing import IO

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.file_lock import take

from ..terminal.escapes import last_line
from .tunnel_files import State, Target, keeper_file, read_target, runtime_path, state_file, target_file, write

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
# One that lived for so long was no part of a series of failures.
STEADY_S = 10.0
TICK_S = 2.0
# More than a busy machine takes for a tick: it slept, or this process was stopped.
JUMP_S = 6.0
PROBE_S = 5.0
CONNECT_S = 60.0
# How long a request waits for a tunnel that is down.
PATIENCE_S = 30.0
GIVE_UP_S = 24 * 3600.0
# The account is asked whether the VM is still there after so many failures, and whenever so many more have followed.
ASK_FIRST, ASK_AGAIN = 4, 10
# Of the environment, what ssh has no use for.
_SECRETS = ("TOKEN", "SECRET", "PASSWORD", "API_KEY")


def pauses() -> Callable[[float], float]:
    """From how long the last ssh lived, in seconds, to how long to wait before the next."""
    following = FIRST_PAUSE

    def after(lived: float) -> float:
        nonlocal following
        pause = FIRST_PAUSE if lived >= STEADY_S else following
        following = min(pause * 2, LONGEST_PAUSE)
        return pause

    return after


def slept(wall: float, monotonic: float) -> bool:
    """Whether a tick of these lengths by the two clocks was one during which nothing ran."""
    return wall - TICK_S > JUMP_S or monotonic - TICK_S > JUMP_S


class Ended(Exception):
    """Why nothing is kept any more."""


class Keeper:
    """``connect`` is the argv of ssh; ``lock`` is the file that makes it the only one."""

    def __init__(
        self, name: str, target: Target, connect: list[str], lock: IO[str], log: Callable[[str], None]
    ) -> None:
        self.name, self.target, self.connect, self.lock, self.log = name, target, connect, lock, log
        self.socket = runtime_path(name, "fwd")
        self.state = State(
            up=False,
            since=time.time(),
            why=None,
            down_s=None,
            host_key=False,
            looks=0,
            ssh=None,
            linode_id=target["linode_id"],
        )
        self.is_up = asyncio.Event()
        self.look = asyncio.Event()
        self.process: asyncio.subprocess.Process | None = None
        self.reason: str | None = None
        self.was_up = False

    def say(self, up: bool, why: str | None = None, host_key: bool = False) -> None:
        """Write how it is; since when changes only when that does."""
        state, now = self.state, time.time()
        if up and not state["up"]:
            state["down_s"] = now - state["since"] if state["why"] else None
        if up != state["up"]:
            state["since"] = now
        if not up:
            state["why"], state["host_key"] = why, host_key
        state["up"], state["ssh"] = up, self.process.pid if up and self.process else None
        write(state_file(self.name), state)
        (self.is_up.set if up else self.is_up.clear)()

    def looked(self) -> None:
        self.state["looks"] += 1
        write(state_file(self.name), self.state)

    async def start(self) -> str | None:
        """Start ssh; why it failed, None when the tunnel is up."""
        self.socket.unlink(missing_ok=True)
        runtime_path(self.name, "sock").unlink(missing_ok=True)
        environment = {key: value for key, value in os.environ.items() if not any(word in key for word in _SECRETS)}
        self.process = await asyncio.create_subprocess_exec(
            *self.connect,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
        )
        self.stderr = asyncio.create_task(self._last_line())
        deadline = time.monotonic() + CONNECT_S
        # ssh makes it when it is connected and its own listening has succeeded.
        while not self.socket.exists():
            if self.process.returncode is not None:
                return await self.stderr
            if time.monotonic() > deadline:
                await self.stop()
                return f"no connection within {CONNECT_S:.0f} s"
            await asyncio.sleep(0.05)
        return None

    async def _last_line(self) -> str:
        assert self.process is not None and self.process.stderr is not None
        end = b""
        # The VM may have a banner of any length.
        while part := await self.process.stderr.read(4096):
            end = (end + part)[-4096:]
        # Somebody else's, for a log and a terminal.
        last = "".join(char if char.isprintable() else "?" for char in last_line(end.decode(errors="replace")))[:300]
        code = await self.process.wait()
        return last or (f"ssh was ended by signal {-code}" if code < 0 else f"ssh ended with status {code}")

    async def stop(self) -> None:
        if self.process is None or self.process.returncode is not None:
            return
        # It may be stopped, or wait for a network that is gone.
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), 2)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()

    async def answers(self) -> bool:
        """Whether anything comes back through the tunnel: the proxy refuses this itself, whatever the engine does."""
        try:
            async with asyncio.timeout(PROBE_S):
                reader, writer = await asyncio.open_unix_connection(str(self.socket))
                try:
                    writer.write(b"GET / HTTP/1.0\r\n\r\n")
                    await writer.drain()
                    # An end is an answer as well: the VM's ssh server says that nobody listens there.
                    await reader.read(1)
                finally:
                    writer.close()
        except (TimeoutError, OSError):
            return False
        return True

    async def keep(self) -> None:
        """Until Ended is raised."""
        pause_after, failures = pauses(), 0
        while True:
            began = time.monotonic()
            why = await self.start()
            if why is None:
                failures, self.was_up, self.reason = 0, True, None
                self.log(f"up, ssh is process {self.process.pid if self.process else None}")
                self.say(True)
                if self.look.is_set():
                    self.look.clear()
                    self.looked()
                why = await self.until_lost()
                self.say(False, why)
                self.log(f"down: {why}")
                lived = time.monotonic() - began
            else:
                lived, failures = 0.0, failures + 1
                self.say(False, why, "host key verification failed" in why.lower())
                self.log(f"not up: {why}")
                # Whoever started this waits for it, and says why.
                if not self.was_up:
                    raise Ended(why)
                if self.look.is_set():
                    self.look.clear()
                    self.looked()
                await self.ask(failures)
            if time.time() - self.state["since"] > GIVE_UP_S:
                raise Ended("down for too long")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.look.wait(), pause_after(lived))

    async def ask(self, failures: int) -> None:
        """End when the VM is gone; whoever cannot be asked has not said that."""
        if (
            failures >= ASK_FIRST
            and (failures - ASK_FIRST) % ASK_AGAIN == 0
            and await asyncio.to_thread(vm_is_gone, self.target)
        ):
            raise Ended("the VM is gone")

    async def until_lost(self) -> str:
        """Why the tunnel is down again."""
        assert self.process is not None
        ended = asyncio.create_task(self.process.wait())
        while True:
            waiting = asyncio.create_task(self.look.wait())
            await asyncio.wait({ended, waiting}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if ended.done():
                return await self.stderr
            if await self.answers():
                self.reason = None
                self.look.clear()
                self.looked()
            elif not ended.done():
                await self.stop()
                why, self.reason = self.reason, None
                # Still to be looked at: the next ssh is started without a pause.
                return why or f"no answer through the tunnel within {PROBE_S:.0f} s"

    async def watch_clocks(self) -> None:
        """Look at the tunnel when the machine has slept or this was stopped; end when nothing is wanted any more."""
        while True:
            wall, monotonic = time.time(), time.monotonic()
            await asyncio.sleep(TICK_S)
            wanted = read_target(self.name)
            if not claim(self.name, self.lock) or (wanted is None and not target_file(self.name).exists()):
                raise Ended("the session's files are gone")
            if wanted is not None and wanted["linode_id"] != self.target["linode_id"]:
                raise Ended("the session has another VM now")
            if slept(time.time() - wall, time.monotonic() - monotonic):
                self.log("time has jumped: the machine slept, or this was stopped")
                self.reason = "no answer through the tunnel after the machine slept"
                self.look.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a client; while the tunnel is down it waits for a while."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self.is_up.wait()
                there, towards = await asyncio.open_unix_connection(str(self.socket))
        except (TimeoutError, OSError):
            writer.close()
            return
        await asyncio.gather(pump(reader, towards), pump(there, writer))
        for end in (towards, writer):
            end.close()


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


async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Pass on what comes as it comes, and its end."""
    try:
        while data := await source.read(1 << 16):
            sink.write(data)
            await sink.drain()
        if sink.can_write_eof():
            sink.write_eof()
    except OSError:
        # Half a connection is none: the other direction ends too.
        sink.close()


async def run(keeper: Keeper, listener: socket.socket) -> str:
    """Keep until the end; why it came."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    loop.add_signal_handler(signal.SIGUSR1, keeper.look.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    server = await asyncio.start_server(keeper.serve, sock=listener)
    works: list[Awaitable[object]] = [keeper.keep(), keeper.watch_clocks(), stopped.wait()]
    tasks = [asyncio.ensure_future(work) for work in works]
    done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
    server.close()
    await keeper.stop()
    keeper.socket.unlink(missing_ok=True)
    failed = [error for task in done if not task.cancelled() and (error := task.exception())]
    if failed and not isinstance(failed[0], Ended):
        raise failed[0]
    if failed and keeper_file(keeper.name).exists():
        keeper.say(False, str(failed[0]), keeper.state["host_key"])
    return str(failed[0]) if failed else "closed"


def vm_is_gone(target: Target) -> bool:
    """Whether the account says that there is no such VM."""
    from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure

    from ..api import LinodeReader
    from ..local.sessions import all_sessions

    try:
        return target["linode_id"] not in {view["linode_id"] for view in all_sessions(LinodeReader())}
    except (Failure, OSError):
        return False


def main(name: str) -> int:
    from .tunnel import tunnel_command

    lock = keeper_file(name).open("a+", errors="replace")
    if not take(lock.fileno(), 0):
        return 3
    claim(name, lock)
    target = read_target(name)
    if target is None:
        return 4

    def log(text: str) -> None:
        print(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), text, file=sys.stderr, flush=True)

    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", target["port"]))
    except OSError as error:
        log(f"port {target['port']}: {error.strerror}")
        return 5
    listener.listen(128)
    keeper = Keeper(name, target, tunnel_command(name, target), lock, log)
    write(state_file(name), keeper.state)
    log(f"keeping port {target['port']} for linode {target['linode_id']}")
    why = asyncio.run(run(keeper, listener))
    log(f"ended: {why}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
