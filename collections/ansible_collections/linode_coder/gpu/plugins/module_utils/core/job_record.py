# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module knows of work on a VM that outlives it: a file in /run, so that a reboot ends both."""

from __future__ import annotations

import json
from typing import Any

from .atomic_file import replace_file
from .vm_module import start_ticks


class JobRecord:
    def __init__(self, path: str) -> None:
        self.path = path

    def load(self) -> dict[str, Any]:
        """Empty when there is none, or none that can be read."""
        try:
            with open(self.path, encoding="utf-8") as file:
                found: dict[str, Any] = json.load(file)
                return found
        except (OSError, ValueError):
            return {}

    def save(self, **facts: Any) -> None:
        """Beside what is known already."""
        replace_file(self.path, json.dumps({**self.load(), **facts}), 0o644, parents=True)

    def running(self) -> bool:
        """By ``pid`` and ``ticks``; what ended at once has no ticks."""
        found = self.load()
        return found.get("ticks") is not None and start_ticks(found["pid"]) == found["ticks"]
