"""The engine of a session as its VM has it: what was asked for, with the flags that stand in vllm.yaml by now."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.config_file import parse
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.state import SCHEMA, in_effect

from .ssh_failure import ssh_failure
from .tunnel import bounded, ssh_command

# Far more than either has.
_MOST = 256 * 1024
_QUESTION = f"head -c {_MOST} /var/lib/linode-coder/engine.json && printf '\\0' && head -c {_MOST} /opt/linode-coder/vllm/vllm.yaml"


def engine_in_effect(view: dict[str, Any]) -> dict[str, Any]:
    """``{"model", "image", "flags", "environment"}``; Failure(unhealthy) when the VM does not say it."""
    done = bounded(view["name"], [*ssh_command(view, "-o", "BatchMode=yes"), _QUESTION], capture_output=True)
    if done.returncode == 255:
        raise ssh_failure(view)
    spec = engine_of(done.stdout) if done.returncode == 0 else None
    if spec is None:
        raise Failure(
            "unhealthy",
            f"The VM of session {view['name']!r} does not say which engine it runs.",
            remedy=f"Verify and repair it: linode-coder up {view['name']}",
        )
    return spec


def engine_of(answer: str) -> dict[str, Any] | None:
    """From the two files, with a NUL between them; None when they are not what our modules write. Failure(config) for flags that
    cannot be read."""
    state, _nul, flags = answer.partition("\0")
    try:
        known = json.loads(state)
    except (ValueError, RecursionError):
        return None
    if not isinstance(known, dict) or known.get("schema") != SCHEMA or not isinstance(known.get("wanted"), dict):
        return None
    spec = in_effect(known, parse(flags))
    if spec is None or not isinstance(spec.get("model"), str) or not isinstance(spec.get("image"), str):
        return None
    environment = spec.get("environment")
    names = environment.items() if isinstance(environment, dict) else ()
    return {
        "model": spec["model"],
        "image": spec["image"],
        "flags": spec["flags"],
        "environment": {str(name): str(value) for name, value in names},
    }
