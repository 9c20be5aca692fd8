"""Which engine the simulated hosts run, and what they need from this machine for it."""

from __future__ import annotations

from typing import Any


def engine_setup(engine: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Content of /etc/sandbox/engine.json, and read-only mounts (machine path -> path in the host)."""
    return {"engine": engine, "env": {}}, {}
