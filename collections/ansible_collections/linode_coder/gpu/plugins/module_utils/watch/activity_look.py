# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the engine is used, on the VM: its counters as they are now, and the idle clock that all watchers share."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..core.atomic_file import replace_file
from ..core.file_lock import file_lock
from ..engine import vllm_metrics
from ..engine.api_key import api_key
from ..engine.check_tokens import OwnTokens
from ..engine.client import EngineClient
from .idle_clock import IdleClock, Sample, advance

LOCK = "/run/linode-coder/activity.lock"
# Options of the modules that advance the clock.
CLOCK_SPEC: dict[str, Any] = {
    "port": {"type": "int", "default": 8000},
    "project_dir": {"type": "path", "default": "/opt/linode-coder/vllm"},
    "watcher": {"type": "str"},
    "interval": {"type": "int", "default": 300},
    "state_dir": {"type": "path", "default": "/var/lib/linode-coder"},
}


def read_activity(port: int, state_dir: str, project_dir: str) -> dict[str, Any]:
    """The engine's use without the tokens of our own checks, and whether it has produced any at all."""
    key = api_key(project_dir)
    with OwnTokens(state_dir) as own:
        activity = vllm_metrics.activity(EngineClient(port, key, timeout=10).metrics())
        used = vllm_metrics.without(activity, **own.of(activity["process_start"]))
    return {**used, "served": bool(activity["generation_tokens"])}


def sample_of(activity: Mapping[str, Any]) -> Sample:
    """``activity`` with the time of this boot."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot_id = file.read().strip()
    with open("/proc/uptime", encoding="ascii") as file:
        uptime = float(file.read().split()[0])
    counters = ("prompt_tokens", "generation_tokens", "requests", "running", "waiting")
    numbers = {name: int(activity[name] or 0) for name in counters}
    start = activity["process_start"]
    return Sample(
        boot_id,
        uptime,
        int(time.time()),
        readable=activity["readable"],
        process_start=None if start is None else float(start),
        served=activity["served"],
        **numbers,
    )


def kept(path: Path, warn: Callable[[str], None]) -> tuple[IdleClock, dict[str, Any] | None]:
    """The record on the VM. One that cannot be read begins anew: that can only make the VM live longer."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return IdleClock.from_dict(record["clock"]), record.get("watched")
    except FileNotFoundError:
        return IdleClock(), None
    except (ValueError, KeyError, TypeError) as error:
        warn(f"{path} is not readable, so the idle clock starts over: {error}")
        return IdleClock(), None


def look_at_clock(params: Mapping[str, Any], check_mode: bool, warn: Callable[[str], None]) -> dict[str, Any]:
    """Read the counters and advance the clock: the result of the module session_activity, whose options ``params`` are."""
    path = Path(params["state_dir"]) / "activity.json"
    activity = read_activity(params["port"], params["state_dir"], params["project_dir"])
    if check_mode:
        clock, watched = kept(path, warn)
        clock = advance(clock, sample_of(activity))
    else:
        with file_lock(LOCK):  # one watcher at a time
            # The time is taken under the lock, so that a later sample is never counted before an earlier one.
            clock, watched = kept(path, warn)
            sample = sample_of(activity)
            clock = advance(clock, sample)
            if params["watcher"]:
                watched = {"by": params["watcher"], "at": sample.at, "interval": params["interval"]}
            record = {"clock": clock.as_dict(), "watched": watched}
            replace_file(path, json.dumps(record), 0o644, parents=True)
    return {"clock": clock.as_dict(), "hung": clock.hung, "activity": activity, "watched": watched}
