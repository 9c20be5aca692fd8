"""What a session does right now, read through the tunnel that is open: no new connection, nothing guessed."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import format_time, parse_time
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.vllm_metrics import activity, gauges
from ansible_collections.linode_coder.gpu.plugins.module_utils.watch.decision import plans
from ansible_collections.linode_coder.gpu.plugins.module_utils.watch.idle_clock import IdleClock, start_overdue

from . import tunnel
from .api_key import kept_key
from .port_owner import TunnelClient

ACTIVITY = "/var/lib/linode-coder/activity.json"


def engine(name: str, before: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """Use of the engine; ``before`` is an earlier answer, against which the speed is measured. None: not readable."""
    key = kept_key(name)
    if key is None:
        return None
    text, at = TunnelClient(name, key).metrics(), time.monotonic()
    use = activity(text)
    if not use["readable"]:
        return None
    found = {**use, "kv_cache_use": gauges(text)["kv_cache_use"], "at": at, "tokens_per_second": None}
    if before is None and use["running"]:
        time.sleep(1)
        return engine(name, found)
    if before is None:
        found["tokens_per_second"] = 0.0
    elif before["process_start"] == use["process_start"] and at > before["at"]:
        made = use["generation_tokens"] - before["generation_tokens"]
        found["tokens_per_second"] = max(0.0, made / (at - before["at"]))
    return found


def idle_record(name: str) -> tuple[IdleClock | None, dict[str, Any] | None]:
    """The idle clock on the VM and who watched last, as they were at the last pass of any watcher."""
    command = ["ssh", "-S", str(tunnel.control_socket(name)), "-o", "ControlMaster=no", "-o", "BatchMode=yes"]
    try:
        done = subprocess.run(
            [*command, "linode-coder", f"head -c 100000 {ACTIVITY}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=10,
        )
        record = json.loads(done.stdout)
        watched = record.get("watched")
        known = isinstance(watched, dict) and {"by", "at", "interval"} <= set(watched)
        return IdleClock.from_dict(record["clock"]), watched if known else None
    except (ValueError, KeyError, TypeError, OSError, subprocess.SubprocessError):
        return None, None


def clocks(view: dict[str, Any], clock: IdleClock | None, now: int) -> dict[str, Any]:
    """When the VM would be deleted by what, if nothing changes and somebody watches."""
    foreseen = plans(view, clock, now)
    return {
        "idle_s": round(clock.idle_s) if clock and clock.started else None,
        "idle_since": format_time(clock.last_active) if clock and clock.last_active else None,
        "hung": clock.hung if clock else None,
        "start_overdue": clock is not None and start_overdue(parse_time(view["created"]), now, clock),
        "deletions": [{"cause": plan.cause, "at": format_time(plan.at)} for plan in foreseen],
    }
