"""Whether anybody watches: the last pass of a watcher on this machine, and what it costs when there is none."""

from __future__ import annotations

import getpass
import json
import socket
import time
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.duration import format_duration
from ansible_collections.linode_coder.gpu.plugins.module_utils.paths import state_dir

# How often a watcher may look: the last ten minutes of a paid hour are for deletions.
MIN_INTERVAL_S, MAX_INTERVAL_S = 60, 3600
INSTALL = "Install one: linode-coder watchdog install --systemd (or --cron)"


def identity() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"


def record_pass(interval: int, ok: bool, sessions: list[dict[str, Any]]) -> None:
    """A pass of this machine is over, and what it saw."""
    idle = {view["linode_id"]: view["idle_s"] for view in sessions if view["idle_s"] is not None}
    directory = state_dir()
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = directory / "watcher.new"
    draft.write_text(
        json.dumps({"by": identity(), "at": int(time.time()), "interval": interval, "ok": ok, "idle": idle})
    )
    draft.replace(directory / "watcher.json")


def last_pass() -> dict[str, Any] | None:
    """The last pass of this machine, if it is known."""
    try:
        record = json.loads((state_dir() / "watcher.json").read_text())
        return {"by": str(record["by"]), "at": int(record["at"]), "interval": int(record["interval"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def idle_seen(now: int) -> dict[int, int]:
    """Linode id and idle seconds at the last pass, while that is not long ago."""
    if not watching(last_pass(), now):
        return {}
    try:
        record = json.loads((state_dir() / "watcher.json").read_text())
        return {int(number): int(seconds) for number, seconds in record["idle"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def watching(record: dict[str, Any] | None, now: int) -> bool:
    """Whether the watcher of ``record`` still looks: it may have missed a pass or two."""
    return record is not None and now - record["at"] <= 3 * record["interval"] + 120


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
