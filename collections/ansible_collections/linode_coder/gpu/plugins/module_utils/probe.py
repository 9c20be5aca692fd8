# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run one program with a time limit of its own, so that one that hangs costs its limit and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    try:
        output, _none = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        held = False
        try:
            output, _none = process.communicate(timeout=_KILL_S)
        except subprocess.TimeoutExpired as late:
            output = late.output or b""
            status = _stat(process.pid)
            held = status is not None and status[1] == "D"
        text = output[-_OUTPUT_LIMIT:].decode("utf-8", "replace")
        return Probed(text, None, time.monotonic() - began, timed_out=True, stuck=held)
    text = output[-_OUTPUT_LIMIT:].decode("utf-8", "replace")
    return Probed(text, process.returncode, time.monotonic() - began)
