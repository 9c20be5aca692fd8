# SPDX-License-Identifier: GPL-3.0-or-later
"""The months that are over are invoiced, and the one that runs is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from api_client import CREATE, Api, with_api
from test_shapes import complaints

from linode_coder.sandbox.api.aging import make_older

INVOICE: dict[str, Any] = {
    **{"id": "integer", "date": "string", "label": "string", "billing_source": "string:akamai,linode"},
    **{"subtotal": "number", "tax": "number", "total": "number", "tax_summary": [{"name": "string", "tax": "number"}]},
}
ITEM = {
    **{"label": "string", "type": "string:hourly,misc", "from": "string", "to": "string", "quantity": "integer"},
    **{"unit_price": "string", "amount": "number", "tax": "number", "total": "number", "region": "string|null"},
}


def test_a_month_that_is_over_is_invoiced_by_the_hours_that_began_in_it() -> None:
    async def check(api: Api) -> None:
        status, made = await api("POST", "/linode/instances", {**CREATE, "label": "lc-old-1"})
        assert status == 200, made
        await api.settled(made["id"])
        assert (await api("GET", "/account/invoices"))[1]["data"] == []
        hourly = (await api("GET", "/account"))[1]["balance_uninvoiced"]
        # Two hours before this month began, and half an hour more.
        month = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        created = datetime.fromisoformat(made["created"]).replace(tzinfo=UTC)
        make_older(api.sandbox, "lc-old-1", (created - month + timedelta(minutes=150)).total_seconds())
        (invoice,) = (await api("GET", "/account/invoices"))[1]["data"]
        assert invoice["date"] == month.strftime("%Y-%m-%dT00:00:00")
        path = f"/account/invoices/{invoice['id']}"
        assert (await api("GET", path))[1] == invoice
        (item,) = (await api("GET", f"{path}/items"))[1]["data"]
        assert (item["quantity"], item["amount"]) == (3, round(3 * hourly, 2)) and item["total"] == invoice["total"]
        assert "lc-old-1" in item["label"] and item["to"] == invoice["date"]
        assert [*complaints(INVOICE, invoice, ""), *complaints(ITEM, item, "")] == []
        account = (await api("GET", "/account"))[1]
        hours = (datetime.now(UTC) - month).total_seconds() / 3600
        assert 0 <= account["balance_uninvoiced"] <= (hours + 1) * hourly + 0.01
        # Deleted, it stays on the bill.
        await api("DELETE", f"/linode/instances/{made['id']}")
        assert await api.settled(made["id"]) == "gone"
        assert (await api("GET", f"{path}/items"))[1]["data"] == [item]
        assert (await api("GET", "/account/invoices/7"))[0] == 404
        assert (await api("GET", "/account/invoices/x/items"))[0] == 404

    with_api(check)
