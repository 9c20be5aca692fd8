"""What the account itself says of a month: its events, its invoices, and what is not invoiced yet."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import format_time, parse_time
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.budget_look import if_allowed, wanted_events
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.warm_volume import month_cost

from ..api import LinodeReader
from ..local import history, token_history
from ..local.sessions import all_sessions
from ..local.warm import all_warm
from ..watchdog import watchers
from .bill import Bill, Month, differences, invoiced, make_bill, month_of

# How many months the picture of a report shows, the newest included.
MONTHS = 6


@dataclass(frozen=True)
class Cost:
    """A month's bill beside what the account says. ``billed``: hours and dollars before tax by session, as invoiced; None without an
    invoice of that month. ``uninvoiced``: the account's own total of this month, with all that is not ours. ``notes`` are sentences.
    ``volumes``: warm volumes that exist now, with what each cost in the month as ``cost``.
    ``months``: dollars of all sessions by month, oldest first.
    """

    bill: Bill
    billed: Mapping[str, tuple[int, float]] | None = None
    uninvoiced: float | None = None
    notes: tuple[str, ...] = ()
    months: tuple[tuple[str, float], ...] = ()
    volumes: tuple[dict[str, Any], ...] = ()

    @property
    def invoiced(self) -> float | None:
        return None if self.billed is None else round(sum(dollars for _hours, dollars in self.billed.values()), 4)

    @property
    def differences(self) -> tuple[str, ...]:
        return () if self.billed is None else tuple(differences(self.bill, self.billed))

    def of(self, name: str) -> Cost:
        """Of one session alone, but for what is known of months only as a whole."""
        billed = None if self.billed is None else {key: value for key, value in self.billed.items() if key == name}
        return replace(self, bill=self.bill.of(name), billed=billed, uninvoiced=None, months=(), volumes=())


def _items(reader: LinodeReader, month: Month) -> list[dict[str, Any]] | None:
    """Items of the month on invoices, which come after it; None when there is no such invoice."""
    since = format_time(month.end).rstrip("Z")
    invoices = reader.list("account/invoices", {"date": {"+gte": since}})
    found = False
    items: list[dict[str, Any]] = []
    # The next one after the month has it, and one after that may correct it.
    for invoice in sorted(invoices, key=lambda row: str(row["date"]))[:3]:
        items += reader.list(f"account/invoices/{int(invoice['id'])}/items")
        found = found or parse_time(invoice["date"]) < month.end + 27 * 86400
    hourly = (item for item in items if item.get("type") == "hourly" and item.get("from"))
    return [item for item in hourly if month.start <= parse_time(item["from"]) < month.end] if found else None


def month_of_vm(view: Mapping[str, Any]) -> Bill:
    """The bill of this month for one VM that exists, of what this machine knows of it: nobody is asked."""
    now = int(time.time())
    month = month_of(now)
    idle, _at = watchers.idle_seen(now)
    return make_bill(month, now, [view], idle=idle, tokens=token_history.of_month(month.name))


def read_cost(reader: LinodeReader, month: Month, now: int | None = None) -> Cost:
    """What a month cost, from all that may be read; what may not is one sentence of ``notes``."""
    now = int(time.time()) if now is None else now
    views = all_sessions(reader)
    records = history.known()
    # As long as at the last pass, and no longer: what was idle then may have worked since.
    idle, _at = watchers.idle_seen(now)
    account = if_allowed(lambda: reader.get("account"))
    events = if_allowed(lambda: reader.list("account/events", wanted_events(month.start)))
    items = if_allowed(lambda: _items(reader, month)) if account is not None else None
    euuid = None if account is None else account.get("euuid")
    bill = make_bill(month, now, views, records, events, euuid, idle, token_history.of_month(month.name))
    notes = []
    if account is None:
        notes.append("The token may not read the account (account:read_only), so no invoice was compared.")
    elif items is None:
        when = "yet" if month.end > now else "in the account"
        notes.append(f"There is no invoice of {month.name} {when}, so none was compared.")
    if events is None:
        notes.append("The token may not read events (events:read_only), so what others deleted is not seen.")
    elif now - month.start > 90 * 86400:
        notes.append("Events reach back 90 days: what others deleted before that is not seen.")
    volumes = []
    for row in all_warm(reader) or []:
        hours = max(0, -(-(min(now, month.end) - max(parse_time(row["created"]), month.start)) // 3600))
        cost = None if row["monthly"] is None else round(month_cost(row["monthly"], hours), 4)
        volumes += [{**row, "cost": cost}] if hours else []
    uninvoiced = account.get("balance_uninvoiced") if account and month == month_of(now) else None
    months = [(month.name, bill.total)]
    earlier = month
    for _number in range(MONTHS - 1):
        earlier = earlier.before()
        months.append((earlier.name, make_bill(earlier, now, views, records, None, euuid).total))
    return Cost(
        bill=bill,
        billed=None if items is None else invoiced(items),
        uninvoiced=None if uninvoiced is None else float(uninvoiced),
        notes=tuple(notes),
        months=tuple(reversed(months)),
        volumes=tuple(volumes),
    )
