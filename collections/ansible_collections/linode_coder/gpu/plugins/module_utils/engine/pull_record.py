# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pull of an image in the background of the VM, as it was begun there."""

from __future__ import annotations

import hashlib
import os
import time

from ..core.job_record import JobRecord
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


class Pull(JobRecord):
    """One pull in the background: its record and its log."""

    def __init__(self, name: str) -> None:
        base = os.path.join(DIRECTORY, hashlib.sha256(name.encode()).hexdigest()[:16])
        super().__init__(base + ".json")
        self.log = base + ".log"

    def text(self) -> str:
        return text_of(self.log)

    def start(self, docker: str, reference: str) -> None:
        found = self.load()
        os.makedirs(os.path.dirname(self.path), mode=0o755, exist_ok=True)
        pid = start_in_background([docker, "pull", reference], self.log)
        self.save(
            pid=pid,
            ticks=start_ticks(pid),
            started=found.get("started") or time.time(),
            attempts=found.get("attempts", 0) + 1,
            finished=None,
        )
