"""The month's budget, as the commands that spend hand it on: what it is, and what this machine remembers of what is gone."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..settings.config import only
from ..terminal.console import money
from . import history


class Budget(NamedTuple):
    """``dollars`` for a month, None without one; ``records`` are what this machine remembers of sessions that are gone."""

    dollars: float | None = None
    records: tuple[dict[str, Any], ...] = ()


def this_month() -> Budget:
    """Without a budget the history is not read."""
    dollars = only("budget").budget
    return Budget() if dollars is None else Budget(dollars, tuple(history.this_month()))


def describe(said: dict[str, Any] | None) -> list[str]:
    """What a quote says of it, for people."""
    if said is None:
        return []
    lines = [
        f"budget   {money(said['spent'])} of {money(said['budget'])} spent since {said['since']}, {money(said['committed'])} "
        f"promised to running sessions, {money(said['adds'])} for this: {money(said['left'])} left"
    ]
    return lines + [f"unseen   {sentence}" for sentence in said["unseen"]]
