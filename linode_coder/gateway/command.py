"""Our own commands as children of the gateway: each has its own process, and says in JSON what it did."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure

from ..terminal.escapes import one_line

# Bytes of a line of JSON: a plan names every place.
_LINE = 8 * 2**20
# Lines of what it says to people that are kept.
_SAID = 40


def up_words(name: str, options: Mapping[str, Any], lease: str | None) -> list[str]:
    """Of `up` that makes a session again. Each value is one word with the name of its option, whatever it holds."""
    words = []
    for key, value in {**options, **({"lease": lease} if lease else {})}.items():
        option = "--" + key.replace("_", "-")
        if isinstance(value, bool):
            words.append(option if value else f"--no-{key.replace('_', '-')}")
        else:
            words += [f"{option}={one}" for one in (value if isinstance(value, list) else [value])]
    return ["up", *words, "--yes", "--json", "--", name]


@dataclass(frozen=True)
class Outcome:
    """``said`` is the last line of its JSON, ``told`` what it wrote for people."""

    code: int
    said: dict[str, Any]
    told: tuple[str, ...]

    def failure(self) -> Failure:
        """Why it did not succeed."""
        error = self.said.get("error")
        if isinstance(error, dict):
            return Failure.from_dict(error)
        last = self.told[-1] if self.told else "it said nothing"
        return Failure(
            "internal",
            "A command of ours came to no end.",
            cause=f"exit code {self.code}: {last}",
            remedy="See: linode-coder list",
        )


class Command:
    """``program`` are the words that start linode-coder."""

    def __init__(self, program: Sequence[str]) -> None:
        self._program = tuple(program)
        self._running: set[asyncio.subprocess.Process] = set()

    async def run(self, words: Sequence[str], take: Callable[[Any], None] | None = None) -> Outcome:
        """To its end; ``take`` gets each event. Who is cancelled meanwhile has it end first."""
        process = await asyncio.create_subprocess_exec(
            *self._program,
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_LINE,
            # Ctrl-C is for the gateway, which tells it.
            start_new_session=True,
        )
        self._running.add(process)
        told: deque[str] = deque(maxlen=_SAID)
        hearing = asyncio.ensure_future(self._hear(process, told))
        try:
            said: dict[str, Any] = {}
            assert process.stdout is not None
            async for line in _lines(process.stdout):
                event = _event(line)
                if event:
                    said = event
                    if take is not None:
                        take(event)
            code = await process.wait()
            await hearing
        except asyncio.CancelledError:
            _interrupt(process)
            raise
        finally:
            hearing.cancel()
            self._running.discard(process)
        return Outcome(code, said, tuple(told))

    @staticmethod
    async def _hear(process: asyncio.subprocess.Process, told: deque[str]) -> None:
        assert process.stderr is not None
        async for line in _lines(process.stderr):
            text = one_line(line.decode(errors="replace").strip())
            if text:
                told.append(text)

    def interrupt(self) -> bool:
        """As Ctrl-C does; whether any runs. Each then comes to its end, which whoever waits for it sees."""
        for process in self._running:
            _interrupt(process)
        return bool(self._running)

    def kill(self) -> None:
        """Those that did not end in their time."""
        for process in self._running:
            with contextlib.suppress(ProcessLookupError):
                process.kill()


def _interrupt(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT)


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        try:
            line = await stream.readline()
        except ValueError:  # longer than any of ours
            continue
        if not line:
            return
        yield line


def _event(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
