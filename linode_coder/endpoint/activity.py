"""What a session does right now, read through the tunnel that is open: no new connection, nothing guessed."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import format_time, parse_time
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.vllm_metrics import activity, gauges
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.gpu_use import gpu_use
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.nvidia_smi import read_nvidia_smi
from ansible_collections.linode_coder.gpu.plugins.module_utils.watch.decision import plans
from ansible_collections.linode_coder.gpu.plugins.module_utils.watch.idle_clock import IdleClock, start_overdue

from . import tunnel
from .api_key import kept_key
from .port_owner import TunnelClient

ACTIVITY = "/var/lib/linode-coder/activity.json"
# No time of a VM of ours is later than this, in seconds since the epoch: the year 2286.
_LAST = 9_999_999_999
# Both in one question. No line of a JSON document is the line between them.
_THEN, _ASK_S = "-- nvidia-smi --", 8
_ASK = (
    f"head -c 100000 {ACTIVITY} 2>/dev/null; printf '\\n%s\\n' '{_THEN}'; "
    f"timeout -k 1 {_ASK_S} nvidia-smi -q -x 2>&1 | head -c 4000000"
)


def counters(name: str) -> dict[str, Any] | None:
    """What the engine has counted since it started, its queue and its KV cache. None: not readable."""
    key = kept_key(name)
    if key is None:
        return None
    text = TunnelClient(name, key).metrics()
    use = activity(text)
    return {**use, "kv_cache_use": gauges(text)["kv_cache_use"]} if use["readable"] else None


def engine(name: str, before: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """Use of the engine; ``before`` is an earlier answer, against which the speed is measured. None: not readable."""
    use, at = counters(name), time.monotonic()
    if use is None:
        return None
    found = {**use, "at": at, "tokens_per_second": None}
    if before is None and use["running"]:
        time.sleep(1)
        return engine(name, found)
    if before is None:
        found["tokens_per_second"] = 0.0
    elif before["process_start"] == use["process_start"] and at > before["at"]:
        made = use["generation_tokens"] - before["generation_tokens"]
        found["tokens_per_second"] = max(0.0, made / (at - before["at"]))
    return found


def run_on_vm(name: str, command: str) -> str:
    """What a command of ours prints, over the connection that is open; nothing when it could not be asked."""
    ssh = ["ssh", "-S", str(tunnel.control_socket(name)), "-o", "ControlMaster=no", "-o", "BatchMode=yes"]
    try:
        done = subprocess.run(
            [*ssh, "linode-coder", command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ASK_S + 10,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def on_vm(name: str) -> tuple[IdleClock | None, dict[str, Any] | None, dict[str, Any] | None]:
    """In one round trip: the idle clock on the VM and who watched last, as they were at the last pass of any watcher, and what the
    GPUs do now, as `gpu_use` has it. Each that cannot be read is None."""
    said = run_on_vm(name, _ASK)
    record, found, smi = said.partition(f"\n{_THEN}\n")
    return *idle_record(record), gpu_use(read_nvidia_smi(smi)) if found and smi.strip() else None


def idle_record(text: str) -> tuple[IdleClock | None, dict[str, Any] | None]:
    """The clock and the last watcher that activity.json names; None for what it could not have been."""
    try:
        record = json.loads(text)
        clock = IdleClock.from_dict(record["clock"])
        if not all(_is_time(value) for value in (clock.at, clock.last_active or 0, clock.idle_s, clock.stuck_s)):
            return None, None
        watched = record.get("watched") or {}
        by = watched.get("by")
        at, interval = (int(watched[name]) if _is_time(watched.get(name)) else None for name in ("at", "interval"))
        if not isinstance(by, str) or at is None or interval is None:
            return clock, None
        return clock, {"by": by[:100], "at": at, "interval": interval}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None, None


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LAST


def clocks(view: dict[str, Any], clock: IdleClock | None, now: int) -> dict[str, Any]:
    """When the VM would be deleted by what, if nothing changes and somebody watches."""
    foreseen = plans(view, clock, now)
    return {
        "idle_s": round(clock.idle_s) if clock and clock.started else None,
        "idle_as_of": format_time(clock.at) if clock and clock.at else None,
        "idle_since": format_time(clock.last_active) if clock and clock.last_active else None,
        "hung": clock.hung if clock else None,
        "start_overdue": clock is not None and start_overdue(parse_time(view["created"]), now, clock),
        "deletions": [{"cause": plan.cause, "at": format_time(plan.at)} for plan in foreseen],
    }
