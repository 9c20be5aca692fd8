# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tokens of our own checks, which are no use of the engine. Kept on the VM, for everybody who looks."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import Any


class OwnTokens:
    """What our own questions added to the counters of the engine that runs now, shared by everybody who looks."""

    def __init__(self, directory: str) -> None:
        self.path = Path(directory) / "canary.json"
        self.lock = Path("/run/linode-coder/canary.lock")

    def __enter__(self) -> OwnTokens:
        self.lock.parent.mkdir(parents=True, exist_ok=True)
        self.file = self.lock.open("a", encoding="ascii")
        fcntl.flock(self.file, fcntl.LOCK_EX)
        return self

    def __exit__(self, *_error: object) -> None:
        self.file.close()

    def of(self, process_start: float | None) -> dict[str, int]:
        try:
            kept = json.loads(self.path.read_text(encoding="ascii") if self.path.exists() else "{}")
            own = kept if kept.get("process_start") == process_start else {}
            return {name: int(own.get(name) or 0) for name in ("prompt_tokens", "generation_tokens", "requests")}
        except (ValueError, AttributeError, TypeError):
            return {"prompt_tokens": 0, "generation_tokens": 0, "requests": 0}

    def add(self, process_start: float | None, usage: dict[str, Any]) -> None:
        total = self.of(process_start)
        total["prompt_tokens"] += int(usage.get("prompt_tokens") or 0)
        total["generation_tokens"] += int(usage.get("completion_tokens") or 0)
        total["requests"] += 1
        self.write(process_start, total)

    def write(self, process_start: float | None, total: dict[str, int]) -> None:
        """Keep the totals; an OSError where nothing can be kept, and then nothing should be asked either."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps({"process_start": process_start, **total}), encoding="ascii")
        new.replace(self.path)
