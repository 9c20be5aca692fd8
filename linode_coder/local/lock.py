"""One command at a time per session on this machine.

The lock is held by whoever works: the command, and the playbook that it started (see `launch`), which outlives a command that is
killed. Its file says who took it, and is empty again when that one came to its end.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.file_lock import open_lock, take
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import session_dir, state_dir

from .unrecorded import recorded

# How long an end of the bill waits for who works: a playbook whose command was killed ends within seconds.
PATIENCE_S = 30.0

_held: list[Path] = []


@dataclass(frozen=True)
class Held:
    """``cut_off``: whoever held it before was killed, and what that one had asked for may still come."""

    cut_off: bool


def held() -> Path | None:
    """The file of the lock that this process holds."""
    return _held[-1] if _held else None


def _take(file: int, patience: float) -> bool:
    """Alone first, so that nobody else works; shared then, so that the playbook can hold it too."""
    deadline = time.monotonic() + patience
    while take(file, max(0.0, deadline - time.monotonic())):
        if take(file, 0, shared=True):
            return True
    return False


def _holder(file: int) -> int | None:
    """The process that took the lock, as its file says."""
    text = os.pread(file, 20, 0).strip()
    return int(text) if text.isdigit() else None


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _busy(name: str, pid: int | None) -> Failure:
    if pid is not None and not _runs(pid):
        return Failure(
            "conflict",
            f"A playbook still works on session {name!r}, although the command that started it (process {pid}) was killed.",
            remedy="Wait until it is done and try again; what it makes shows in: linode-coder list",
            field="session",
            value=name,
        )
    return Failure(
        "conflict",
        f"Another command is working on session {name!r}{f' (process {pid})' if pid else ''}.",
        remedy="Wait until it is done.",
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
            raise _busy(name, _holder(file))
        cut_off = os.fstat(file).st_size > 0
        with recorded():
            os.truncate(file, 0)
            os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        _held.append(path)
        try:
            yield Held(cut_off)
        finally:
            _held.remove(path)
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
