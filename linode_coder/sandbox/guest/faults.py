"""Which faults somebody asked this host to have, and how often they have struck."""

from __future__ import annotations

import json
import os
from pathlib import Path

from .json_types import Any, Json

FILE = Path(os.environ.get("SANDBOX_RUN", "/run/sandbox"), "faults.json")
STRUCK = FILE.with_name("struck.json")
MENDED = FILE.with_name("mended.json")


_seen: dict[Path, tuple[tuple[int, int, int], Any]] = {}


def _read(path: Path) -> Any:
    """What the file says, None without one; parsed anew only when it has changed, since a running engine asks all the time."""
    try:
        state = path.stat()
    except FileNotFoundError:
        return None
    key = (state.st_mtime_ns, state.st_size, state.st_ino)
    if path not in _seen or _seen[path][0] != key:
        _seen[path] = (key, json.loads(path.read_text()))
    return _seen[path][1]


def _write(path: Path, data: object) -> None:
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.write_text(json.dumps(data))
    new.replace(path)


def _present() -> list[Json]:
    gone: list[object] = _read(MENDED) or []
    present: list[Json] = _read(FILE) or []
    return [fault for fault in present if fault.get("id") not in gone]


def mend(deed: str) -> None:
    """Something was done: the faults that last `until` then are over, those of later rungs are not."""
    over = [fault["id"] for fault in _present() if fault.get("until") == deed and "id" in fault]
    if over:
        _write(MENDED, [*(_read(MENDED) or []), *over])


def active(kind: str) -> Json | None:
    """The first fault of this kind, or None."""
    return next((fault for fault in _present() if fault["kind"] == kind), None)


def every(kind: str) -> list[Json]:
    """All faults of this kind."""
    return [fault for fault in _present() if fault["kind"] == kind]


def refuses(program: str) -> str | None:
    """What a program says that was asked to fail; None when it works."""
    broken = any(program in str(fault.get("text") or "").split(",") for fault in every("program_fails"))
    return f"{program}: Input/output error" if broken else None


def due(kind: str) -> Json | None:
    """The first fault of this kind that has not struck as often as its `count` says."""
    struck: dict[str, int] = _read(STRUCK) or {}
    for fault in _present():
        count = fault.get("count")
        if fault["kind"] == kind and (count is None or struck.get(str(fault.get("id")), 0) < count):
            return fault
    return None


def strike(kind: str) -> Json | None:
    """The fault that is due, if any; counts."""
    fault = due(kind)
    if fault is not None:
        struck: dict[str, int] = _read(STRUCK) or {}
        number = str(fault.get("id"))
        _write(STRUCK, {**struck, number: struck.get(number, 0) + 1})
    return fault
