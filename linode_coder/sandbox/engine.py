"""Which engine the hosts run, and what they need from this machine for it."""

from __future__ import annotations

from typing import Any

from . import vllm_env, webui_env
from .own_environment import Say


def engine_setup(engine: str, hosts: str, say: Say) -> tuple[dict[str, Any], dict[str, str]]:
    """Content of /etc/sandbox/engine.json, and read-only mounts (machine path -> path in the host)."""
    if engine != "vllm":
        return {"engine": engine, "env": {}}, {}
    config, binds = vllm_env.setup(say)
    if hosts != "simulated":
        # In a container that Docker runs there is no more than its image has and its Compose file mounts.
        return config, binds
    more, mounts = webui_env.setup(config["python"], config["vllm_env"]["LD_LIBRARY_PATH"])
    return {**config, **more}, {**binds, **mounts}
