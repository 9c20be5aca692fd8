"""Times for people: local, with the zone. JSON and what the collection says keep UTC."""

from __future__ import annotations

import time

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import parse_time
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.duration import format_duration


def when(moment: str | int | None, now: float | None = None) -> str:
    """Seconds since the epoch, or a time in UTC as JSON has it, as ``14:05 CET``; with its date where that is not today's.

    TZ says which zone. What is no time is shown as it is.
    """
    if moment is None:
        return "unknown"
    try:
        local = time.localtime(parse_time(moment) if isinstance(moment, str) else moment)
        today = time.localtime(now)
    except (ValueError, OverflowError, OSError):
        return str(moment)
    clock = time.strftime("%H:%M %Z", local)
    if local[:3] == today[:3]:
        return clock
    day = time.strftime("%d %b" if local.tm_year == today.tm_year else "%d %b %Y", local).lstrip("0")
    return f"{day} {clock}"


def ago(moment: str | int, now: float) -> str:
    """How long ago something was seen: ``as of 5 min ago``; nothing where that is now."""
    seconds = now - (parse_time(moment) if isinstance(moment, str) else moment)
    return f"as of {format_duration(seconds)} ago" if seconds >= 10 else ""
