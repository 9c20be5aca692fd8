"""One command at a time per session on this machine.

The lock is held by whoever works: the command, and the playbook that it started (see `launch`), which outlives a command that is
killed. Its file says who took it and which step of its playbook runs, and is empty again when that one came to its end.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import format_time
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.file_lock import open_lock, take
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import session_dir, state_dir

from ..terminal.escapes import one_line
from ..terminal.when import when
from .unrecorded import recorded

# How long an end of the bill waits for who works: a playbook whose command was killed ends within seconds.
PATIENCE_S = 30.0

# Of the file and of a step in it. A longer one is not ours.
_FILE, _STEP = 8000, 200

_held: list[tuple[Path, int]] = []


@dataclass(frozen=True)
class Held:
    """``cut_off``: whoever held it before was killed, and what that one had asked for may still come."""

    cut_off: bool


@dataclass(frozen=True)
class Worker:
    """Who took the lock, as its file says: each that is not known is None. ``since`` is seconds since the epoch, ``step`` the
    step of the playbook that runs, a line for people. ``runs`` is None for a process of another machine.
    """

    pid: int | None = None
    host: str | None = None
    command: str | None = None
    since: int | None = None
    step: str | None = None
    runs: bool | None = None

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "since": None if self.since is None else format_time(self.since)}


def held() -> Path | None:
    """The file of the lock that this process holds."""
    return _held[-1][0] if _held else None


def _take(file: int, patience: float) -> bool:
    """Alone first, so that nobody else works; shared then, so that the playbook can hold it too."""
    deadline = time.monotonic() + patience
    while take(file, max(0.0, deadline - time.monotonic())):
        if take(file, 0, shared=True):
            return True
    return False


def _read(text: bytes) -> Worker:
    """What the file of a lock says; a file of another version, or of anybody, is as good as none."""
    line = text.partition(b"\n")[0].decode("utf-8", "replace").strip()
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return Worker()
    if not isinstance(said, dict):
        return Worker()

    def number(name: str, most: int) -> int | None:
        value = said.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= most else None

    def words(name: str, pattern: str) -> str | None:
        value = said.get(name)
        return value if isinstance(value, str) and re.fullmatch(pattern, value, re.ASCII) else None

    pid, host, step = number("pid", 2**31 - 1), words("host", r"[A-Za-z0-9._-]{1,64}"), said.get("step")
    return Worker(
        pid=pid,
        host=host,
        command=words("command", r"[a-z][a-z-]{0,30}"),
        since=number("since", 2**40),
        step=one_line(step[:_STEP]) if isinstance(step, str) and step.strip() else None,
        runs=None if pid is None or host not in (None, _here()) else _runs(pid),
    )


def _here() -> str | None:
    """The name of this machine as it stands in the file; None for one that cannot stand there."""
    name = socket.gethostname()[:64]
    return name if re.fullmatch(r"[A-Za-z0-9._-]+", name, re.ASCII) else None


def _command() -> str | None:
    """Which of our commands this process is."""
    words = [word for word in sys.argv[1:] if not word.startswith("-")] if "linode" in Path(sys.argv[0]).name else []
    return words[0] if words else None


def _write(file: int, worker: Worker) -> None:
    """Over what was there, and then its end: who reads in between reads the first line."""
    fields = {name: value for name, value in asdict(worker).items() if name != "runs"}
    text = json.dumps(fields).encode() + b"\n"
    os.pwrite(file, text, 0)
    os.truncate(file, len(text))


def worker(name: str) -> Worker | None:
    """Who works on a session on this machine, or was killed at it; None when nobody is known to."""
    try:
        with (session_dir(name) / "lock").open("rb") as file:
            text = file.read(_FILE)
    except OSError:
        return None
    return _read(text) if text else None


def note_step(name: str) -> None:
    """The playbook of this process is at a step: said in the file of its lock, if it holds one."""
    for _path, file in _held[-1:]:
        with suppress(OSError):
            _write(file, replace(_read(os.pread(file, _FILE, 0)), step=one_line(name)[:_STEP]))


def describe(worker: Worker) -> str:
    """Who works, for people: ``up (process 123 on this machine since 14:02 CET): Install the driver``."""
    place = "this machine" if worker.host in (None, _here()) else worker.host
    since = f" since {when(worker.since)}" if worker.since else ""
    process = f" (process {worker.pid} on {place}{since})" if worker.pid else since
    return f"{worker.command or 'a command'}{process}" + (f": {worker.step}" if worker.step else "")


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _busy(name: str, worker: Worker) -> Failure:
    at = f": {worker.step}" if worker.step else "."
    if worker.runs is False:
        return Failure(
            "conflict",
            f"A playbook still works on session {name!r}, although the command that started it (process {worker.pid}) was "
            f"killed{at}",
            remedy="Wait until it is done and try again; what it makes shows in: linode-coder list",
            field="session",
            value=name,
        )
    who, _bracket, process = describe(replace(worker, step=None)).partition(" (")
    return Failure(
        "conflict",
        f"{who[0].upper()}{who[1:]} is working on session {name!r}{f' ({process}' if process else ''}{at}",
        remedy=f"Wait until it is done. How far it is: linode-coder status {name}",
        field="session",
        value=name,
    )


@contextmanager
def session_lock(name: str, patience: float = 0.0) -> Iterator[Held]:
    """Held until the block ends, or the process does and its playbook with it. Failure(conflict) after ``patience`` seconds.

    Where no file can be made there is no lock, and a sentence says so: that keeps nobody from ending a bill.
    """
    path = session_dir(name) / "lock"
    file = None
    with recorded():
        file = open_lock(path)
    if file is None:
        yield Held(cut_off=False)
        return
    try:
        if not _take(file, patience):
            raise _busy(name, _read(os.pread(file, _FILE, 0)))
        cut_off = os.fstat(file).st_size > 0
        with recorded():
            _write(file, Worker(os.getpid(), _here(), _command(), int(time.time())))
        _held.append((path, file))
        try:
            yield Held(cut_off)
        finally:
            _held.remove((path, file))
            with recorded():
                os.truncate(file, 0)
    finally:
        os.close(file)


def unfinished() -> list[str]:
    """Sessions that a command works on, or was killed at."""
    found = []
    for path in (state_dir() / "sessions").glob("*/lock"):
        with suppress(FileNotFoundError):
            if path.stat().st_size:
                found.append(path.parent.name)
    return sorted(found)
