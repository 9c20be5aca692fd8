# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a session could run: an ordered list of plan and region with its price."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from ..core.did_you_mean import did_you_mean, nearest
from ..core.failure import Failure
from ..linode.gpu_plans import card_of, hourly_price, is_gpu_plan
from .places import distance, regions_at, with_places

# How many creates are tried, each after the one before was refused for want of stock.
MAX_OFFERS = 12
DEFAULT_MIN_VRAM_GB = 16


class Offer(NamedTuple):
    plan: str
    region: str
    hourly: float
    gpus: int
    gpu: str | None
    vram_gb: int | None  # of all cards together; None for a card this version does not know
    advertised: bool | None  # the availability feed, which is advisory: stock it shows may be refused


def near(value: str, known: list[str]) -> str:
    """What ``value`` may have been meant to be, else all that there is."""
    return did_you_mean(nearest(value, known, cutoff=0.5), f"Known are {', '.join(sorted(known))}.")


def chosen_plans(types: list[dict[str, Any]], wanted: list[str]) -> list[dict[str, Any]]:
    """The plans that were named, in that order; Failure(usage) when one is not known or has no GPU."""
    by_id = {plan["id"]: plan for plan in types}
    gpu_ids = [plan["id"] for plan in types if is_gpu_plan(plan)]
    for name in wanted:
        if name not in by_id:
            raise Failure(
                "usage",
                f"plan {name!r} is not known to this account.",
                remedy=near(name, gpu_ids),
                field="plan",
                value=name,
            )
        if not is_gpu_plan(by_id[name]):
            raise Failure("usage", f"plan {name!r} has no GPU.", remedy=near(name, gpu_ids), field="plan", value=name)
    return [by_id[name] for name in wanted]


def _chosen_regions(regions: list[dict[str, Any]], wanted: list[str]) -> list[str]:
    capable = [region["id"] for region in regions if "GPU Linodes" in (region.get("capabilities") or [])]
    known = {region["id"] for region in regions}
    for name in wanted:
        if name not in known:
            cities = [str(region["label"]).partition(",")[0].lower() for region in regions if region.get("label")]
            likely = nearest(
                name.lower(), [city for city in cities if regions_at(city, regions)], at_most=1, cutoff=0.7
            )
            remedy = did_you_mean(likely) if likely else near(name, capable)
            raise Failure("usage", f"region {name!r} is not known.", remedy=remedy, field="region", value=name)
        if name not in capable:
            raise Failure(
                "usage",
                f"region {name!r} has no GPU Linodes.",
                remedy=f"Use one of {', '.join(sorted(capable))}.",
                field="region",
                value=name,
            )
    return wanted or capable


def all_offers(
    types: list[dict[str, Any]],
    regions: list[dict[str, Any]],
    availability: list[dict[str, Any]],
    plans: list[str],
    wanted_regions: list[str],
    min_vram_gb: int = 0,
    suits: Callable[[str], bool] | None = None,
    close_to: str | None = None,
) -> list[Offer]:
    """Every offer that matches, best first. ``suits`` says of a plan nobody named whether it may be offered. Regions may be named
    by their places.

    Plans and regions that the user named keep the user's order; otherwise the cheapest plan comes first and, at equal
    price, regions near ``close_to``, then those that advertise stock. Failure(usage) for unknown names, Failure(capacity) when
    nothing is left.
    """
    named_plans = chosen_plans(types, plans)
    wanted_regions = with_places(wanted_regions, regions)
    region_ids = _chosen_regions(regions, wanted_regions)
    stock = {(row["plan"], row["region"]): bool(row["available"]) for row in availability}
    offers = []
    for plan in named_plans or types:
        card = card_of(plan["id"])
        vram = card.vram_gb * plan["gpus"] if card else None
        if not named_plans and (vram is None or vram < min_vram_gb or not (suits is None or suits(plan["id"]))):
            continue
        for region in region_ids:
            hourly = hourly_price(plan, region)
            if hourly is not None:
                advertised = stock.get((plan["id"], region))
                offers.append(
                    Offer(plan["id"], region, hourly, plan["gpus"], card.name if card else None, vram, advertised)
                )
    if not offers:
        raise Failure(
            "capacity",
            "No GPU plan with a known price matches in these regions.",
            remedy="Name fewer constraints, or look at the prices with linode_coder.gpu.linode_gpu_plan_info.",
        )
    plan_rank = {name: index for index, name in enumerate(plans)}
    region_rank = {name: index for index, name in enumerate(wanted_regions)}
    far = {str(region["id"]): distance(close_to, region, regions) for region in regions}

    def order(offer: Offer) -> tuple[Any, ...]:
        return (
            plan_rank.get(offer.plan),
            region_rank.get(offer.region),
            offer.hourly,
            far[offer.region],
            (True, None, False).index(offer.advertised),
            offer.plan,
            offer.region,
        )

    return sorted(offers, key=order)


def build_offers(
    types: list[dict[str, Any]],
    regions: list[dict[str, Any]],
    availability: list[dict[str, Any]],
    plans: list[str],
    wanted_regions: list[str],
    min_vram_gb: int = DEFAULT_MIN_VRAM_GB,
    suits: Callable[[str], bool] | None = None,
    close_to: str | None = None,
) -> list[Offer]:
    """What `up` may try, in order. Without a plan only the lowest price is offered: falling back never costs more."""
    offers = all_offers(types, regions, availability, plans, wanted_regions, min_vram_gb, suits, close_to)
    if not plans:
        offers = [offer for offer in offers if offer.hourly == offers[0].hourly]
    return offers


def shortlist(offers: list[Offer]) -> list[Offer]:
    """At most MAX_OFFERS of them, in their order, and of every plan at least its best one.

    For when nothing else takes offers away any more: the regions of a dear plan must not push a cheap one out before a
    limit of the user takes the dear one away.
    """
    turn: Counter[str] = Counter()
    turns = []
    for place, offer in enumerate(offers):
        turns.append((turn[offer.plan], place))
        turn[offer.plan] += 1
    # Plan by plan in turn, each with the best that it has left.
    kept = sorted(place for _turn, place in sorted(turns)[: max(MAX_OFFERS, len(turn))])
    return [offers[place] for place in kept]
