"""Which faults somebody asked this host to have."""

from __future__ import annotations

import json
from pathlib import Path

FILE = Path("/run/sandbox/faults.json")


def active(kind: str) -> dict[str, object] | None:
    """The first fault of this kind, or None."""
    if not FILE.exists():
        return None
    return next((fault for fault in json.loads(FILE.read_text()) if fault["kind"] == kind), None)
