"""What the sessions of one month cost, from three sources: tags of what exists, this machine's history, and the account's events.

Tags are the truth of what exists, and events of what is gone; the history fills in what neither says: price, owner, model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import format_time, parse_time
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.budget import hours_since, lives, month_start

from ..local.token_history import Seen
from ..terminal.console import money

SAVED_MEANS = "what its VM would have cost had it run on until now, or to the end of the month if that is over"
TOKENS_MEANS = "generated, as this machine's looks saw the engine's count; dollars for a million of them are of all started hours, idle ones as well"
IDLE_MEANS = "hours that began after the engine's last token"
# Dollars below which two sums are the same: items of an invoice are rounded to cents.
SAME = 0.01
# Seconds: who looked so shortly before the end saw all.
_SEEN_S = 60


@dataclass(frozen=True)
class Month:
    """A calendar month in UTC: from ``start`` until before ``end``, seconds since the epoch."""

    name: str
    start: int
    end: int

    def before(self) -> Month:
        return month_of(self.start - 1)


@dataclass(frozen=True)
class Billed:
    """One VM in one month. ``hours``, ``idle_hours`` and the dollars ``cost`` and ``saved`` are of this month alone; None is unknown.
    ``ended`` is None while it exists. ``known_from``: tags, history or events. The tokens are those of this month that this machine
    saw, the last time at ``tokens_at``; ``tokens_at_least``: the engine may have made more since.
    """

    name: str
    linode_id: int
    owner: str | None
    model: str | None
    plan: str | None
    region: str | None
    created: str | None
    ended: str | None
    hourly: float | None
    hours: int | None
    cost: float | None
    idle_hours: int | None
    saved: float | None
    known_from: str
    prompt_tokens: int | None = None
    generated_tokens: int | None = None
    tokens_at: str | None = None
    tokens_at_least: bool | None = None
    dollars_per_million: float | None = None


@dataclass(frozen=True)
class Use:
    """Tokens that VMs generated in a month, and all the ``dollars`` that these VMs cost in it, idle hours as well. ``unknown``: VMs that
    are in neither.
    """

    generated: int
    dollars: float
    at_least: bool
    unknown: int = 0

    @property
    def per_million(self) -> float | None:
        return per_million(self.dollars, self.generated)

    def sentence(self) -> str:
        least, most = (" at least", " at most") if self.at_least else ("", "")
        price = self.per_million
        cost = f", {money(price)} a million{most}" if price is not None else f" for {money(self.dollars)}"
        missing = "" if not self.unknown else f"; of {self.unknown} VM(s) it is unknown"
        return f"{count_of(self.generated)} generated{least}{cost}{missing}"

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "dollars_per_million": self.per_million}


def count_of(tokens: int) -> str:
    """``1.2 million tokens``."""
    if tokens < 100_000:
        return f"{tokens:,} token{'' if tokens == 1 else 's'}"
    return f"{tokens / 1e6:.1f} million tokens"


def per_million(dollars: float | None, generated: int | None) -> float | None:
    """Dollars for a million generated tokens; None where one of both is unknown, or no token was generated."""
    return None if dollars is None or not generated else round(dollars / generated * 1e6, 4)


@dataclass(frozen=True)
class Bill:
    """The dearest session first. ``total`` and ``saved`` are dollars of what is known; ``doubts`` are sentences about the rest."""

    month: Month
    rows: tuple[Billed, ...]
    doubts: tuple[str, ...] = ()

    @property
    def total(self) -> float:
        return round(sum(row.cost or 0.0 for row in self.rows), 4)

    @property
    def hours(self) -> int:
        return sum(row.hours or 0 for row in self.rows)

    @property
    def idle_hours(self) -> int | None:
        """None when it is not known of any session."""
        known = [row.idle_hours for row in self.rows if row.idle_hours is not None]
        return sum(known) if known else None

    @property
    def idle_dollars(self) -> float | None:
        """What the idle hours cost; None when they are not known of any session."""
        known = [row.idle_hours * row.hourly for row in self.rows if row.idle_hours is not None and row.hourly]
        return round(sum(known), 4) if known else None

    @property
    def saved(self) -> float:
        return round(sum(row.saved or 0.0 for row in self.rows), 4)

    @property
    def use(self) -> Use | None:
        """The tokens and what they cost, of the VMs of which both are known; None when they are of none."""
        known = [row for row in self.rows if row.generated_tokens is not None and row.cost is not None]
        if not known:
            return None
        return Use(
            generated=sum(row.generated_tokens or 0 for row in known),
            dollars=round(sum(row.cost or 0.0 for row in known), 4),
            at_least=any(row.tokens_at_least for row in known),
            unknown=len(self.rows) - len(known),
        )

    def of(self, name: str) -> Bill:
        return Bill(self.month, tuple(row for row in self.rows if row.name == name), self.doubts)

    def as_dict(self) -> dict[str, Any]:
        return {
            "month": self.month.name,
            "since": format_time(self.month.start),
            "until": format_time(self.month.end),
            "sessions": [asdict(row) for row in self.rows],
            "hours": self.hours,
            "idle_hours": self.idle_hours,
            "idle_dollars": self.idle_dollars,
            "total": self.total,
            "saved": self.saved,
            "use": None if self.use is None else self.use.as_dict(),
            "doubts": list(self.doubts),
        }


def month_of(moment: int) -> Month:
    start = month_start(moment)
    name = datetime.fromtimestamp(start, UTC).strftime("%Y-%m")
    return Month(name, start, month_start(start + 32 * 86400))


def parse_month(text: str | None, now: int) -> Month:
    """``2026-11``; this month without a text. Failure(usage) for what is no month, and for one that has not begun."""
    if text is None:
        return month_of(now)
    found = re.fullmatch(r"(20[0-9]{2})-(0[1-9]|1[0-2])", text)
    month = month_of(int(datetime(int(found[1]), int(found[2]), 1, tzinfo=UTC).timestamp())) if found else None
    if month is None or month.start > now:
        what = "has not begun" if month else "is not a month"
        raise Failure(
            "usage",
            f"month {text!r} {what}.",
            remedy=f"Write it as in --month {month_of(now).name}, or leave it out for this month.",
            field="month",
            value=text,
        )
    return month


def hours_in(month: Month, created: int, until: int) -> int:
    """Hours that began in the month, of what existed from ``created`` to ``until``."""
    return hours_since(month.start, created, min(until, month.end)) if created < month.end else 0


def _row(
    month: Month,
    now: int,
    known: Mapping[str, Any],
    ended: int | None,
    idle_s: float | None,
    source: str,
    seen: Seen | None = None,
) -> Billed | None:
    """None for what no hour began of in this month. ``idle_s``: how long before its end, or before now, its last token was."""
    created = parse_time(known["created"])
    until = now if ended is None else ended
    hours = hours_in(month, created, until)
    if hours <= 0:
        return None
    hourly = known.get("hourly")
    idle = saved = None
    if idle_s is not None:
        idle = hours - min(hours, hours_in(month, created, max(created, until - int(idle_s))))
    if ended is not None and hourly:
        ahead = hours_in(month, created, max(until, min(now, month.end))) - hours
        saved = round(max(0, ahead) * hourly, 4)
    cost = round(hours * hourly, 4) if hourly else None
    tokens: dict[str, Any] = {}
    if seen is not None:
        tokens = {
            "prompt_tokens": seen.prompt,
            "generated_tokens": seen.generated,
            "tokens_at": format_time(seen.at),
            # What an engine made between the last look and its end is in no count.
            "tokens_at_least": seen.engines > 1 or seen.at < min(until, month.end) - _SEEN_S,
            "dollars_per_million": per_million(cost, seen.generated),
        }
    return Billed(
        name=str(known["name"]),
        linode_id=int(known["linode_id"]),
        **{key: known.get(key) for key in ("owner", "model", "plan", "region")},
        created=format_time(created),
        ended=None if ended is None else format_time(ended),
        hourly=hourly,
        hours=hours,
        cost=cost,
        idle_hours=idle,
        saved=saved,
        known_from=source,
        **tokens,
    )


def make_bill(
    month: Month,
    now: int,
    views: Iterable[Mapping[str, Any]],
    records: Iterable[Mapping[str, Any]] = (),
    events: Iterable[Mapping[str, Any]] | None = None,
    account: str | None = None,
    idle: Mapping[int, int] | None = None,
    tokens: Mapping[int, Seen] | None = None,
) -> Bill:
    """What is billed for a month.

    :param views: sessions that exist, as their tags say.
    :param records: this machine's history, of any account.
    :param events: linode_create and linode_delete since the month began; None when they could not be read.
    :param account: the euuid of the account; None when it could not be read, and then the records of all accounts count.
    :param idle: seconds since the last token of what exists, by its id.
    :param tokens: what this machine saw of each VM in this month, by its id.
    """
    rows: list[Billed | None] = []
    doubts: list[str] = []
    alive = set()
    for view in views:
        alive.add(view["linode_id"])
        named = {**view, "name": view["name"] or view["label"]}
        row = _row(
            month, now, named, None, (idle or {}).get(view["linode_id"]), "tags", (tokens or {}).get(view["linode_id"])
        )
        rows.append(row)
        if row and row.cost is None:
            doubts.append(f"The tags of {view['label']} do not say what it costs, so it is not in the total.")
    gone = lives(events or ())
    seen = set(alive)
    for record in records:
        number = int(record["linode_id"])
        if number in seen or (account is not None and record["account"] not in (None, account)):
            continue
        seen.add(number)
        told = gone.get(number, {}).get("deleted")
        noted = parse_time(record["ended"]) if record["ended"] else None
        if noted is None and told is None:
            if parse_time(record["created"]) < month.end:
                doubts.append(
                    f"{record['name']} (Linode {number}) is gone, and nobody knows since when: it is not in the total."
                )
            continue
        ended = noted if told is None else told
        row = _row(month, now, record, ended, record.get("idle_s"), "history", (tokens or {}).get(number))
        rows.append(row)
        if row and row.cost is None:
            doubts.append(f"Nobody knows what {row.name} (Linode {number}) cost an hour, so it is not in the total.")
        if row and noted is not None and told is not None:
            before = hours_in(month, parse_time(record["created"]), noted)
            if before != row.hours:
                doubts.append(
                    f"{row.name} (Linode {number}) ended at {format_time(told)} by the account's events and at "
                    f"{format_time(noted)} by this machine's history: {row.hours} h count, not {before} h."
                )
    for number, life in gone.items():
        if number in seen or life["deleted"] is None:
            continue
        known = {"name": session_of(life["label"]), "linode_id": number}
        if life["created"] is None:
            doubts.append(
                f"{life['label']} is gone, and this month's events do not say since when it was: its hours and price are unknown."
            )
            continue
        row = _row(month, now, {**known, "created": format_time(life["created"])}, life["deleted"], None, "events")
        rows.append(row)
        if row:
            doubts.append(
                f"{life['label']} was made elsewhere ({row.hours} h), and its price is unknown: not in the total."
            )
    found = sorted(filter(None, rows), key=lambda row: (-(row.cost or 0.0), row.name, row.linode_id))
    return Bill(month, tuple(found), tuple(doubts))


_LABEL = re.compile(r"lc-(.+)-[0-9]+")


def session_of(label: str) -> str:
    """The session that a VM's label names; the label itself when it is none of ours."""
    found = _LABEL.fullmatch(label)
    return found[1] if found else label


def invoiced(items: Iterable[Mapping[str, Any]]) -> dict[str, tuple[int, float]]:
    """Hours and dollars before tax by session, of the items of invoices that name a VM of ours.

    An item's label is words; the one that is a label of ours tells whose it is.
    """
    found: dict[str, tuple[int, float]] = {}
    for item in items:
        words = str(item.get("label") or "")[:500].replace("(", " ").replace(")", " ").split()
        for word in words:
            if _LABEL.fullmatch(word):
                hours, dollars = found.get(session_of(word), (0, 0.0))
                found[session_of(word)] = (
                    hours + int(item.get("quantity") or 0),
                    round(dollars + float(item.get("amount") or 0.0), 4),
                )
                break
    return found


def differences(bill: Bill, billed: Mapping[str, tuple[int, float]]) -> list[str]:
    """Sentences, one for each session of which the invoice, as `invoiced` reads it, says something else."""
    ours: dict[str, tuple[int, float, bool]] = {}
    for row in bill.rows:
        hours, dollars, whole = ours.get(row.name, (0, 0.0, True))
        ours[row.name] = (hours + (row.hours or 0), dollars + (row.cost or 0.0), whole and row.cost is not None)
    said = []
    for name in sorted(ours):
        hours, dollars, whole = ours[name]
        if name not in billed:
            said.append(f"{name}: {hours} h, ${dollars:.2f} here, and nothing on the invoice.")
        elif not whole or abs(billed[name][1] - dollars) > SAME:
            there = f"the invoice has {billed[name][0]} h for ${billed[name][1]:.2f}"
            here = f"{hours} h for ${dollars:.2f} here" if whole else f"{hours} h of unknown price here"
            more = billed[name][1] - dollars
            said.append(f"{name}: {there}, {here}: ${abs(more):.2f} {'more' if more > 0 else 'less'} on the invoice.")
    return said + [
        f"{name}: {billed[name][0]} h for ${billed[name][1]:.2f} on the invoice, and unknown here."
        for name in sorted(set(billed) - set(ours))
    ]
