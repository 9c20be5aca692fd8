# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pull of an image in the background of the VM, as it was begun there."""

from __future__ import annotations

import hashlib
import json
import os
import time
from typing import Any

from ..core.atomic_file import replace_file
from ..core.vm_module import RUN_DIRECTORY, start_in_background, start_ticks

DIRECTORY = os.path.join(RUN_DIRECTORY, "pulls")
# The newest part of what a pull says.
_LOG_BYTES = 2_000_000


def text_of(path: str) -> str:
    """What a pull said of late; empty when there is none."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.path.getsize(path) - _LOG_BYTES))
            return file.read(_LOG_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


class Pull:
    """One pull in the background: its record and its log lie in /run, so that a reboot ends both."""

    def __init__(self, name: str) -> None:
        base = os.path.join(DIRECTORY, hashlib.sha256(name.encode()).hexdigest()[:16])
        self.record, self.log = base + ".json", base + ".log"

    def load(self) -> dict[str, Any]:
        try:
            with open(self.record, encoding="utf-8") as file:
                record: dict[str, Any] = json.load(file)
                return record
        except (OSError, ValueError):
            return {}

    def save(self, **facts: Any) -> None:
        replace_file(self.record, json.dumps({**self.load(), **facts}), 0o644, parents=True)

    def text(self) -> str:
        return text_of(self.log)

    def running(self) -> bool:
        found = self.load()
        # A pull that ended at once has none.
        return found.get("ticks") is not None and start_ticks(found["pid"]) == found["ticks"]

    def start(self, docker: str, reference: str) -> None:
        found = self.load()
        os.makedirs(os.path.dirname(self.record), mode=0o755, exist_ok=True)
        pid = start_in_background([docker, "pull", reference], self.log)
        self.save(
            pid=pid,
            ticks=start_ticks(pid),
            started=found.get("started") or time.time(),
            attempts=found.get("attempts", 0) + 1,
            finished=None,
        )
