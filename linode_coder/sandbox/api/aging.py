"""Making objects older than they are: what depends on age need not be waited for."""

from __future__ import annotations

from .envelope import Json, stamp, unstamp
from .sandbox import Sandbox


def make_older(sandbox: Sandbox, name: str, seconds: float) -> list[Json]:
    """The instances and firewalls called ``name`` (label or id), whose creation is ``seconds`` earlier now."""
    found: list[Json] = []
    for record in sandbox.instances():
        api = record["api"]
        if name in (api["label"], str(api["id"])):
            sandbox.touch(record, created=stamp(unstamp(api["created"]) - seconds))
            found.append({"kind": "linode", **{key: api[key] for key in ("id", "label", "created")}})
    for firewall in sandbox.store.table("firewall").values():
        if name in (firewall["label"], str(firewall["id"])):
            firewall["created"] = stamp(unstamp(firewall["created"]) - seconds)
            sandbox.store.put("firewall", firewall["id"], firewall)
            found.append({"kind": "firewall", **{key: firewall[key] for key in ("id", "label", "created")}})
    return found
