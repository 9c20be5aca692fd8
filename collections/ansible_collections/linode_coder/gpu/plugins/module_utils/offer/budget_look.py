# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading what an account's sessions cost this month: three requests beside the list of VMs, and only where there is a
budget."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from ..core.cost import format_time
from ..core.failure import Failure
from ..session.tags import MARKER
from .budget import Spending, check_budget, month_start, spending

T = TypeVar("T")


class Lister(Protocol):
    def list(self, path: str, x_filter: dict[str, Any] | None = None) -> list[dict[str, Any]]: ...


class Reader(Lister, Protocol):
    def get(self, path: str) -> dict[str, Any]: ...


def wanted_events(now: int) -> dict[str, Any]:
    """The filter of the events that say which Linodes came and went this month."""
    return {
        "entity.type": "linode",
        "created": {"+gte": format_time(month_start(now)).rstrip("Z")},
        "+or": [{"action": "linode_create"}, {"action": "linode_delete"}],
    }


def if_allowed(ask: Callable[[], T]) -> T | None:
    """None where the token lacks the scope. Any other Failure is one: a budget that cannot be counted allows nothing."""
    try:
        return ask()
    except Failure as failure:
        if failure.kind not in ("scope", "auth"):
            raise
        return None


def look(
    reader: Reader,
    now: int,
    instances: Iterable[Mapping[str, Any]],
    records: Iterable[Mapping[str, Any]] = (),
    usual_hourly: float | None = None,
) -> Spending:
    """What is spent. ``instances`` are all Linodes with our marker, as just read."""
    account = if_allowed(lambda: reader.get("account"))
    events = if_allowed(lambda: reader.list("account/events", wanted_events(now)))
    return spending(now, instances, events, account, records, usual_hourly, volumes_of(reader))


def volumes_of(reader: Lister, foreign: bool = False) -> list[dict[str, Any]] | None:
    """The account's volumes with our marker, or with those of others as well; None where the token lacks the scope."""
    return if_allowed(lambda: reader.list("volumes", None if foreign else {"tags": MARKER}))


def records_of(value: Any) -> list[dict[str, Any]]:
    """The option budget_records; Failure(usage) when it is none."""
    names = ("linode_id", "account", "created", "ended", "hourly")
    try:
        rows = [{name: row.get(name) for name in names} for row in value or ()]
        for row in rows:
            row["linode_id"] = int(row["linode_id"])
            row["hourly"] = None if row["hourly"] is None else float(row["hourly"])
    except (TypeError, ValueError, AttributeError) as error:
        raise Failure(
            "usage",
            "budget_records is not a list of records with linode_id, account, created, ended and hourly.",
            cause=str(error),
            remedy="Leave it out: the account's own events and tags are counted without it.",
            field="budget_records",
        ) from error
    return rows


# The options of a module that spends.
BUDGET_SPEC: dict[str, Any] = {
    "budget": {"type": "float"},
    "budget_records": {"type": "list", "elements": "dict", "default": []},
}


def budget_of(params: Mapping[str, Any]) -> tuple[float | None, list[dict[str, Any]]]:
    """Budget and records of a module's options; Failure(usage) for what makes no sense."""
    return check_budget(params.get("budget")), records_of(params.get("budget_records"))
