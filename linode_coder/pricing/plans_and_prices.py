"""Plans and prices for commands that also work without the API: the account's where there is a token, else those that the API
shows everybody, else the packaged plans without prices."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.linode.gpu_plans import (
    Plan,
    hourly_price,
    is_gpu_plan,
    known_plans,
    plan_of,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.measured_fits import with_measurements
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.offers import near
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.places import with_places

from ..settings.config import has_token
from ..terminal.console import Console


@dataclass
class Market:
    """``prices`` is empty when the API could not be read. ``note`` says in a sentence where they come from, or why there are none."""

    plans: list[Plan]
    prices: dict[str, float] = field(default_factory=dict)
    stock: dict[str, list[str]] = field(default_factory=dict)  # plan: regions that advertise it
    note: str = ""

    def plan(self, plan_id: str) -> Plan:
        for plan in self.plans:
            if plan.id == plan_id:
                return plan
        raise Failure(
            "usage",
            f"plan {plan_id!r} is not known.",
            remedy=near(plan_id, [plan.id for plan in self.plans]),
            field="plan",
            value=plan_id,
        )


def read_market(console: Console, region: str | None = None, with_stock: bool = False) -> Market:
    """GPU plans and their prices as the API says now; a ``region`` asks for its own, and has to exist."""
    from ..api import LinodeReader

    token = has_token()
    try:
        reader = LinodeReader(public=not token)
        types = [row for row in reader.list("linode/types") if is_gpu_plan(row)]
        regions = reader.list("regions") if region or with_stock else []
        availability = reader.list("regions/availability") if with_stock else []
    except Failure as failure:
        if region or failure.kind in ("config", "auth"):
            raise
        why = f"No prices: they are read from the API each time and not kept. {failure.message}"
        return Market(with_measurements(known_plans()), note=why)
    if region:
        region = with_places([region], regions)[0]
        _check_region(region, regions)
    prices = {row["id"]: hourly_price(row, region or "") for row in types}
    return Market(
        with_measurements([plan_of(row) for row in types]),
        {plan_id: hourly for plan_id, hourly in prices.items() if hourly},
        _stock(availability, [region] if region else [row["id"] for row in regions]),
        "Prices are those that the API shows this account now."
        if token
        else "Prices are those that the API shows everybody now: there is no API token.",
    )


def _check_region(region: str, regions: list[dict[str, Any]]) -> None:
    capable = [row["id"] for row in regions if "GPU Linodes" in (row.get("capabilities") or [])]
    if region not in capable:
        known = any(row["id"] == region for row in regions)
        raise Failure(
            "usage",
            f"region {region!r} has no GPU Linodes." if known else f"region {region!r} is not known.",
            remedy=near(region, capable),
            field="region",
            value=region,
        )


def _stock(availability: list[dict[str, Any]], regions: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in availability:
        if row["available"] and row["region"] in regions:
            found.setdefault(row["plan"], []).append(row["region"])
    return found
