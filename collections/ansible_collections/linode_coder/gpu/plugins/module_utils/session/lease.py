# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two clocks of a session: the lease with its hard cap, and idleness."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, tzinfo
from typing import NamedTuple

from ..core.cost import format_time
from ..core.duration import format_duration, parse_duration
from ..core.failure import Failure

DEFAULT_LEASE = "8h"
DEFAULT_CAP = "24h"
DEFAULT_IDLE = "45m"
MIN_LEASE_S = 600
MIN_IDLE_S = 600
_CLOCK = re.compile(r"\d{1,2}:\d{2}", re.ASCII)
_NEVER = ("off", "false", "never", "0")
_DATE = re.compile(r"\d{4}-?\d{2}-?\d{2}", re.ASCII)


class Lease(NamedTuple):
    end: int  # seconds since the epoch; extend moves it
    cap: int  # seconds since the epoch; never moves


def new_lease(now: int, lease: str | None, cap: str | None) -> Lease:
    """A lease that starts at ``now`` (seconds since the epoch). Unset means the default; none is without end."""
    for field, text in (("lease", lease), ("cap", cap)):
        if str(text).strip().lower() in _NEVER:
            raise Failure(
                "usage",
                f"{field} {text!r}: every session ends.",
                remedy="Leave it out for the default, or write how long, for example 12h.",
                field=field,
                value=text,
            )
    lease_s = parse_duration(lease or DEFAULT_LEASE, "lease")
    cap_s = parse_duration(cap or DEFAULT_CAP, "cap")
    if lease_s < MIN_LEASE_S:
        raise Failure(
            "usage",
            f"lease {lease!r} is too short: the VM would be deleted before it serves anything.",
            remedy=f"Ask for at least {format_duration(MIN_LEASE_S)}, for example --lease 2h.",
            field="lease",
            value=lease,
        )
    if lease_s > cap_s:
        raise Failure(
            "usage",
            f"lease {lease or DEFAULT_LEASE!r} is longer than the hard cap of {format_duration(cap_s)}.",
            remedy="Ask for a shorter lease (extend it later), or raise the cap, for example --cap 2d.",
            field="lease",
            value=lease,
        )
    return Lease(now + lease_s, now + cap_s)


def parse_idle(text: str | None) -> int | None:
    """Minutes without a token after which the session goes; None when ``text`` is 'off'; unset means the default.

    0 is refused: elsewhere it has meant both "never" and "at once".
    """
    if text is None or text == "":
        text = DEFAULT_IDLE
    if str(text).strip().lower() in ("off", "false"):
        return None
    if str(text).strip() == "0":
        raise Failure(
            "usage",
            f"idle {text!r} can be read both as never and as at once.",
            remedy="Use 'off' to keep an idle VM until its lease ends, or at least 10m.",
            field="idle",
            value=text,
        )
    seconds = parse_duration(text, "idle")
    if seconds < MIN_IDLE_S:
        raise Failure(
            "usage",
            f"idle {text!r} is too short: a pause for thought would delete the VM.",
            remedy=f"Use at least {format_duration(MIN_IDLE_S)}, or 'off' to keep an idle VM until its lease ends.",
            field="idle",
            value=text,
        )
    return seconds // 60


def parse_until(text: str, now: int, zone: tzinfo | None = None) -> int:
    """Seconds since the epoch of a time as people write it: 18:30 (the next one), or a date with a time.

    Without a zone of its own it is of ``zone``; None is this machine's.
    """
    local = datetime.fromtimestamp(now, zone)
    compact = str(text).strip()
    try:
        if _CLOCK.fullmatch(compact):
            hour, minute = (int(part) for part in compact.split(":"))
            at = local.replace(hour=hour, minute=minute, second=0, microsecond=0)
            if at <= local:
                at += timedelta(days=1)
        else:
            at = datetime.fromisoformat(compact)
            if _DATE.fullmatch(compact):
                raise ValueError("a date alone")
            at = at if at.tzinfo else at.replace(tzinfo=zone)
        # Only now it becomes a time of this machine's: its offset may be another one on that day.
        return int(at.timestamp())
    except (ValueError, OverflowError, OSError) as error:
        raise Failure(
            "usage",
            f"until {text!r} is not a time.",
            remedy="Write 18:30, 2026-12-24T18:30 (this machine's time) or 2026-12-24T18:30Z.",
            field="until",
            value=text,
        ) from error


def extended(lease: Lease, now: int, by: str | None, until: str | None, zone: tzinfo | None = None) -> int:
    """The lease's new end. ``by`` counts from its end, or from now when that is over; ``until`` never shortens it."""
    if (by is None) == (until is None):
        raise Failure(
            "usage",
            "Say either how long to extend the lease, or until when.",
            remedy="For example 2h, or --until 18:30.",
            field="extend",
        )
    if until is not None:
        end = parse_until(until, now, zone)
        if end <= now:
            raise Failure(
                "usage",
                f"until {until!r} is over: it is {format_time(now)} now.",
                remedy="Name a later time. To end the session: linode-coder down NAME.",
                field="until",
                value=until,
            )
    else:
        end = max(lease.end, now) + parse_duration(str(by), "extend")
    if end > lease.cap:
        left = lease.cap - max(lease.end, now)
        raise Failure(
            "refused",
            f"The lease cannot go beyond its hard cap {format_time(lease.cap)}, and this would end it at {format_time(end)}.",
            remedy=f"Extend it by at most {format_duration(left)}, or start a new session."
            if left > 0
            else "It cannot be extended any more; start a new session.",
            field="until" if until is not None else "extend",
            value=until if until is not None else by,
        )
    return max(lease.end, end)


def paused_until(now: int, pause: str, hard_cap: int) -> int:
    """When a pause that begins now ends: at the latest with the session."""
    seconds = parse_duration(pause, "pause")
    if seconds < 60:
        raise Failure(
            "usage",
            f"A pause of {pause!r} is too short.",
            remedy="Pause for at least 1m, for example 2h. To end a pause: linode-coder pause NAME --off",
            field="pause",
            value=pause,
        )
    return min(now + seconds, hard_cap)
