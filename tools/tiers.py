# SPDX-License-Identifier: GPL-3.0-or-later
"""Run tiers of checks, some side by side, and say of each how it ended and what it cost.

``tiers.py lint types + unit integration / test-slow`` runs ``make lint``, then ``make types``, and beside them ``make unit``,
then ``make integration``; when these have ended, ``make test-slow``. Each tier's output stands together. After a failure
the others of its group still run, and the next group does not.

Needs nothing but Python on Linux. CPU time is that of all processes that a tier started, daemons included: a tier is their
reaper. Not counted are those whose parent ignores that they end (SIGCHLD).
"""

from __future__ import annotations

import argparse
import ctypes
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NoReturn

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_ENDED_BY_SIGNAL = 128
# Seconds for an orderly end (of hosts, mounts, a Docker Engine) before the next harder signal.
_PATIENCE = ((signal.SIGINT, 20.0), (signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0))
_CLOSING = re.compile(
    r"^=* ?((?:\d+ [a-z]+(?:, )?)+?) in [\d.]+s(?: \([\d:]+\))? ?=*$|^((?:\d+ [a-z]+(?:, )?)+)$", re.MULTILINE
)
_KINDS = {
    "passed": "passed",
    "xfailed": "passed",
    "failed": "failed",
    "error": "failed",
    "errors": "failed",
    "xpassed": "failed",
    "skipped": "skipped",
}
_COLOUR = re.compile(r"\x1b\[[\d;]*m")


@dataclass
class Tier:
    name: str
    command: list[str]
    output: BinaryIO = field(default_factory=tempfile.TemporaryFile)
    shown: int = 0
    named: bool = False
    pid: int | None = None
    code: int | None = None
    began: float = 0.0
    wall: float = 0.0
    cpu: float = 0.0

    def start(self) -> None:
        self.began = time.monotonic()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _supervise(self.command, self.output.fileno())

    def poll(self) -> bool:
        """Whether it has ended."""
        if self.code is None and self.pid is not None:
            pid, status, used = os.wait4(self.pid, os.WNOHANG)
            self.wall = time.monotonic() - self.began
            if pid:
                code = os.waitstatus_to_exitcode(status)
                self.code = code if code >= 0 else _ENDED_BY_SIGNAL - code
                self.cpu = used.ru_utime + used.ru_stime
        return self.code is not None

    def show(self) -> None:
        """What it has said since it was shown last."""
        size = os.fstat(self.output.fileno()).st_size
        while self.shown < size:
            data = os.pread(self.output.fileno(), min(size - self.shown, 1 << 20), self.shown)
            self.shown += len(data)
            sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    def counts(self) -> Counter[str]:
        """Of tests, from the closing lines of what ran them."""
        size = os.fstat(self.output.fileno()).st_size
        found: Counter[str] = Counter()
        for match in _CLOSING.finditer(
            _COLOUR.sub("", os.pread(self.output.fileno(), size, 0).decode(errors="replace"))
        ):
            for number, word in re.findall(r"(\d+) ([a-z]+)", match[1] or match[2]):
                if word in _KINDS:
                    found[_KINDS[word]] += int(number)
        return found


def _supervise(command: list[str], output: int) -> NoReturn:
    """In a process of its own, the parent of all that the tier starts and leaves behind."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    # A terminal's Ctrl-C goes to the one that shows things, which ends this one.
    os.setsid()
    ended = False

    def end(number: int, _frame: object) -> None:
        nonlocal ended
        ended = True

    # Handled without a restart of the wait below.
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    code = 1
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        while not ended:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == process.pid:
                code = os.waitstatus_to_exitcode(status)
                break
            if not pid:
                time.sleep(0.05)
    except OSError as error:
        os.write(output, f"{command[0]}: {error.strerror}\n".encode())
        code = 127
    _end_children(gently=ended)
    os._exit(_ENDED_BY_SIGNAL + signal.SIGTERM if ended else code if code >= 0 else _ENDED_BY_SIGNAL - code)


def _end_children(*, gently: bool) -> None:
    """End what is left of this process's descendants; ``gently`` starts with what a Ctrl-C does."""
    for number, seconds in _PATIENCE if gently else _PATIENCE[1:]:
        for pid in _descendants():
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                pid, _status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                time.sleep(0.05)


def _descendants() -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                # The name, which may hold anything, stands in parentheses.
                fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, new = [], [os.getpid()]
    while new:
        new = [child for pid in new for child in children.get(pid, [])]
        found += new
    return found


def run_group(lanes: Sequence[Sequence[Tier]]) -> None:
    """Tiers of a lane one after the other, lanes side by side; the one that is shown is shown as it goes."""
    waiting = [list(lane) for lane in lanes]
    running: list[Tier] = []
    unshown: list[Tier] = []
    current: list[Tier | None] = [None] * len(waiting)
    while True:
        for index, lane in enumerate(waiting):
            before = current[index]
            if (before is None or before.poll()) and lane:
                tier = lane.pop(0)
                tier.start()
                current[index] = tier
                running.append(tier)
                unshown.append(tier)
        if not running:
            return
        ended = [tier for tier in running if tier.poll()]
        running = [tier for tier in running if tier.code is None]
        # Never two at once: what runs first is followed, what ended meanwhile comes whole when that has ended.
        while unshown:
            tier = next((tier for tier in unshown if tier.named), None)
            tier = tier or next((tier for tier in unshown if tier.code is not None), unshown[0])
            if not tier.named:
                tier.named = True
                print(f"\n=== {tier.name}: {shlex.join(tier.command)}", flush=True)
            tier.show()
            if tier.code is None:
                break
            print(closing_line(tier), flush=True)
            unshown.remove(tier)
        if not ended:
            time.sleep(0.1)


def closing_line(tier: Tier) -> str:
    counts = ", ".join(f"{number} {kind}" for kind, number in tier.counts().items())
    how = "ended" if tier.code == 0 else f"FAILED with exit code {tier.code}"
    return f"=== {tier.name} {how}: wall {tier.wall:.0f} s, CPU {tier.cpu:.0f} s{', ' * bool(counts)}{counts}"


def table(tiers: Sequence[Tier]) -> str:
    lines = [f"{'tier':<20} {'result':<10} {'wall s':>7} {'CPU s':>7} {'passed':>7} {'failed':>7} {'skipped':>7}"]
    for tier in tiers:
        if tier.pid is None:
            lines.append(f"{tier.name:<20} not run")
            continue
        counts = tier.counts()
        result = "ok" if tier.code == 0 else f"exit {tier.code}"
        numbers = " ".join(f"{counts[kind] or '-':>7}" for kind in ("passed", "failed", "skipped"))
        lines.append(f"{tier.name:<20} {result:<10} {tier.wall:>7.0f} {tier.cpu:>7.0f} {numbers}")
    return "\n".join(lines)


def totals(tiers: Sequence[Tier]) -> str:
    """Like a test runner's last line. A tier that failed without a failed test is one failure."""
    total: Counter[str] = Counter()
    for tier in tiers:
        counts = tier.counts()
        total += counts
        if tier.code != 0 and tier.pid is not None and not counts["failed"]:
            total["failed"] += 1
    return f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped"


def split(words: Sequence[str], at: str) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for word in words:
        if word == at:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tiers", nargs="+", help="names of tiers; + begins the next beside them, / what comes after")
    parser.add_argument("--with", dest="command", default="make", help="what is run with the name of a tier (make)")
    options = parser.parse_args()
    prefix = shlex.split(options.command)
    groups = [
        [[Tier(name, [*prefix, name]) for name in lane] for lane in split(group, "+")]
        for group in split(options.tiers, "/")
    ]
    tiers = [tier for group in groups for lane in group for tier in lane]

    def end(number: int, _frame: object) -> None:
        raise SystemExit(_ENDED_BY_SIGNAL + number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, end)
    began = time.monotonic()
    try:
        for group in groups:
            run_group(group)
            if any(tier.code for lane in group for tier in lane):
                break
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for tier in tiers:
            if tier.pid is not None and tier.code is None:
                os.kill(tier.pid, signal.SIGTERM)
        for tier in tiers:
            while tier.pid is not None and not tier.poll():
                time.sleep(0.05)
        print(f"\n{table(tiers)}\nwall {time.monotonic() - began:.0f} s\n{totals(tiers)}", flush=True)
    return int(any(tier.code != 0 for tier in tiers))


if __name__ == "__main__":
    sys.exit(main())
