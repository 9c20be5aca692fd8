# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written of sessions and runs, by the command line and by jobs without it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ..core.cost import format_time
from .tables import Connection


@dataclass(frozen=True)
class Doer:
    """Who did something, and the machine or the job in which it was done."""

    who: str
    control_node: str


@dataclass(frozen=True)
class Run:
    """``message``: what went wrong, or what was done; None when the command says it all."""

    session: str
    command: str
    exit_code: int
    changed: bool | None
    message: str | None


@dataclass(frozen=True)
class Ended:
    """``at`` is a time like all of them there, now when it is None; ``idle_s`` are seconds since its last token then."""

    linode_id: int
    hours: int | None
    cost: float | None
    at: str | None = None
    idle_s: float | None = None


# What is kept of the view of a session, and its name or label.
VIEW = ("linode_id", "plan", "region", "model", "owner", "created", "hourly")


@dataclass
class Record:
    """What is to be written at once. ``seen``: views of sessions that exist, in ``account`` if that is known."""

    runs: list[Run] = field(default_factory=list)
    seen: list[Mapping[str, Any]] = field(default_factory=list)
    account: str | None = None
    ended: list[Ended] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.runs or self.seen or self.ended)


def write(connection: Connection, record: Record, started: float, doer: Doer) -> None:
    """All of it or nothing. ``started``: when the runs began."""
    with connection.writing():
        connection.each(_SAW, [_seen(view, record.account) for view in record.seen])
        connection.each(
            _ENDED, [{**asdict(end), "at": end.at or format_time(int(time.time()))} for end in record.ended]
        )
        took = {"started": started, "seconds": time.time() - started}
        connection.each(_RAN, [{**asdict(run), **took, **asdict(doer)} for run in record.runs])


_SAW = (
    "INSERT INTO sessions (name, linode_id, account, plan, region, model, owner, created, hourly)"
    " VALUES (:name, :linode_id, :account, :plan, :region, :model, :owner, :created, :hourly)"
    " ON CONFLICT (linode_id) DO UPDATE SET account = coalesce(excluded.account, sessions.account),"
    " model = excluded.model, ended = NULL"
)
_ENDED = (
    "UPDATE sessions SET ended = :at, hours = :hours, cost = :cost, idle_s = coalesce(:idle_s, idle_s)"
    " WHERE linode_id = :linode_id"
)
_RAN = (
    "INSERT INTO runs (session, command, started, seconds, exit_code, changed, message, who, control_node) VALUES"
    " (:session, :command, :started, :seconds, :exit_code, :changed, :message, :who, :control_node)"
)


def _seen(view: Mapping[str, Any], account: str | None) -> dict[str, Any]:
    return {**{key: view[key] for key in VIEW}, "name": view["name"] or view["label"], "account": account}
