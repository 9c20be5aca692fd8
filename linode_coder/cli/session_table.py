"""Sessions as a table: one row each, what matters most first."""

from __future__ import annotations

from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.duration import format_duration

from ..terminal.console import money
from ..terminal.line import Span, State
from ..terminal.table import Column
from ..terminal.when import ago, when
from .session_text import SOON_S, status_state, working_row

COLUMNS = (
    *(Column("NAME"), Column("STATUS"), Column("MODEL", 6), Column("PLAN", 7), Column("REGION", 9), Column("$/H", 2)),
    *(Column("COST", 3), Column("LEASE LEFT", 1), Column("IDLE", 4), Column("PAID UNTIL", 8), Column("OWNER", 10)),
)


_GROUP = Column("GROUP", 5)


def sessions_table(views: list[dict[str, Any]], now: int) -> tuple[list[Column], list[list[str | Span]]]:
    """Columns and rows; the groups are a column where there is one."""
    columns, rows = list(COLUMNS), [row(view, now) for view in views]
    if any(view["group"] for view in views):
        columns.insert(1, _GROUP)
        for cells, view in zip(rows, views, strict=True):
            cells.insert(1, str(view["group"] or "-"))
    return columns, rows


def idle_text(view: dict[str, Any], now: int) -> str:
    """How long it was idle at the last pass of this machine's watcher, when that was, and how long it may be."""
    limit = "off" if view["idle_minutes"] is None else f"{view['idle_minutes']} min"
    if view["idle_s"] is None:
        return f"? of {limit}"
    seen = ago(view["idle_as_of"], now)
    return f"{format_duration(view['idle_s'])} of {limit}{f', {seen}' if seen else ''}"


def status_text(view: dict[str, Any]) -> str:
    """The status that the API says, and what is unusual about the session."""
    remarks = [] if view["complete"] else ["tags incomplete"]
    remarks += ["tags changed"] if view["doubts"] else []
    remarks += ["paused"] if view["paused_until"] else []
    remarks += ["to be deleted"] if view["doomed"] else []
    return f"{view['status']} ({', '.join(remarks)})" if remarks else str(view["status"])


def row(view: dict[str, Any], now: int) -> list[str | Span]:
    left = view["lease_left"]
    lease = "unknown" if left is None else format_duration(left) if left > 0 else "over"
    cells = [view["model"], view["plan"], view["region"], money(view["hourly"]), money(view["cost_so_far"])]
    ends = [idle_text(view, now), when(view["paid_until"], now), view["owner"]]
    soon: State | None = None if left is None else "bad" if left <= 0 else "warn" if left < SOON_S else None
    return [
        str(view["name"] or view["label"]),
        Span(status_text(view), status_state(view)),
        *(str(cell or "-") for cell in cells),
        Span(lease, soon),
        *(str(cell or "-") for cell in ends),
    ]


def working_lines(views: list[dict[str, Any]]) -> list[tuple[str, State | None]]:
    """What commands of this machine do to sessions right now."""
    found = []
    for view in views:
        if view["working"]:
            label, text, state = working_row(view["working"])
            found.append((f"{label:10}{view['name']}: {text}", state))
    return found
