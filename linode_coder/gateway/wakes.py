"""How often the gateway of this home has started a session today, in a file that outlives it."""

from __future__ import annotations

import json
import time
from pathlib import Path

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.atomic_file import replace_file
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import state_dir

from ..local.unrecorded import recorded


def gateway_dir() -> Path:
    """What the gateway keeps: its key, its lock, its record."""
    return state_dir() / "gateway"


def _file() -> Path:
    return gateway_dir() / "wakes.json"


def _day(at: float) -> tuple[int, int]:
    local = time.localtime(at)
    return local.tm_year, local.tm_yday


def today(now: float) -> list[float]:
    """When, in Unix seconds, of this local day."""
    try:
        found = json.loads(_file().read_text())
    except (OSError, ValueError, RecursionError):
        return []
    times = found if isinstance(found, list) else []
    numbers = [at for at in times if isinstance(at, int | float) and not isinstance(at, bool) and 0 < at <= now + 60]
    return [float(at) for at in numbers if _day(at) == _day(now)]


def count(now: float) -> None:
    """One more."""
    with recorded():
        replace_file(_file(), json.dumps([*today(now), now]) + "\n", parents=True)
