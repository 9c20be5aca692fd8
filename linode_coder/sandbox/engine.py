"""Which engine the hosts run, and what they need from this machine for it."""

from __future__ import annotations

from typing import Any

from .vllm_env import Say, setup


def engine_setup(engine: str, say: Say) -> tuple[dict[str, Any], dict[str, str]]:
    """Content of /etc/sandbox/engine.json, and read-only mounts (machine path -> path in the host)."""
    if engine == "vllm":
        return setup(say)
    return {"engine": engine, "env": {}}, {}
