"""How many tokens the engines made, as far as this control node looked: at passes of its watcher, at `status`, and before `down`.

An engine counts from its start on, and begins anew when it is restarted: of each start the most that was ever seen is kept, by month.
What is made between the last look and the end of an engine is in no count, so that a sum is a least.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import format_time

from .history import PATIENCE_S, connect, never_in_the_way

# More than any engine makes in its life, and later than any look of ours may be.
_MOST, _AHEAD_S = 10**15, 86400


@dataclass(frozen=True)
class Seen:
    """Tokens of one VM in one month. ``at`` is the last look, seconds since the epoch; ``engines`` how many starts of its engine were
    seen."""

    prompt: int
    generated: int
    at: int
    engines: int


def _count(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return int(value) if 0 <= value < _MOST else None


def looked(linode_id: int, use: Mapping[str, Any] | None, at: int | None = None) -> None:
    """A look: ``use`` has the counters ``prompt_tokens`` and ``generation_tokens``, and when their engine began
    (``process_start``). ``at`` is now when it is not said; None and what is no count is left out."""
    looked_at([(linode_id, use, at)])


def looked_at(looks: Iterable[tuple[int, Mapping[str, Any] | None, int | None]]) -> None:
    """The same of several at once."""
    rows = [row for look in looks if (row := _row(*look))]
    if rows:
        _keep(rows)


def _row(linode_id: int, use: Mapping[str, Any] | None, at: int | None) -> dict[str, Any] | None:
    counts = [_count((use or {}).get(name)) for name in ("prompt_tokens", "generation_tokens")]
    now = int(time.time())
    moment = now if at is None else at
    if None in counts or not 0 < moment < now + _AHEAD_S:
        return None
    return {
        "linode_id": linode_id,
        # An engine that does not say when it began is one for all of its VM's life: less may be counted then, never more.
        "engine": _count((use or {}).get("process_start")) or 0,
        "month": format_time(moment)[:7],
        "prompt": counts[0],
        "generated": counts[1],
        "at": moment,
    }


# The greater one, in words that every database knows.
_MOST_SEEN = ", ".join(
    f"{column} = CASE WHEN excluded.{column} > tokens.{column} THEN excluded.{column} ELSE tokens.{column} END"
    for column in ("prompt", "generated", "at")
)


@never_in_the_way(lambda: None)
def _keep(rows: list[dict[str, Any]]) -> None:
    with closing(connect(PATIENCE_S)) as connection, connection.writing():
        connection.each(
            "INSERT INTO tokens (linode_id, engine, month, prompt, generated, at)"  # noqa: S608 - names of ours
            " VALUES (:linode_id, :engine, :month, :prompt, :generated, :at)"
            f" ON CONFLICT (linode_id, engine, month) DO UPDATE SET {_MOST_SEEN}",
            rows,
        )


def in_month(rows: Iterable[Mapping[str, Any]], month: str) -> dict[int, Seen]:
    """By the VM, of rows of the table up to ``month``: what an engine had counted before it is not of it."""
    before: dict[tuple[int, int], tuple[int, int]] = {}
    of_it: list[Mapping[str, Any]] = []
    for row in sorted(rows, key=lambda row: str(row["month"])):
        if row["month"] == month:
            of_it.append(row)
        elif row["month"] < month:
            before[row["linode_id"], row["engine"]] = (row["prompt"], row["generated"])
    found: dict[int, Seen] = {}
    for row in of_it:
        prompt, generated = before.get((row["linode_id"], row["engine"]), (0, 0))
        old = found.get(row["linode_id"], Seen(0, 0, 0, 0))
        found[row["linode_id"]] = Seen(
            old.prompt + max(0, row["prompt"] - prompt),
            old.generated + max(0, row["generated"] - generated),
            max(old.at, row["at"]),
            old.engines + 1,
        )
    return found


@never_in_the_way(dict)
def of_month(month: str) -> dict[int, Seen]:
    """By the VM, for a month such as 2026-11. A VM that nobody looked at has no entry."""
    with closing(connect()) as connection:
        rows = connection.execute("SELECT * FROM tokens WHERE month <= :month", {"month": month}).fetchall()
    return in_month([dict(row) for row in rows], month)
