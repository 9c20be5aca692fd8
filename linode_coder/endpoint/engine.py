"""The engine of a session, asked through its tunnel."""

from __future__ import annotations

from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.client import EngineSilent

from .api_key import api_key
from .port_owner import TunnelClient
from .tunnel import open_tunnel


def client(view: dict[str, Any], timeout: float = 120) -> TunnelClient:
    """With the session's API key; the tunnel is opened first."""
    open_tunnel(view)
    return TunnelClient(view["name"], api_key(view), timeout)


def served_model(view: dict[str, Any]) -> dict[str, Any]:
    """The first of the models that the engine names, as it describes it, through the tunnel that is open."""
    name = view["name"]
    try:
        return TunnelClient(name, api_key(view), timeout=15).served()
    except EngineSilent as silent:
        raise Failure(
            "unhealthy",
            f"The engine of session {name!r} does not say what it serves.",
            cause=silent.reason,
            remedy=f"Look at it: linode-coder logs {name}. Verify it: linode-coder up {name}",
        ) from silent
