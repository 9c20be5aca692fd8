"""What the account is billed: an invoice on the first of every month for the hours that began in the month before.

The fields are those of the published description. How the real API words the label of an item, and to which month it counts the
hour in which one month becomes the next, is unverified.
"""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from typing import Any

from .envelope import Json, not_found, stamp, unstamp
from .routing import Call, route
from .sandbox import Sandbox

_RO = "account:read_only"


def _usage(sandbox: Sandbox, now: float) -> list[Json]:
    """Every instance that exists or existed, from `created` to `until`; other people's left out."""
    deleted = sandbox.store.table("usage")
    rows: list[Json] = [{**row, "id": number} for number, row in deleted.items()]
    for record in sandbox.instances():
        api = record["api"]
        if not record["foreign"] and str(api["id"]) not in deleted:
            rows.append(
                {**{key: api[key] for key in ("id", "label", "type", "region", "created")}, "until": stamp(now)}
            )
    return rows


def _month(moment: float) -> datetime:
    return datetime.fromtimestamp(moment, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _next(month: datetime) -> datetime:
    return month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)


def _items(sandbox: Sandbox, month: datetime, now: float) -> list[Json]:
    """What is billed for the hours of a month, one item for each instance."""
    start, end = month.timestamp(), min(_next(month).timestamp(), now + 1)
    items: list[Json] = []
    for row in _usage(sandbox, now):
        created, until = unstamp(row["created"]), unstamp(row["until"])
        started = max(1, math.ceil((until - created) / 3600))
        before = max(0, math.ceil((start - created) / 3600))
        hours = min(started, max(0, math.ceil((end - created) / 3600))) - before
        price = sandbox.catalogue.hourly(row["type"], row["region"]) or 0.0
        if hours <= 0:
            continue
        amount = round(hours * price, 2)
        plan = sandbox.catalogue.type[row["type"]]["label"] if row["type"] in sandbox.catalogue.type else row["type"]
        items.append(
            {
                "label": f"{plan} - {row['label']} ({row['id']})",
                "type": "hourly",
                "from": stamp(max(start, created)),
                "to": stamp(min(end, until)),
                "quantity": hours,
                "unit_price": f"{price:g}",
                "amount": amount,
                "tax": 0.0,
                "total": amount,
                "region": row["region"],
            }
        )
    return items


def uninvoiced(sandbox: Sandbox, now: float | None = None) -> float:
    """Dollars of this month so far."""
    now = time.time() if now is None else now
    return round(sum(float(item["amount"]) for item in _items(sandbox, _month(now), now)), 2)


def _invoices(sandbox: Sandbox) -> list[tuple[Json, list[Json]]]:
    """Each invoice with its items: of every month that is over and in which anything ran."""
    now = time.time()
    month = _month(min((unstamp(row["created"]) for row in _usage(sandbox, now)), default=now))
    found = []
    while _next(month).timestamp() <= now:
        items = _items(sandbox, month, now)
        total = round(sum(item["amount"] for item in items), 2)
        invoice: dict[str, Any] = {
            "id": month.year * 100 + month.month,
            "date": stamp(_next(month).timestamp()),
            "label": "Invoice",
            "billing_source": "linode",
            "subtotal": total,
            "tax": 0.0,
            "tax_summary": [],
            "total": total,
        }
        if items:
            found.append((invoice, items))
        month = _next(month)
    return found


def _one(call: Call) -> tuple[Json, list[Json]]:
    wanted = call.number("invoiceId")
    for invoice, items in _invoices(call.sandbox):
        if invoice["id"] == wanted:
            return invoice, items
    raise not_found()


@route("GET", "/account/invoices", _RO, filterable=("billing_source", "date", "label", "total"))
def list_invoices(call: Call) -> Json:
    return call.page([invoice for invoice, _items in _invoices(call.sandbox)])


@route("GET", "/account/invoices/{invoiceId}", _RO)
def view_invoice(call: Call) -> Json:
    return _one(call)[0]


@route("GET", "/account/invoices/{invoiceId}/items", _RO)
def list_invoice_items(call: Call) -> Json:
    return call.page(_one(call)[1])
