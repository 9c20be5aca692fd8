# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the sessions of an account cost this month, whoever made them, and what a budget still allows.

Three sources, none of which knows all: the tags of the VMs that exist say price and age; the account's events say which VMs
of ours were deleted and when, but not at which price; this control node's records say what its own sessions cost. The
account's total that is not invoiced yet has everything else in it, so it counts only where deletions cannot be seen.
Invoices come once a month and are of the month before.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from typing import Any

from ..core.cost import cost, format_time, parse_time, started_hours
from ..core.failure import Failure
from ..session.tags import decode, is_ours
from ..session.warm_volume import month_cost, warm_volumes

# How healing's replacement and the VM that it replaces overlap, at most, when all goes well.
OVERLAP_S = 3600
ACTIONS = ("warn", "end")
DEFAULT_ACTION = "warn"
_OURS = re.compile(r"lc-.+-[0-9]+")


@dataclass(frozen=True)
class Running:
    """A VM that exists: times are seconds since the epoch, ``hourly`` dollars or None when no tag says it."""

    label: str
    created: int
    lease_end: int | None
    hourly: float | None


@dataclass(frozen=True)
class Spending:
    """Dollars of one calendar month in UTC. ``committed`` is what running sessions will cost up to the end of their
    leases, and kept volumes up to the end of the month, beside ``spent``; ``volumes`` is what of it volumes will cost;
    ``uninvoiced`` is the account's own total, with all that is not ours; ``unseen`` says in a sentence each what could not be
    counted, or only be estimated.
    """

    now: int
    spent: float
    committed: float
    hourly: float
    running: tuple[Running, ...] = ()
    uninvoiced: float | None = None
    unseen: tuple[str, ...] = ()
    volumes: float = 0.0

    @property
    def since(self) -> str:
        return format_time(month_start(self.now))[:10]

    def as_dict(self) -> dict[str, Any]:
        shown = asdict(self)
        del shown["running"]
        return {**shown, "now": format_time(self.now), "since": self.since, "unseen": list(self.unseen)}


def check_dollars(amount: float | None, field: str, meaning: str) -> float | None:
    """``amount`` as it was given; Failure(usage) when it is no number of dollars. ``meaning`` ends the remedy."""
    if amount is not None and not 0 < amount < float("inf"):
        raise Failure(
            "usage",
            f"{field} {amount:g} is not a number of dollars above 0.",
            remedy=f"Give the dollars that {meaning}, or leave it out.",
            field=field,
            value=str(amount),
        )
    return amount


def check_budget(budget: float | None) -> float | None:
    return check_dollars(budget, "budget", "all sessions of a month may cost, for example 50")


def month_start(now: int) -> int:
    return int(datetime.fromtimestamp(now, timezone.utc).replace(day=1, hour=0, minute=0, second=0).timestamp())


def month_end(now: int) -> int:
    return month_start(month_start(now) + 32 * 86400)


def volumes_cost(now: int, volumes: Iterable[Mapping[str, Any]]) -> tuple[float, float, list[str]]:
    """Dollars that warm volumes among ``volumes`` cost this month so far, and will cost to its end; what could not be counted."""
    start, end, so_far, ahead, unseen = month_start(now), month_end(now), 0.0, 0.0, []
    for volume in warm_volumes(volumes):
        if volume.monthly is None:
            unseen.append(f"the tags of the volume {volume.label} do not say what it costs, so it is not counted")
            continue
        before = month_cost(volume.monthly, hours_since(start, volume.created, now))
        so_far += before
        ahead += month_cost(volume.monthly, hours_since(start, volume.created, end)) - before
    return so_far, ahead, unseen


def new_volume_adds(now: int, monthly: float) -> float:
    """Dollars of a volume from now to the end of the month."""
    return month_cost(monthly, math.ceil((month_end(now) - now) / 3600))


def hours_since(start: int, created: int, until: int) -> int:
    """Hours that began to be paid from ``start`` on, of what exists from ``created`` to ``until``."""
    before = math.ceil((start - created) / 3600) if created < start else 0
    return max(0, started_hours(created, max(created, until)) - before)


def _running(row: Mapping[str, Any]) -> Running:
    tags = decode(row.get("tags") or [])
    ends = [end for end in (tags.lease_end, tags.hard_cap) if end is not None]
    hourly = tags.hourly_micros / 1_000_000 if tags.hourly_micros else None
    created = parse_time(row["created"])
    end = created if row.get("status") == "deleting" else min(ends, default=None)
    return Running(str(row["label"]), created, end, hourly)


def _known(records: Iterable[Mapping[str, Any]], account: str | None) -> dict[int, Mapping[str, Any]]:
    """What this control node remembers, by id of the Linode, without what is of another account."""
    return {
        int(row["linode_id"]): row for row in records if None in (account, row["account"]) or row["account"] == account
    }


def lives(events: Iterable[Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
    """Label, creation and deletion, as far as the events of this month tell, by the id of each Linode of ours."""
    found: dict[int, dict[str, Any]] = {}
    for event in events:
        entity = event.get("entity") or {}
        if entity.get("type") != "linode" or event.get("status") == "failed":
            continue
        if not _OURS.fullmatch(str(entity.get("label") or "")):
            continue
        life = found.setdefault(int(entity["id"]), {"label": entity["label"], "created": None, "deleted": None})
        at = parse_time(event["created"])
        if event["action"] == "linode_create":
            life["created"] = at if life["created"] is None else min(at, life["created"])
        elif event["action"] == "linode_delete":
            life["deleted"] = at if life["deleted"] is None else max(at, life["deleted"])
    return found


def spending(
    now: int,
    instances: Iterable[Mapping[str, Any]],
    events: Iterable[Mapping[str, Any]] | None,
    account: Mapping[str, Any] | None = None,
    records: Iterable[Mapping[str, Any]] = (),
    usual_hourly: float | None = None,
    volumes: Iterable[Mapping[str, Any]] | None = (),
) -> Spending:
    """What this month's sessions, and the volumes that are kept for them, cost.

    :param instances: Linodes of the API; those that are not ours are left out.
    :param events: linode_create and linode_delete of this month; None when they could not be read.
    :param account: the account as the API shows it; None when it could not be read.
    :param records: what this control node remembers: linode_id, account, created, ended, hourly each.
    :param volumes: volumes of the API; those that are not ours are left out. None when they could not be read.
    :param usual_hourly: the price of a VM of which nobody knows it, when no known one is dearer.
    """
    start = month_start(now)
    rows = [row for row in instances if is_ours(row.get("tags"))]
    alive = {int(row["id"]) for row in rows}
    uninvoiced = None if account is None else account.get("balance_uninvoiced")
    total = None if uninvoiced is None else float(uninvoiced)
    euuid = None if account is None else account.get("euuid")
    known = _known(records, euuid)
    seen_lives = lives(events or ())
    tagged = [_running(row) for row in rows]
    prices = [one.hourly for one in tagged if one.hourly]
    prices += [float(row["hourly"]) for row in known.values() if row["hourly"]]
    usual = max([*prices, usual_hourly or 0.0])
    counted = f"so it is taken as ${usual:.2f}/h" if usual else "so it is not counted"
    unseen = [f"the tags of {one.label} do not say what it costs, {counted}" for one in tagged if not one.hourly]
    unseen += [
        f"the tags of {one.label} do not say when it ends, so only its hours so far count"
        for one in tagged
        if one.lease_end is None
    ]
    running = tuple(replace(one, hourly=one.hourly or usual or None) for one in tagged)
    spent = committed = 0.0
    for one in running:
        hours = hours_since(start, one.created, now)
        ahead = hours_since(start, one.created, max(now, one.lease_end or now)) - hours
        spent += hours * (one.hourly or 0.0)
        committed += ahead * (one.hourly or 0.0)
    gone = {number: life["deleted"] for number, life in seen_lives.items() if life["deleted"] is not None}
    gone.update(
        (number, parse_time(row["ended"]))
        for number, row in known.items()
        # What is known by sight alone may be of another account.
        if row["ended"] and number not in gone and euuid is not None and row["account"] == euuid
    )
    guessed = []
    for number, end in gone.items():
        if number in alive or end < start:
            continue
        record, life = known.get(number), seen_lives.get(number, {})
        created = parse_time(record["created"]) if record and record["created"] else life.get("created") or start
        hours = hours_since(start, created, end)
        hourly = float(record["hourly"]) if record and record["hourly"] else usual
        if record is None or not record["hourly"]:
            guessed.append(f"{life.get('label') or number}, {hours} h")
        spent += hours * hourly
    if guessed:
        shown = "; ".join(guessed[:5]) + (f" and {len(guessed) - 5} more" if len(guessed) > 5 else "")
        unseen.append(f"the price of VMs that others deleted is not known and taken as ${usual:.2f}/h ({shown})")
    in_total = False
    if events is None:
        why = "which VMs of others were deleted cannot be seen (the token lacks events:read_only)"
        if total is not None and total > spent:
            unseen.append(f"{why}, so all ${total:.2f} that the account has not invoiced yet count")
            spent, in_total = total, True
        else:
            unseen.append(f"{why}, so what they cost is not counted")
    hourly = sum(one.hourly or 0.0 for one in running)
    if volumes is None:
        unseen.append(
            "warm volumes cannot be seen (the token lacks volumes:read_only), so what they cost is not counted"
        )
    kept, kept_on, unclear = volumes_cost(now, volumes or ())
    unseen += unclear
    # The account's own total has them in it.
    kept = 0.0 if in_total else kept
    return Spending(
        now,
        round(spent + kept, 4),
        round(committed + kept_on, 4),
        round(hourly, 4),
        running,
        total,
        tuple(unseen),
        round(kept_on, 4),
    )


def left(seen: Spending, budget: float) -> float:
    """Dollars that are neither spent nor promised to running sessions; below 0 when more is."""
    return budget - seen.spent - seen.committed


def refuse_beyond(seen: Spending, budget: float, adds: float, hourly: float | None, what: str) -> None:
    """Failure(refused) when ``what``, which ``adds`` dollars, does not go into the budget any more.

    What adds nothing is refused only when the budget is spent already.
    """
    if seen.spent < budget and (adds <= 0 or seen.spent + seen.committed + adds <= budget + 0.00005):
        return
    kept = " and warm volumes" if seen.volumes else ""
    promised = f", ${seen.committed:.2f} more are promised to running sessions{kept}" if seen.committed else ""
    room = left(seen, budget)
    hours = int((room + 0.00005) / hourly) if hourly else 0
    remedy = f"Ask for at most {hours} h more; or end" if hours > 0 and adds > 0 else "End"
    raise Failure(
        "refused",
        f"The budget of ${budget:.2f} a month does not allow {what}: ${seen.spent:.2f} are spent since {seen.since}{promised}, "
        f"and this would add ${max(adds, 0.0):.2f}.",
        cause="; ".join(seen.unseen) or None,
        remedy=f"{remedy} a session (linode-coder list), or raise budget (LINODE_CODER_BUDGET).",
        field="budget",
        value=budget,
    )


def against_budget(seen: Spending, budget: float, adds: float, hourly: float | None, what: str) -> dict[str, Any]:
    """What an answer says of the budget; Failure(refused) when ``what`` does not go into it."""
    refuse_beyond(seen, budget, adds, hourly, what)
    return {"budget": budget, "adds": round(adds, 4), "left": round(left(seen, budget) - adds, 4), **seen.as_dict()}


def extension_adds(view: dict[str, Any], until: str) -> float:
    """Dollars that a lease of ``view`` until that time costs beyond what its present one costs."""
    created, hourly = parse_time(view["created"]), view["hourly"]
    before = cost(created, parse_time(view["lease_end"]), hourly) if view["lease_end"] else None
    return max(0.0, (cost(created, parse_time(until), hourly) or 0.0) - (before or 0.0))


def replacement_adds(now: int, created: int, lease_end: int, old_hourly: float, new_hourly: float) -> float:
    """Dollars that a VM in place of another one costs more than that one alone would: both exist for a while."""
    end = max(lease_end, now)
    both = min(now + OVERLAP_S, end)
    new = cost(now, end, new_hourly) or 0.0
    return new + (cost(created, both, old_hourly) or 0.0) - (cost(created, end, old_hourly) or 0.0)


def first_unpaid(seen: Spending, budget: float) -> dict[str, int]:
    """When the first hour begins that the budget does not pay any more, by label of the VM whose hour it is.

    Hours are paid in the order in which they begin, to the end of each lease and of the month. Empty while the budget
    pays all of them.
    """
    following = month_end(seen.now)
    begins = sorted(
        (one.created + hour * 3600, one.label, one.hourly)
        for one in seen.running
        if one.hourly
        for hour in range(
            started_hours(one.created, max(seen.now, one.created)),
            started_hours(
                one.created, min(following, max(seen.now, following if one.lease_end is None else one.lease_end))
            ),
        )
        if one.created + hour * 3600 < following
    )
    total, over = seen.spent + seen.volumes, seen.spent >= budget
    found: dict[str, int] = {}
    for at, label, hourly in begins:
        total += hourly
        over = over or total > budget + 0.00005
        if over:
            found.setdefault(label, at)
    return found


@dataclass(frozen=True)
class BudgetWatch:
    """What a watcher makes of a budget. ``ends`` are times by label at which VMs are to be gone, for ``action`` end."""

    state: str  # within, foreseen, reached
    sentence: str
    at: int | None
    ends: Mapping[str, int]

    def as_dict(self, seen: Spending, budget: float, action: str) -> dict[str, Any]:
        at = None if self.at is None else format_time(self.at)
        return {
            "budget": budget,
            "action": action,
            "state": self.state,
            "at": at,
            "sentence": self.sentence,
            **seen.as_dict(),
        }


def watched(seen: Spending, budget: float, action: str) -> BudgetWatch:
    """Whether running sessions reach the budget, and when."""
    ends = first_unpaid(seen, budget)
    at = min(ends.values(), default=None)
    spent = f"${seen.spent:.2f} of this month's ${budget:.2f} are spent"
    not_all = " (not all could be seen)" if seen.unseen else ""
    then = "They are ended before their next hour begins." if action == "end" else "Nothing is ended for it."
    if seen.spent >= budget and seen.running:
        names = ", ".join(one.label for one in seen.running)
        text = f"The budget is reached: {spent}{not_all}, and {names} go on at ${seen.hourly:.2f}/h. {then}"
        return BudgetWatch("reached", text, seen.now, ends if action == "end" else {})
    if at is not None:
        text = (
            f"The budget will be reached at {format_time(at)}: {spent}{not_all}, and the leases of running sessions cost "
            f"${seen.committed:.2f} more. {then}"
        )
        return BudgetWatch("foreseen", text, at, ends if action == "end" else {})
    return BudgetWatch("within", f"{spent}{not_all}.", None, {})
