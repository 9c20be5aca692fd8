"""Whether anybody watches: the last pass of a watcher on this machine, and what it costs when there is none.

Only what will look again is a watcher: a timer that has run, a process that goes on looking, a schedule that says how often
it looks. A single pass by hand is none.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.atomic_file import replace_file
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.duration import format_duration
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import state_dir
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.this_user import this_user

# How often a watcher may look: the last ten minutes of a paid hour are for deletions.
MIN_INTERVAL_S, MAX_INTERVAL_S = 60, 3600
# How long the idle times of a pass say something.
IDLE_SEEN_S = 1020
INSTALL = "Install one: linode-coder watchdog install --systemd (or --cron)"


def identity() -> str:
    return f"{this_user()}@{socket.gethostname()}"


def _path() -> Path:
    return state_dir() / "watcher.json"


def _read() -> dict[str, Any]:
    """What the passes of this machine left; empty when there is nothing that can be read."""
    try:
        record = json.loads(_path().read_text())
        return record if isinstance(record, dict) else {}
    except (OSError, ValueError):
        return {}


def _write(record: dict[str, Any]) -> None:
    replace_file(_path(), json.dumps(record), parents=True)


def record_pass(
    interval: int | None,
    ok: bool,
    sessions: list[dict[str, Any]],
    pid: int | None = None,
    health: dict[str, dict[str, Any]] | None = None,
) -> None:
    """A pass of this machine is over, and what it saw.

    :param health: what was seen of each VM's health, by label, as the pass reports it.
    :param interval: seconds to the next one; None for a pass after which nobody has promised another. That leaves what is
        known of a watcher as it was.
    :param pid: the process that makes the next one, when no timer does.
    """
    now = int(time.time())
    idle = {view["linode_id"]: view["idle_s"] for view in sessions if view["idle_s"] is not None}
    well = {view["linode_id"]: health[view["label"]] for view in sessions if health and view["label"] in health}
    seen = {"idle": idle, "idle_at": now, "health": well}
    if interval is None:
        _write({**_read(), **seen})
    else:
        _write({"by": identity(), "at": now, "interval": interval, "ok": ok, "pid": pid, **seen})


def forget() -> None:
    """The watcher of this machine is no more."""
    _path().unlink(missing_ok=True)


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def last_pass() -> dict[str, Any] | None:
    """The last pass of this machine's watcher, if there is one: a timer, or a process that still runs."""
    try:
        record = _read()
        found = {"by": str(record["by"]), "at": int(record["at"]), "interval": int(record["interval"])}
        pid = record.get("pid")
        return None if pid is not None and _gone(int(pid)) else found
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def idle_seen(now: int) -> tuple[dict[int, int], int]:
    """Linode id and idle seconds at the last pass of this machine, and when that was; nothing when it is long ago."""
    try:
        record = _read()
        at = int(record["idle_at"])
        if now - at > max(IDLE_SEEN_S, 3 * int(record.get("interval", 0)) + 120):
            return {}, at
        return {int(number): int(seconds) for number, seconds in record["idle"].items()}, at
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return {}, 0


def health_seen() -> dict[int, dict[str, Any]]:
    """Linode id, and what the last pass saw of its health: ``findings`` by severity, and ``at``, whenever that was."""
    try:
        return {
            int(number): {
                "at": float(seen["at"]),
                "findings": {str(severity): int(count) for severity, count in seen["findings"].items()},
            }
            for number, seen in _read()["health"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def watching(record: dict[str, Any] | None, now: int) -> bool:
    """Whether the watcher of ``record`` still looks: it may have missed a pass or two."""
    return record is not None and now - record["at"] <= 3 * record["interval"] + 120


def newest(records: Iterable[dict[str, Any] | None], now: int) -> dict[str, Any] | None:
    """Of what is known of watchers, the one that looked last, of those that still do if there are any."""
    known = [record for record in records if record]
    return max(known, key=lambda record: (watching(record, now), record["at"]), default=None)


def describe(record: dict[str, Any] | None, now: int, hourly: float | None = None) -> str:
    """Who watches, in words; when nobody does, what a VM at ``hourly`` dollars costs meanwhile."""
    bill = f" and costs ${24 * hourly:.2f} a day until somebody does" if hourly else ""
    nobody = f"nothing deletes this VM by itself: it outlives its lease{bill}. {INSTALL}"
    if record is None:
        return f"none is known: {nobody}"
    ago = format_duration(max(0, now - record["at"]))
    if watching(record, now):
        return f"{record['by']} looked {ago} ago, every {format_duration(record['interval'])}"
    return f"none is known now, {record['by']} looked last {ago} ago: {nobody}"
