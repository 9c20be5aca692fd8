"""Keeps the tunnel of one session: python -m linode_coder.endpoint.tunnel_keeper NAME.

It holds the local port for as long as it lives, so that nobody else can take it while ssh is down, and passes connections on to
a socket of ssh in a directory that only its owner enters. An ssh that ends is started again, with longer and longer pauses. What
it does is in tunnel.log, how the tunnel is in tunnel-state.json.

SIGTERM ends it; SIGUSR1 makes it look at once whether the tunnel works.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import time
from typing import IO

from ..terminal.escapes import last_line
from .keeper import Ended, Log, claim, environment, hear_signals, keep, pauses, stop_program, work_until_one_ends
from .tunnel_files import State, Target, keeper_file, read_target, runtime_path, state_file, target_file, write

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


def slept(wall: float, monotonic: float) -> bool:
    """Whether a tick of these lengths by the two clocks was one during which nothing ran."""
    return wall - TICK_S > JUMP_S or monotonic - TICK_S > JUMP_S


class Keeper:
    """``connect`` is the argv of ssh; ``lock`` is the file that makes it the only one."""

    def __init__(self, name: str, target: Target, connect: list[str], lock: IO[str], log: Log) -> None:
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
        self.process = await asyncio.create_subprocess_exec(
            *self.connect,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=environment(),
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
        await stop_program(self.process, 2)

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
    stopped = hear_signals(keeper.look)
    server = await asyncio.start_server(keeper.serve, sock=listener)
    failed = await work_until_one_ends(keeper.keep(), keeper.watch_clocks(), stopped.wait())
    server.close()
    await keeper.stop()
    keeper.socket.unlink(missing_ok=True)
    if failed and not isinstance(failed, Ended):
        raise failed
    if failed and keeper_file(keeper.name).exists():
        keeper.say(False, str(failed), keeper.state["host_key"])
    return str(failed) if failed else "closed"


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

    def make(target: Target, lock: IO[str], log: Log) -> Keeper:
        return Keeper(name, target, tunnel_command(name, target), lock, log)

    return keep(name, lambda target: f"linode {target['linode_id']}", make, run)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
