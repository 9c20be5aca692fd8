# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a run is slow, or is not to be believed: one reason, with the figures that it rests on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

# In the order in which they explain: what makes the figures none, what is broken, what is too small, what is around it, how slow.
IDS = (
    *("requests_failed", "generator_lag"),
    *("throttled", "link_degraded", "gpu_idle", "memory_unbalanced", "neighbour"),
    *("preemptions", "kv_cache_small", "queue"),
    *("host_cpu", "network"),
    *("below_expected", "below_baseline"),
    # Of the starts, not of the tokens.
    "disk_slow",
)


@dataclass(frozen=True)
class Reason:
    """``id`` is one of IDS, ``severity`` one of core/finding.py; pass is worth knowing and no fault."""

    id: str
    severity: str
    summary: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
