# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a session is asked to be: the one object that commands, modules and decisions hand on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .budget_look import records_of


def as_list(value: str | Iterable[str] | None) -> list[str]:
    """A list from a list or from a comma-separated string."""
    items = value.split(",") if isinstance(value, str) else value or ()
    return [str(item).strip() for item in items if str(item).strip()]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Each as it was asked for; None or () leaves it to what the session has, else to the default.

    ``context`` is in tokens or a text such as 64K, ``aliases`` are names that clients may ask for the model by, ``lease``, ``cap``
    and ``idle`` are durations such as 8h, ``traces`` is where the engine sends traces or off, ``near`` is a region, a place or a
    continent, ``group`` is the group that the session is to be a member of, ``max_cost`` is in dollars for the lease, ``budget`` in
    dollars for a month; ``keep_warm`` asks for a volume that later sessions start from. ``records`` are what this control node
    remembers of sessions that are gone, which count towards the budget.
    """

    model: str | None = None
    variant: str | None = None
    context: str | int | None = None
    tensor_parallel: int | None = None
    aliases: tuple[Any, ...] = ()
    traces: str | None = None
    plans: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    near: str | None = None
    group: str | None = None
    lease: str | None = None
    cap: str | None = None
    idle: str | None = None
    max_cost: float | None = None
    budget: float | None = None
    keep_warm: bool = False
    records: tuple[dict[str, Any], ...] = ()


def wanted_from(params: Mapping[str, Any]) -> Wanted:
    """From the options of a module. Failure(usage) for records that are none."""
    return Wanted(
        model=params.get("model"),
        variant=params.get("variant"),
        context=params.get("context"),
        tensor_parallel=params.get("tensor_parallel"),
        aliases=tuple(params.get("aliases") or ()),
        traces=params.get("traces"),
        plans=tuple(as_list(params.get("plans"))),
        regions=tuple(as_list(params.get("regions"))),
        near=params.get("near"),
        group=params.get("group") or None,
        lease=params.get("lease"),
        cap=params.get("cap"),
        idle=params.get("idle"),
        max_cost=params.get("max_cost"),
        budget=params.get("budget"),
        keep_warm=bool(params.get("keep_warm")),
        records=tuple(records_of(params.get("budget_records"))),
    )
