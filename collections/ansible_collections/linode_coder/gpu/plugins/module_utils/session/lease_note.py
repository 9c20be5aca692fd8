# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a lease that was extended, and of a pause, noted a second time: on the session's firewall.

Tags can only be replaced as a whole and nothing compares them first. Whoever read a Linode's tags before an extension
and writes them after it takes it back without knowing. The firewall's tags are written by extensions and pauses alone,
so what got lost is seen there, by everybody, and put back before anything is deleted.
"""

from __future__ import annotations

from typing import Any

from .tags import DecodedTags

_LEASE = "lc:lease-note:"
_PAUSE = "lc:pause-note:"


def _with(existing: list[str], prefix: str, hard_cap: int, value: int | None) -> list[str]:
    kept = [tag for tag in existing if not tag.lower().startswith(prefix)]
    return kept if value is None else [*kept, f"{prefix}{hard_cap}:{value}"]


def with_note(existing: list[str], hard_cap: int, clocks: dict[str, Any]) -> list[str]:
    """The firewall's tags with what of ``clocks`` is noted. A note is of the session with this cap, which never moves."""
    if "lease_end" in clocks:
        existing = _with(existing, _LEASE, hard_cap, clocks["lease_end"])
    if "pause" in clocks:
        existing = _with(existing, _PAUSE, hard_cap, clocks["pause"])
    return existing


def _noted(tags: list[str], prefix: str, hard_cap: int) -> int | None:
    for tag in tags:
        cap, _colon, value = tag.lower().removeprefix(prefix).partition(":")
        if tag.lower().startswith(prefix) and cap == str(hard_cap) and value.isascii() and value.isdigit():
            return int(value)
    return None


def lost(tags: DecodedTags, noted: list[str], now: int) -> dict[str, Any]:
    """What the Linode's ``tags`` lack of what the firewall's tags ``noted``: changes for them, empty when all is there."""
    if not tags.complete or tags.hard_cap is None or tags.lease_end is None:
        return {}
    found: dict[str, Any] = {}
    end = _noted(noted, _LEASE, tags.hard_cap)
    if end is not None and tags.lease_end < end <= tags.hard_cap:
        # The mark was decided on without it.
        found.update(lease_end=end, doom=None)
    pause = _noted(noted, _PAUSE, tags.hard_cap)
    if pause is not None and pause > max(now, tags.pause or 0):
        found["pause"] = pause
    return found
