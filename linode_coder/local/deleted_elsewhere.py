"""Sessions whose VM is gone without this machine having deleted it: what it keeps of them, and what they cost."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import (
    cost,
    format_time,
    parse_time,
    started_hours,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import runtime_dir, state_dir

from ..api import LinodeReader
from . import history


def of_another_account(reader: LinodeReader, name: str) -> bool:
    """Whether the session was made in an account that this token does not open: its VM may live there."""
    accounts = {record["account"] for record in history.known(name) if record["account"] and not record["ended"]}
    return bool(accounts) and reader.get("account")["euuid"] not in accounts


def kept_here(reader: LinodeReader, alive: Collection[str | None]) -> list[str]:
    """Sessions without a VM in the account that this machine keeps files or a tunnel of."""
    names = {path.name for path in (state_dir() / "sessions").glob("*") if path.is_dir()}
    names |= {path.stem for path in runtime_dir().glob("*.sock")}
    return [name for name in sorted(names - set(alive)) if not of_another_account(reader, name)]


def _deleted(reader: LinodeReader, linode_id: int) -> int | None:
    """When the account's events say that it was deleted; they reach back 90 days."""
    wanted = {"entity.id": linode_id, "entity.type": "linode", "action": "linode_delete"}
    try:
        rows = reader.get("account/events?page_size=25", wanted)["data"]
    except Failure as failure:
        if failure.kind not in ("scope", "auth"):
            raise
        return None
    return max((parse_time(row["created"]) for row in rows if row["status"] != "failed"), default=None)


def unended(reader: LinodeReader, alive: Collection[int]) -> list[dict[str, Any]]:
    """Sessions of this account that the history takes for running; with their end and cost, None where nobody knows."""
    records = [row for row in history.known() if not row["ended"] and row["linode_id"] not in alive]
    if not records:
        return []
    account = reader.get("account")["euuid"]
    found = []
    for record in records:
        end = _deleted(reader, record["linode_id"])
        # What is only known by sight may be of another account: its own events have to say that it is gone.
        if record["account"] != account and (record["account"] or end is None):
            continue
        created = parse_time(record["created"])
        found.append(
            {
                "name": record["name"],
                "linode_id": record["linode_id"],
                "ended": None if end is None else format_time(end),
                "hours": None if end is None else started_hours(created, end),
                "cost": None if end is None else cost(created, end, record["hourly"]),
            }
        )
    return found
