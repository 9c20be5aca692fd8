"""Environments of their own for real programs of the sandbox, made once, step by step, and shared by all sandboxes.

Each step has a mark when it is done: a run that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import fcntl
import os
import selectors
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure

PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"

Say = Callable[[str, str], None]
"""Called with the step and what it is at, often."""
Step = tuple[str, Callable[[Say], None]]
"""Its name, and what does it."""


@dataclass(frozen=True)
class Program:
    """``name`` as a person reads it; ``instead`` is what works without it, for the end of a sentence."""

    name: str
    instead: str

    def run(self, say: Say, what: str, *command: str, **variables: str) -> None:
        """Run it, saying its newest line again and again. Failure(config) when it fails."""
        say(what, "")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | variables
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment
        )
        stdout = process.stdout
        if stdout is None:
            raise RuntimeError("its output is a pipe")
        os.set_blocking(stdout.fileno(), False)
        lines: list[str] = []  # without what pip says of its settings
        received = b""
        try:
            with stdout, selectors.DefaultSelector() as selector:
                selector.register(stdout, selectors.EVENT_READ)
                while True:
                    if selector.select(1):
                        data = os.read(stdout.fileno(), 65536)
                        if not data:
                            break
                        *whole, received = (received + data).replace(b"\r", b"\n").split(b"\n")
                        lines += [
                            text
                            for line in whole
                            if (text := line.decode(errors="replace").strip()) and not text.startswith("WARNING")
                        ]
                        del lines[:-20]
                    say(what, lines[-1][:100] if lines else "")
            code = process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
        if code:
            raise Failure(
                "config",
                f"The real {self.name} could not be installed: {what} failed.",
                cause=next((line for line in reversed(lines) if "error" in line.lower()), lines[-1] if lines else None),
                remedy=f"Check the network and the disk and start it again, it goes on where it stopped; or {self.instead}",
            )

    def make(self, place: Path, steps: Sequence[Step], say: Say) -> None:
        """Take the steps that are not done; several callers at once wait for the first."""
        place.mkdir(parents=True, exist_ok=True)
        with (place / "lock").open("w") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    say(f"wait for another process that installs {self.name}", "")
                    time.sleep(1)
            for name, step in steps:
                mark = _mark(place, name)
                if not mark.exists():
                    step(say)
                    mark.touch()

    def check_room(self, place: Path, gigabytes: int) -> None:
        """Failure(config) where a new environment finds no room."""
        parent = place
        while not parent.exists():
            parent = parent.parent
        free = shutil.disk_usage(parent).free / 1e9
        if free < gigabytes and not place.exists():
            raise Failure(
                "config",
                f"{place} has {free:.0f} GB free, and {self.name} takes {gigabytes} GB while it is installed.",
                remedy="Make room, or set LINODE_CODER_CACHE to a directory with more.",
            )


def made(place: Path, steps: Sequence[Step]) -> bool:
    return all(_mark(place, name).exists() for name, _step in steps)


def own_index(python: str) -> str | None:
    """The index that pip is told to take packages from instead of PyPI, of which uv does not read."""
    done = subprocess.run([python, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    for line in done.stdout.splitlines():
        name, _, value = line.partition("=")
        if name.endswith(".index-url"):
            return value.strip("'")
    return None


def _mark(place: Path, step: str) -> Path:
    return place / f"done-{step}"
