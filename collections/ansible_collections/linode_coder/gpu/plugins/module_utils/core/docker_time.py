# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times as Docker writes them."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any


def parse_docker_time(text: Any) -> float | None:
    """Seconds since the epoch of Docker's RFC 3339 with nanoseconds; None for never, which is the year 1, and for anything else."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", str(text))
    if not match or match[1].startswith("0001"):
        return None
    try:
        moment = datetime.fromisoformat(match[1] + match[3].replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment.timestamp() + float(f"0.{match[2] or 0}")
