# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tokens of our own checks, which are no use of the engine. Kept on the VM, for everybody who looks."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..core.atomic_file import replace_file
from ..core.file_lock import file_lock


class OwnTokens:
    """What our own questions added to the counters of the engine that runs now, shared by everybody who looks."""

    def __init__(self, directory: str) -> None:
        self.path = Path(directory) / "canary.json"
        self._held = ExitStack()

    def __enter__(self) -> OwnTokens:
        self._held.enter_context(file_lock("/run/linode-coder/canary.lock"))
        return self

    def __exit__(self, *_error: object) -> None:
        self._held.close()

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
        replace_file(self.path, json.dumps({"process_start": process_start, **total}), 0o644, parents=True)
