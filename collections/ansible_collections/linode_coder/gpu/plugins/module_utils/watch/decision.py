# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a watcher does with a VM: nothing, mark it for deletion, take the mark back, or delete it.

Every watcher computes this anew from what exists, so it does not matter how many there are or where one of them died.
A deletion takes two looks: the first one marks and warns, a later one deletes, at the earliest GRACE_S after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..core.cost import format_time, paid_until, parse_time
from ..core.duration import format_duration
from .idle_clock import IdleClock

# Between the mark and the deletion.
GRACE_S = 600
# How long before a deletion that is foreseen it is marked and people are warned, at least.
NOTICE_S = 900
# Between the mark and the deletion of what nobody looks after.
ORPHAN_GRACE_S = 1800
# A VM this young may still be being made.
YOUNG_S = 600
# Between the control node's clock and the API's; beyond it, times say nothing.
MAX_SKEW_S = 300
# A deletion asked for later than this before the hour ends may come too late for it.
HOUR_MARGIN_S = 60
# How early before the end of a paid hour a deletion may be, at least: two passes of a watcher fit in.
MIN_WINDOW_S = 600
DEFAULT_INTERVAL_S = 300
LABEL_PREFIX = "lc-"


class Plan(NamedTuple):
    """A deletion that is foreseen: why, and at which time (seconds since the epoch)."""

    cause: str  # cap, lease, idle, orphan, superseded, budget
    at: int


@dataclass(frozen=True)
class Decision:
    """``action`` is keep, mark, unmark, wait, delete, blocked (by a lock) or refused (by a wrong clock)."""

    action: str
    sentence: str
    cause: str | None = None
    at: int | None = None  # when the VM would be deleted
    doom: int | None = None  # what to write into the mark

    def as_dict(self) -> dict[str, Any]:
        return {
            "action": self.action,
            "sentence": self.sentence,
            "cause": self.cause,
            "at": None if self.at is None else format_time(self.at),
            "doom": self.doom,
        }


def window(interval_s: int) -> int:
    """Seconds before the end of a paid hour in which an idle VM goes: enough for two passes of this watcher."""
    return max(MIN_WINDOW_S, min(3600, 2 * interval_s))


def notice(interval_s: int) -> int:
    """Seconds before a deletion at which it is marked: a pass with room for the grace comes before it."""
    return max(NOTICE_S, interval_s + GRACE_S)


def fresh_for(interval_s: int) -> int:
    """How long a mark counts after its time. An older one is of before a sleep, and is made anew with a new grace."""
    return max(7200, 3 * interval_s)


def in_paid_hour(created: int, earliest: int, window_s: int) -> int:
    """The first moment from ``earliest`` on that lies in the last ``window_s`` seconds of a paid hour."""
    end = paid_until(created, earliest)
    if earliest > end - HOUR_MARGIN_S:
        end += 3600
    return max(earliest, end - window_s)


def _whole_minute(at: float) -> int:
    """Not before ``at``; so that watchers that look at the same moment write the same mark."""
    return int(-(-at // 60) * 60)


def lease_deletion(created: int, lease_end: int) -> int:
    """When a lease that ends at ``lease_end`` is acted upon.

    The price to the lease's end was shown, so a lease that ends just before another hour would begin is ended in time
    for that hour not to begin: at most ``MIN_WINDOW_S`` earlier.
    """
    return min(lease_end, paid_until(created, lease_end) - MIN_WINDOW_S)


def _idle_plan(view: dict[str, Any], clock: IdleClock | None, now: int, doom: int | None, window_s: int) -> Plan | None:
    limit = view["idle_minutes"]
    if limit is None or clock is None or not clock.started or not clock.readable:
        return None
    limit_s = limit * 60
    if clock.idle_s < limit_s / 2:
        return None
    reached = now + max(0.0, limit_s - clock.idle_s)
    earliest = _whole_minute(max(reached, now + GRACE_S)) if doom is None else max(int(reached + 0.999), doom)
    return Plan("idle", in_paid_hour(parse_time(view["created"]), earliest, window_s))


def plans(
    view: dict[str, Any],
    clock: IdleClock | None,
    now: int,
    interval_s: int = DEFAULT_INTERVAL_S,
    superseded: bool = False,
    unpaid: int | None = None,
) -> list[Plan]:
    """Every deletion that is foreseen if nothing changes, the first one first. ``unpaid`` is as in `decide`."""
    created = parse_time(view["created"])
    doom = parse_time(view["doomed"]) if view["doomed"] else None
    found = []
    # Somebody else's Linode that carries our marker by mistake has neither.
    ours = view["name"] is not None or view["label"].startswith(LABEL_PREFIX)
    if (superseded or view["lease_end"] is None) and ours and now - created >= YOUNG_S:
        at = doom if doom is not None else _whole_minute(now + ORPHAN_GRACE_S)
        found.append(Plan("superseded" if superseded else "orphan", at))
    for cause, field in (("lease", "lease_end"), ("cap", "hard_cap")):
        if view[field] is not None and ours:
            found.append(Plan(cause, lease_deletion(created, parse_time(view[field]))))
    if unpaid is not None and ours:
        found.append(Plan("budget", unpaid - MIN_WINDOW_S))
    if view["complete"] and not view["paused_until"]:
        idle = _idle_plan(view, clock, now, doom, window(interval_s))
        if idle:
            found.append(idle)
    return sorted(found, key=lambda plan: plan.at)


_NOBODYS = ("orphan", "superseded")
_WHY = {
    "cap": "its hard cap is reached",
    "lease": "its lease ends",
    "idle": "nobody has used it for {idle}",
    "orphan": "its tags name no lease, so nobody looks after it",
    "superseded": "another VM serves its session now",
    "budget": "this month's budget does not pay its next hour",
}


def why(cause: str, clock: IdleClock | None) -> str:
    return _WHY[cause].format(idle=format_duration(clock.idle_s) if clock else "some time")


def decide(
    view: dict[str, Any],
    clock: IdleClock | None,
    now: int,
    skew: float | None = None,
    interval_s: int = DEFAULT_INTERVAL_S,
    superseded: bool = False,
    unpaid: int | None = None,
) -> Decision:
    """What to do with the VM of ``view`` now.

    :param clock: its idle clock as just read from the VM; None when nobody could read it.
    :param now: seconds since the epoch by this control node's clock.
    :param skew: seconds that this clock is ahead of the API's; None when the API did not say.
    :param interval_s: how often this watcher looks.
    :param superseded: whether a newer VM of the same session was just seen to serve.
    :param unpaid: when its first hour begins that the budget does not pay, and the user chose that it ends the session.
    """
    label = view["label"]
    if view["status"] == "deleting":
        return Decision("keep", f"{label} is being deleted.")
    created = parse_time(view["created"])
    marked = parse_time(view["doomed"]) if view["doomed"] else None
    past_cap = view["hard_cap"] is not None and now >= parse_time(view["hard_cap"])
    stale = marked is not None and now > marked + fresh_for(interval_s) and not past_cap
    foreseen = plans({**view, "doomed": None} if stale else view, clock, now, interval_s, superseded, unpaid)
    soon = [plan for plan in foreseen if plan.at <= now + notice(interval_s) or plan.cause in _NOBODYS]
    if not soon:
        return _keep(view, clock, marked, foreseen)
    first = soon[0]
    if skew is not None and abs(skew) > MAX_SKEW_S:
        return Decision(
            "refused",
            f"{label} would be deleted because {why(first.cause, clock)}, but this machine's clock is "
            f"{format_duration(abs(skew))} {'ahead of' if skew > 0 else 'behind'} the API's: set the clock.",
            first.cause,
            first.at,
        )
    if view["locks"]:
        return Decision(
            "blocked",
            f"{label} would be deleted because {why(first.cause, clock)}, but somebody protected it with the lock "
            f"{view['locks'][0]}: it keeps billing. Remove the lock if that is intended.",
            first.cause,
            first.at,
        )
    if marked is None or stale:
        doom = _whole_minute(max(now + GRACE_S, first.at))
        cost = f"paid until {format_time(paid_until(created, now))}"
        return Decision(
            "mark",
            f"{label} will be deleted after {format_time(doom)} because {why(first.cause, clock)} ({cost}).",
            first.cause,
            doom,
            doom,
        )
    due = max(first.at, marked)
    if now < due:
        return Decision(
            "wait",
            f"{label} will be deleted after {format_time(due)} because {why(first.cause, clock)}.",
            first.cause,
            due,
        )
    return Decision("delete", f"{label} is to be deleted because {why(first.cause, clock)}.", first.cause, due)


def _keep(view: dict[str, Any], clock: IdleClock | None, marked: int | None, foreseen: list[Plan]) -> Decision:
    """Nothing is due. A mark goes, unless its reason may only be out of sight."""
    label = view["label"]
    if marked is None:
        at = foreseen[0] if foreseen else None
        return Decision("keep", f"{label} stays.", at.cause if at else None, at.at if at else None)
    blind = clock is None or (clock.started and not clock.readable)
    if blind and view["complete"] and view["idle_minutes"] is not None and not view["paused_until"]:
        return Decision("wait", f"{label} is marked for deletion, but whether it is idle cannot be read now.", "idle")
    return Decision("unmark", f"{label} is no longer to be deleted.")


def serves(clock: IdleClock | None) -> bool:
    """Whether the engine behind ``clock`` has been seen to serve: it could be read, has produced tokens, and does not hang."""
    return clock is not None and clock.started and clock.readable and not clock.hung


def superseded(views: list[dict[str, Any]], clocks: Mapping[str, IdleClock | None]) -> set[str]:
    """Labels of VMs whose session a newer one serves: a replacement was cut short before its last step.

    That it exists and runs is no proof, and ``clocks`` (by label, as just read) is the only one there is: as long as
    nobody can see it serve, the old VM stays until its lease ends.
    """
    newest: dict[str, int] = {}
    for view in views:
        if view["name"] and view["generation"] is not None and serves(clocks.get(view["label"])):
            newest[view["name"]] = max(newest.get(view["name"], 0), view["generation"])
    return {
        view["label"]
        for view in views
        if view["name"] and view["generation"] is not None and view["generation"] < newest.get(view["name"], 0)
    }


def budget(sessions: int, most: int | None = None) -> int:
    """Deletions that one pass may make: a wrong reading must not take everything at once."""
    return most if most is not None else max(3, sessions // 2)
