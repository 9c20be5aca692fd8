# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The present state as healing decides by it, from what the provider and the health check report in plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.cost import parse_time
from ..core.finding import Finding
from ..engine.failed_start import FailedStart
from ..health.outside import ssh_finding, status_finding
from ..watch.idle_clock import IdleClock
from .attempts import bad_gpus
from .ladder import Event, Observation, World


def findings_of(rows: Sequence[Mapping[str, Any]]) -> tuple[Finding, ...]:
    return tuple(Finding.from_dict(dict(row)) for row in rows)


def event_of(row: Mapping[str, Any]) -> Event:
    """One of the API's events."""
    return Event(
        int(row["id"]), str(row["action"]), str(row["status"]), parse_time(row["created"]), row.get("username")
    )


def _moment(value: Any) -> int | None:
    """Seconds since the epoch of a number or an ISO time; None when there is none."""
    if isinstance(value, bool) or value in (None, ""):
        return None
    if isinstance(value, int | float):
        return int(value)
    # Docker writes nanoseconds, and the year 1 for "never".
    text = str(value).partition(".")[0].rstrip("Z")
    return None if text.startswith("0001") else parse_time(text)


def _count(activity: Mapping[str, Any], name: str) -> float | None:
    value = activity.get(name) if activity.get("readable") else None
    return None if value is None else float(value)


def world_of(
    provider: Mapping[str, Any], health: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]], reachable: bool
) -> World:
    """
    :param provider: what linode_gpu_heal returns as ``provider``.
    :param health: what gpu_health returns; empty when the VM could not be asked.
    :param earlier: observations before that, ``{"at": epoch, "findings": [...]}``.
    """
    facts, activity = health.get("facts") or {}, health.get("activity") or {}
    container = facts.get("container") or {}
    events = provider.get("events")
    restarts = container.get("restarts")
    engine = facts.get("engine") or {}
    causes = engine.get("causes") or ()
    failed = engine.get("failed_start")
    return World(
        status=provider.get("status"),
        reachable=reachable,
        created=_moment(provider.get("created")),
        boot_time=_moment(facts.get("boot_time")),
        boot_id=str(facts.get("boot_id") or ""),
        container_started=None if restarts else _moment(container.get("started_at")),
        running=_count(activity, "running"),
        waiting=_count(activity, "waiting"),
        events=None if events is None else tuple(Event(**dict(event)) for event in events),
        earlier=tuple(Observation(int(one["at"]), findings_of(one["findings"])) for one in earlier),
        suggested=next((cause["parameters"] for cause in causes if cause.get("parameters")), None),
        failed_start=FailedStart(**failed) if failed else None,
        paused_until=_moment(provider.get("paused_until")),
        gpus=frozenset(str(gpu["uuid"]).lower() for gpu in facts.get("gpus") or () if gpu.get("uuid")),
        bad_gpus=bad_gpus(provider.get("tags") or ()),
        account_recreations=int(provider.get("account_recreations") or 0),
        successor=provider.get("successor"),
        seen_at=_moment(facts.get("clock")),
    )


def idle_seconds(record: Any, activity: Mapping[str, Any]) -> int | None:
    """How long nobody has used the engine, by the clock that watchers keep on the VM; None where none is kept.

    :param record: what is in activity.json.
    :param activity: the engine's use as it is now.
    """
    try:
        clock = IdleClock.from_dict(record["clock"])
    except (KeyError, TypeError, ValueError):
        return None
    now = tuple(_count(activity, name) for name in ("prompt_tokens", "generation_tokens", "requests"))
    unused = clock.started and clock.readable and now == clock.counters
    return int(clock.idle_s) if unused else 0


def outside_findings(provider: Mapping[str, Any], error: str, now: float) -> tuple[Finding, ...]:
    """What can be said of a VM that was not reached."""
    # A changed tag says nothing about the state.
    changes = [float(event["at"]) for event in provider.get("events") or () if event["action"] != "linode_update"]
    changed = max(changes, default=None)
    since = None if changed is None else now - changed
    return (status_finding(provider.get("status"), since), ssh_finding(error, provider.get("status")))
