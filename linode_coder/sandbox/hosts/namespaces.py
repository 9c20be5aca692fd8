"""The server's side of the keeper: starts it, boots hosts through it, says why that cannot work here."""

from __future__ import annotations

import asyncio
import itertools
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import kernel, messages
from .base import SandboxError
from .channel import Channel

_START = (
    "import sys; sys.path.insert(0, sys.argv.pop(1));"
    "from linode_coder.sandbox.hosts.keeper import main; sys.exit(main())"
)
_PACKAGE_ROOT = Path(__file__).resolve().parents[3]
_LOCK_WAIT_SECONDS = 15.0


class Namespaces:
    """One keeper process and the hosts under it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._channel: Channel | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._ready: asyncio.Future[dict[str, Any]] | None = None
        self._boots = itertools.count(1)
        self._ended: dict[int, Callable[[], None]] = {}
        self.volatile = False
        """True when the hosts' /usr changes live in memory, because the file system carries no overlay."""

    async def start(self) -> None:
        """Start the keeper; waits for one that a killed server left to be gone. Raises `SandboxError`."""
        if not sys.platform.startswith("linux"):
            raise SandboxError(
                f"Simulated hosts need Linux namespaces; this is {platform.system()}.",
                "Use `--hosts none` here, or run the sandbox in a Linux VM or container.",
            )
        if not kernel.supported_machine():
            raise SandboxError(
                f"Simulated hosts know x86_64 and aarch64; this machine is {platform.machine()}.",
                "Use `--hosts none`.",
            )
        give_up = time.monotonic() + _LOCK_WAIT_SECONDS
        while True:
            answer = await self._launch()
            if answer["event"] == "ready":
                self.volatile = answer["volatile"]
                return
            await self.close()
            if answer["step"] == "lock" and time.monotonic() < give_up:
                await asyncio.sleep(0.1)
                continue
            raise self._explain(answer)

    async def boot(self, host: int, config: dict[str, Any], on_event: Callable[[dict[str, Any]], None]) -> Channel:
        """Fork the first process of a host; returns its channel when the root stands."""
        if self._channel is None:
            raise SandboxError("The keeper of the hosts is not running.", "Restart the sandbox.")
        loop = asyncio.get_running_loop()
        up: asyncio.Future[dict[str, Any]] = loop.create_future()

        def event(message: dict[str, Any]) -> None:
            if not up.done():
                up.set_result(message)
            else:
                on_event(message)

        def closed() -> None:
            if not up.done():
                up.set_result({"event": "failed", "error": "its first process ended"})
            else:
                on_event({"event": "down"})

        ours, theirs = messages.pair()
        channel = Channel(ours, event, closed)
        try:
            number = next(self._boots)
            self._channel.post({"op": "boot", "host": host, "boot": number, "config": config}, (theirs.fileno(),))
        finally:
            theirs.close()
        answer = await up
        if answer["event"] != "ready":
            channel.close()
            raise SandboxError(f"Host {host} did not start: {answer['error']}.", "See the server's log.")
        return channel

    async def close(self) -> None:
        """End the keeper and with it everything it keeps; returns when it is gone."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._process is not None:
            await self._process.wait()
            self._process = None

    async def _launch(self) -> dict[str, Any]:
        ours, theirs = messages.pair()
        self._ready = asyncio.get_running_loop().create_future()
        self._channel = Channel(ours, self._on_event, self._on_close)
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-I", "-S", "-B", "-c", _START, str(_PACKAGE_ROOT), str(theirs.fileno()), str(self._root)),
                pass_fds=(theirs.fileno(),),
                env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
                cwd="/",
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        finally:
            theirs.close()
        return await self._ready

    def _on_event(self, message: dict[str, Any]) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(message)

    def _on_close(self) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_result({"event": "failed", "step": "start", "error": "the keeper ended"})

    def _explain(self, answer: dict[str, Any]) -> SandboxError:
        reason = answer["error"]
        if answer["step"] == "lock":
            return SandboxError(
                f"Another sandbox is using {self._root}.", "Stop it, or set LINODE_CODER_HOME to another directory."
            )
        if answer["step"] == "namespace":
            who = "root" if os.geteuid() == 0 else "an ordinary user"
            return SandboxError(
                f"This machine does not let {who} make namespaces ({reason}).",
                "Allow them (user.max_user_namespaces > 0; on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0; "
                "in a container --privileged), run the sandbox as root, or use `--hosts none`.",
            )
        return SandboxError(
            f"Simulated hosts cannot be built here ({reason}).",
            "They need Linux 5.11 or later with overlayfs and an unmasked /proc; use `--hosts none` otherwise.",
        )
