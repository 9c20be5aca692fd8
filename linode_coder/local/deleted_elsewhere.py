"""Sessions whose VM is gone without this machine having deleted it: what it keeps of them, and what they cost."""

from __future__ import annotations

from collections.abc import Collection, Iterable
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

# Of how many VMs the events are asked for at once: their numbers travel in a header.
_AT_ONCE = 50


def _made_in(name: str) -> set[str]:
    """The accounts that the session was made in, as far as they are known and it is not known to have ended."""
    return {record["account"] for record in history.known(name) if record["account"] and not record["ended"]}


def _elsewhere(reader: LinodeReader, names: Iterable[str]) -> set[str]:
    """Those of ``names`` that were made in an account that this token does not open: their VMs may live there."""
    made = {name: accounts for name in names if (accounts := _made_in(name))}
    if not made:
        return set()
    account = reader.get("account")["euuid"]
    return {name for name, accounts in made.items() if account not in accounts}


def kept_here(reader: LinodeReader, alive: Collection[str | None]) -> list[str]:
    """Sessions without a VM in the account that this machine keeps files or a tunnel of."""
    names = {path.name for path in (state_dir() / "sessions").glob("*") if path.is_dir()}
    names |= {path.stem for path in runtime_dir().glob("*.sock")}
    left = names - set(alive)
    return sorted(left - _elsewhere(reader, left))


def _deleted(reader: LinodeReader, linode_ids: list[int]) -> dict[int, int]:
    """When they were deleted, of those of which the account's events say it; they reach back 90 days."""
    found: dict[int, int] = {}
    for start in range(0, len(linode_ids), _AT_ONCE):
        some = [{"entity.id": linode_id} for linode_id in linode_ids[start : start + _AT_ONCE]]
        try:
            rows = reader.list("account/events", {"entity.type": "linode", "action": "linode_delete", "+or": some})
        except Failure as failure:
            if failure.kind not in ("scope", "auth"):
                raise
            return found
        for row in rows:
            if row["status"] != "failed":
                linode_id = row["entity"]["id"]
                found[linode_id] = max(found.get(linode_id, 0), parse_time(row["created"]))
    return found


def unended(reader: LinodeReader, alive: Collection[int]) -> list[dict[str, Any]]:
    """Sessions of this account that the history takes for running; with their end and cost, None where nobody knows."""
    records = [row for row in history.known() if not row["ended"] and row["linode_id"] not in alive]
    if not records:
        return []
    account = reader.get("account")["euuid"]
    ends = _deleted(reader, [record["linode_id"] for record in records])
    found = []
    for record in records:
        end = ends.get(record["linode_id"])
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
