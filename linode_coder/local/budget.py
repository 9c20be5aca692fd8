"""The month's budget, as the commands that spend hand it on: what it is, and what this machine remembers of what is gone."""

from __future__ import annotations

from typing import Any

from ..settings.config import only
from ..terminal.console import money
from . import history


def budget() -> dict[str, Any]:
    """``budget`` and ``budget_records`` for a quote or a playbook; empty without one, and then nothing more is asked."""
    limit = only("budget")["budget"]
    return {} if limit is None else {"budget": limit, "budget_records": history.this_month()}


def describe(said: dict[str, Any] | None) -> list[str]:
    """What a quote says of it, for people."""
    if said is None:
        return []
    lines = [
        f"budget   {money(said['spent'])} of {money(said['budget'])} spent since {said['since']}, {money(said['committed'])} "
        f"promised to running sessions, {money(said['adds'])} for this: {money(said['left'])} left"
    ]
    return lines + [f"unseen   {sentence}" for sentence in said["unseen"]]
