# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two clocks of a session: the lease with its hard cap, and idleness."""

from __future__ import annotations

from typing import NamedTuple

from .duration import format_duration, parse_duration
from .failure import Failure

DEFAULT_LEASE = "8h"
DEFAULT_CAP = "24h"
DEFAULT_IDLE = "45m"
MIN_LEASE_S = 600
MIN_IDLE_S = 600


class Lease(NamedTuple):
    end: int  # seconds since the epoch; extend moves it
    cap: int  # seconds since the epoch; never moves


def new_lease(now: int, lease: str | None, cap: str | None) -> Lease:
    """A lease that starts at ``now`` (seconds since the epoch)."""
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
