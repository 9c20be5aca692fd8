# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one look leaves on the VM for the next, whoever looks: some troubles show only to who has looked before.

Without it, or when it cannot be read, everything is seen for the first time: that delays a failure and never makes one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..core.atomic_file import replace_file

# Facts of a look that the next one compares with.
KEPT = ("boot_id", "rebooted", "clock", "hangs", "activity", "flat_since", "history", "pcie")
_NAME = "last_look.json"


def recall(directory: str) -> dict[str, Any]:
    """The facts of the last look; empty when there are none."""
    try:
        kept = json.loads((Path(directory) / _NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return {name: kept[name] for name in KEPT if name in kept} if isinstance(kept, dict) else {}


def keep(directory: str, facts: dict[str, Any]) -> None:
    """Instead of what was there; of two who look at the same moment the later one counts."""
    replace_file(Path(directory) / _NAME, json.dumps({name: facts.get(name) for name in KEPT}), 0o644, parents=True)
