# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long an engine may take to start, and how often it may be started again before that is no accident."""

from __future__ import annotations

# Boot, download and load of the largest models; then somebody has to look.
START_BUDGET_S = 3600
# One end may have been an accident; the second is a loop.
LOOP_RESTARTS = 2


def loops(restarts: int) -> bool:
    """Whether a restart policy has started an engine so often that another start will not help."""
    return restarts >= LOOP_RESTARTS
