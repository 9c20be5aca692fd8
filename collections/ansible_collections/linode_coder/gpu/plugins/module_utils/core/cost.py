# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Linode costs: every started hour is paid in full, for as long as it exists, powered on or not.

Source: the provider's billing page; GPU plans have had no monthly cap since 2026-07-01. Whether the clock starts at
``created`` is not documented; ``created`` is the earlier, safer reading.
"""

from __future__ import annotations

import math
from datetime import datetime, timezone


def parse_time(text: str) -> int:
    """Seconds since the epoch of an API time, which is UTC and says so only sometimes."""
    return int(datetime.fromisoformat(text.rstrip("Z")).replace(tzinfo=timezone.utc).timestamp())


def format_time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def started_hours(created: int, until: int) -> int:
    """Hours that are paid for an instance that exists from ``created`` to ``until``: at least one."""
    return max(1, math.ceil((until - created) / 3600))


def cost(created: int, until: int, hourly: float | None) -> float | None:
    """Dollars; None when the price is unknown, which is not the same as free."""
    return None if not hourly else round(started_hours(created, until) * hourly, 4)


def paid_until(created: int, now: int) -> int:
    """The moment at which the next hour begins to be billed."""
    return created + started_hours(created, now) * 3600
