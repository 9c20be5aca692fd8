# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `up` would do and cost, decided from input and the API before anything is created."""

from __future__ import annotations

from typing import Any, Protocol

from .cost import cost, format_time, paid_until
from .failure import Failure
from .lease import new_lease, parse_idle
from .offers import DEFAULT_MIN_VRAM_GB, Offer, build_offers
from .session_name import instance_label, validate_session_name
from .session_tags import MARKER, owner_slug
from .session_view import session_view

# Serves on the smallest plan and is licensed for any use.
DEFAULT_MODEL = "Qwen/Qwen2.5-Coder-7B-Instruct-AWQ"


class Reader(Protocol):
    """Reads of the API: a GET of one object, and a GET of all pages of a list."""

    def get(self, path: str) -> Any: ...

    def list(self, path: str, x_filter: dict[str, Any] | None = None) -> list[dict[str, Any]]: ...


def as_list(value: str | list[str] | tuple[str, ...] | None) -> list[str]:
    """A list from a list or from a comma-separated string."""
    if not value:
        return []
    items = value.split(",") if isinstance(value, str) else value
    return [str(item).strip() for item in items if str(item).strip()]


def validate_model(model: str | None) -> str:
    text = model or DEFAULT_MODEL
    if len(text) > 96 or text.strip() != text or not text.isprintable() or " " in text:
        raise Failure(
            "usage",
            f"model {model!r} is not a model id.",
            remedy=f"Use an id of the form organisation/name, for example {DEFAULT_MODEL}.",
            field="model",
            value=model,
        )
    return text


def find_session(instances: list[dict[str, Any]], session: str, now: int) -> dict[str, Any] | None:
    """The view of the session among ``instances``; the newest generation when there are several.

    An instance that is being deleted is no session any more.
    """
    views = [session_view(instance, now) for instance in instances]
    own = [view for view in views if view["name"] == session and view["status"] != "deleting"]
    return max(own, key=lambda view: view["generation"] or 0) if own else None


def affordable(offers: list[Offer], max_cost: float | None, now: int, lease_end: int) -> list[Offer]:
    """The offers whose whole lease costs at most ``max_cost`` dollars; Failure(refused) when there is none."""
    if max_cost is None:
        return offers
    within = [offer for offer in offers if (cost(now, lease_end, offer.hourly) or 0.0) <= max_cost]
    if within:
        return within
    hourly = min(offer.hourly for offer in offers)
    if max_cost < hourly:
        raise Failure(
            "refused",
            f"max_cost ${max_cost:.2f} does not even pay one hour at ${hourly:.2f}.",
            remedy=f"Allow at least ${hourly:.2f}, or choose a cheaper plan.",
            field="max_cost",
            value=max_cost,
        )
    raise Failure(
        "refused",
        f"The lease would cost ${cost(now, lease_end, hourly) or 0.0:.2f}, more than max_cost ${max_cost:.2f}.",
        remedy=f"Ask for a lease of at most {int(max_cost / hourly)} h, or raise the limit.",
        field="max_cost",
        value=max_cost,
    )


def make_quote(
    reader: Reader,
    *,
    now: int,
    session: str,
    model: str | None = None,
    plans: str | list[str] | None = None,
    regions: str | list[str] | None = None,
    lease: str | None = None,
    cap: str | None = None,
    idle: str | None = None,
    max_cost: float | None = None,
    owner: str | None = None,
    generation: int = 1,
    min_vram_gb: int = DEFAULT_MIN_VRAM_GB,
) -> dict[str, Any]:
    """Validate everything and price it. Failure for the first thing that is wrong; nothing is changed.

    ``existing`` in the answer is the session's view when its VM exists already: its price and lease are then the ones
    that hold, and no catalogue is read.
    """
    name = validate_session_name(session)
    chosen_model = validate_model(model)
    clocks = new_lease(now, lease, cap)
    idle_minutes = parse_idle(idle)
    existing = find_session(reader.list("linode/instances", {"tags": MARKER}), name, now)
    quote: dict[str, Any] = {
        "session": name,
        "label": instance_label(name, generation),
        "generation": generation,
        "model": (existing or {}).get("model") if existing and not model else chosen_model,
        "owner": owner_slug(owner or "unknown"),
        "lease_end": format_time(clocks.end),
        "lease_end_epoch": clocks.end,
        "hard_cap": format_time(clocks.cap),
        "hard_cap_epoch": clocks.cap,
        "idle_minutes": idle_minutes,
        "existing": existing,
        "offers": [],
    }
    if existing:
        quote["hourly"] = quote["hourly_max"] = existing["hourly"]
        quote["cost_to_lease_end"] = existing["cost_to_lease_end"]
        quote["cost_to_cap"] = None
        quote["paid_until"] = existing["paid_until"]
        return quote
    wanted_regions = as_list(regions)
    offers = build_offers(
        reader.list("linode/types"),
        reader.list("regions"),
        reader.list("regions/availability"),
        as_list(plans),
        wanted_regions,
        min_vram_gb,
    )
    offers = affordable(offers, max_cost, now, clocks.end)
    # The dearest offer is what may have to be paid.
    dearest = max(offer.hourly for offer in offers)
    worst = cost(now, clocks.end, dearest)
    quote["offers"] = [offer._asdict() for offer in offers]
    quote["hourly"] = offers[0].hourly
    quote["hourly_max"] = dearest
    quote["cost_to_lease_end"] = worst
    quote["cost_to_cap"] = cost(now, clocks.cap, dearest)
    quote["paid_until"] = format_time(paid_until(now, now))
    return quote
