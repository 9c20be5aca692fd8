# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run one program with a time limit of its own, so that one that hangs costs its limit and nothing else."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

# A process that the kernel does not let go cannot be killed; how long we wait to find out.
_KILL_S = 2.0
# As many of them are enough to know; another one would only be stuck as well.
STUCK_LIMIT = 2
_OUTPUT_LIMIT = 8_000_000


@dataclass(frozen=True)
class Probed:
    """What became of a program: ``rc`` is None when it did not end by itself."""

    text: str
    rc: int | None
    seconds: float
    timed_out: bool = False
    stuck: bool = False
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "rc": self.rc,
            "seconds": round(self.seconds, 2),
            "timed_out": self.timed_out,
            "stuck": self.stuck,
            "error": self.error,
        }


def _stat(pid: int) -> tuple[str, str] | None:
    """Name and state of a process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    name, _sep, rest = text.partition("(")[2].rpartition(")")
    return name, rest.split()[0]


def stuck(program: str) -> int:
    """How many processes of a program the kernel does not let go (state D)."""
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    return sum(_stat(pid) == (program[:15], "D") for pid in pids)


def _read(stream: IO[bytes], until: float) -> tuple[bytes, bool]:
    """The newest part of what a program says, and whether it said all in its time. No more than that is ever in memory."""
    kept = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while True:
            left = until - time.monotonic()
            if left <= 0 or not selector.select(left):
                return bytes(kept[-_OUTPUT_LIMIT:]), False
            part = os.read(stream.fileno(), 65536)
            if not part:
                return bytes(kept[-_OUTPUT_LIMIT:]), True
            kept += part
            if len(kept) > 2 * _OUTPUT_LIMIT:
                del kept[:-_OUTPUT_LIMIT]


def run(argv: list[str], limit: float) -> Probed:
    """Run a program in a process group of its own, stdout and stderr together, and end all of it after the limit."""
    program = argv[0].rpartition("/")[2]
    if stuck(program) >= STUCK_LIMIT:
        return Probed("", None, 0.0, timed_out=True, stuck=True, error=f"{STUCK_LIMIT} earlier ones still hang")
    began = time.monotonic()
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "LC_ALL": "C.UTF-8", "NO_COLOR": "1"},
        )
    except OSError as error:
        return Probed("", None, 0.0, error=f"{program}: {error.strerror}")
    with cast("IO[bytes]", process.stdout) as stream:
        output, ended = _read(stream, began + limit)
    text = output.decode("utf-8", "replace")
    if ended:
        try:
            process.wait(max(0.0, began + limit - time.monotonic()))
            return Probed(text, process.returncode, time.monotonic() - began)
        except subprocess.TimeoutExpired:
            pass  # it closed its output and went on
    os.killpg(process.pid, signal.SIGKILL)
    held = False
    try:
        process.wait(_KILL_S)
    except subprocess.TimeoutExpired:
        status = _stat(process.pid)
        held = status is not None and status[1] == "D"
    return Probed(text, None, time.monotonic() - began, timed_out=True, stuck=held)
