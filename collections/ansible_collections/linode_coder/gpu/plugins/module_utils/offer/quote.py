# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `up` would do and cost, decided from input and the API before anything is created."""

from __future__ import annotations

from typing import Any, Protocol

from ..core.cost import cost, format_time, paid_until, parse_time
from ..core.failure import Failure
from ..linode.gpu_plans import Plan, known_plan, plan_of
from ..model.catalogue import Selection, catalogue, find
from ..model.catalogue_data import DEFAULT_MODEL
from ..model.choice import Engine, best_on_plan, default_model, on_plan
from ..model.measured_fits import with_measurements
from ..model.request import Lookup, Request, check_access, check_code, make_request, resolve, unlisted
from ..session.changes import beyond, session_changes
from ..session.group import check_clash
from ..session.lease import new_lease, parse_idle
from ..session.name import instance_label, validate_session_name
from ..session.tags import MARKER, owner_slug
from ..session.view import session_view
from .budget import against_budget, check_budget, check_dollars, extension_adds, left, new_volume_adds
from .budget_look import look, volumes_of
from .offers import DEFAULT_MIN_VRAM_GB, Offer, all_offers, build_offers, chosen_plans, shortlist
from .places import check_near, meant, with_places
from .wanted import Wanted
from .warm import prefer_warm, warm_quote

# Where a figure is from that the API does not tell.
PACKAGED = "packaged"


class Reader(Protocol):
    """Reads of the API: a GET of one object, and a GET of all pages of a list."""

    def get(self, path: str) -> dict[str, Any]: ...

    def list(self, path: str, x_filter: dict[str, Any] | None = None) -> list[dict[str, Any]]: ...


def find_session(instances: list[dict[str, Any]], session: str, now: int) -> dict[str, Any] | None:
    """The view of the session among ``instances``; the newest generation when there are several.

    An instance that is being deleted is no session any more.
    """
    views = [session_view(instance, now) for instance in instances]
    own = [view for view in views if view["name"] == session and view["status"] != "deleting"]
    return max(own, key=lambda view: view["generation"] or 0) if own else None


def _lease_cost(hourly: float, now: int, lease_end: int) -> float:
    """Dollars at the price of an offer, which is known."""
    return cost(now, lease_end, hourly) or 0.0


def affordable(offers: list[Offer], max_cost: float | None, now: int, lease_end: int) -> list[Offer]:
    """The offers whose whole lease costs at most ``max_cost`` dollars; Failure(refused) when there is none."""
    if max_cost is None:
        return offers
    within = [offer for offer in offers if _lease_cost(offer.hourly, now, lease_end) <= max_cost]
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
        f"The lease would cost ${_lease_cost(hourly, now, lease_end):.2f}, more than max_cost ${max_cost:.2f}.",
        remedy=f"Ask for a lease of at most {int(max_cost / hourly)} h, or raise the limit.",
        field="max_cost",
        value=max_cost,
    )


def within_budget(offers: list[Offer], room: float, now: int, lease_end: int) -> list[Offer]:
    """The offers whose whole lease costs at most ``room`` dollars; the cheapest one when there is none."""
    within = [offer for offer in offers if _lease_cost(offer.hourly, now, lease_end) <= room]
    return within or [min(offers, key=lambda offer: offer.hourly)]


def _default_for(plan_id: str) -> Selection:
    selection = find(catalogue(), default_model(plan_id) or DEFAULT_MODEL)
    if selection is None:  # a user's catalogue may have taken its place
        model = unlisted(DEFAULT_MODEL)
        return Selection(model, model.variants[0])
    return selection


def _engine(request: Request, plan: Plan, chosen: Selection | None = None) -> Engine:
    selection = chosen or request.selection or _default_for(plan.id)
    return best_on_plan(selection, plan, request.context, request.tensor_parallel)


def _with_one_variant(request: Request, plans: list[Plan]) -> list[Engine]:
    """The engines of the plans on which one and the same variant serves: that of the first plan where any does.

    A VM says in its tags what it serves before it is known which of the plans has room for it.
    """
    chosen: Selection | None = None
    engines = []
    for plan in plans:
        engine = _engine(request, plan, chosen)
        if engine.problem is None:
            chosen = chosen or Selection(engine.model, engine.variant)
            engines.append(engine)
    return engines


class _Market:
    """The account's plans, regions and stock, as read once."""

    def __init__(self, reader: Reader, regions: list[str], min_vram_gb: int, close_to: str | None = None) -> None:
        self.types = reader.list("linode/types")
        self.regions = reader.list("regions")
        self.availability = reader.list("regions/availability")
        check_near(close_to, self.regions)
        self.places = meant(regions, self.regions)
        self.wanted_regions = regions
        self.close_to = close_to
        self.min_vram_gb = min_vram_gb
        plans = with_measurements([plan_of(row) for row in self.types])
        self.plans = {plan.id: plan for plan in plans}

    def offers(self, plans: list[str], suits: set[str] | None = None) -> list[Offer]:
        return build_offers(
            self.types,
            self.regions,
            self.availability,
            plans,
            self.wanted_regions,
            self.min_vram_gb,
            None if suits is None else suits.__contains__,
            self.close_to,
        )

    def cheapest(self, suits: set[str]) -> Offer | None:
        """The cheapest offer of these plans in the wanted regions."""
        try:
            found = all_offers(
                self.types, self.regions, self.availability, [], self.wanted_regions, suits=suits.__contains__
            )
        except Failure:  # there are none, or none of them has a price there
            return None
        return min(found, key=lambda offer: offer.hourly)


def _refusal(request: Request, engine: Engine, market: _Market) -> Failure:
    """Why ``engine`` is not started, and what would fit at which price."""
    selection = request.selection or Selection(engine.model, engine.variant)
    fitting = {}
    for plan in market.plans.values():
        other = best_on_plan(selection, plan, request.context, request.tensor_parallel)
        if other.problem is None and other.fit is not None:
            fitting[plan.id] = (other.variant.id, other.fit.max_context)
    hints = []
    offer = market.cheapest(set(fitting))
    if offer is not None:
        variant, context = fitting[offer.plan]
        room = f" with a context of {context} tokens" if context else ""
        hints.append(f"{variant} fits on {offer.plan} at ${offer.hourly:.2f}/h{room}.")
    elif not fitting:
        hints.append("It fits on no plan of this account.")
    field = "model"
    without = on_plan(engine.model, engine.variant, engine.plan, None, engine.tensor_parallel)
    if without.problem is None and without.fit is not None:
        field = "context"
        hints.append(f"Here a context of {without.fit.max_context} tokens fits.")
    if field == "model":
        fallback = default_model(engine.plan.id)
        if fallback and fallback != engine.variant.id:
            hints.append(f"{engine.plan.id} serves for example {fallback}.")
    wrong_spread = (
        request.tensor_parallel is not None
        and _engine(Request(request.selection, request.context), engine.plan).problem is None
    )
    return Failure(
        "usage" if wrong_spread else "refused",
        f"{selection.variant.id if selection.variant else selection.model.id} does not fit on {engine.plan.id}"
        + (f" over {request.tensor_parallel} GPUs." if wrong_spread else "."),
        cause=engine.problem,
        remedy=" ".join(hints),
        field="tensor_parallel" if wrong_spread else field,
        value=request.tensor_parallel
        if wrong_spread
        else request.context
        if field == "context"
        else selection.model.id,
    )


def _place(request: Request, market: _Market, plans: list[str]) -> tuple[list[Offer], list[Engine]]:
    """Where it could run, and what would run there; Failure(refused) when it fits nowhere."""
    if plans:
        chosen_plans(market.types, plans)
        engines = _with_one_variant(request, [market.plans[name] for name in plans])
        if not engines:
            raise _refusal(request, _engine(request, market.plans[plans[0]]), market)
        return market.offers([engine.plan.id for engine in engines]), engines
    if request.selection is None:
        request = Request(find(catalogue(), DEFAULT_MODEL), request.context, request.tensor_parallel)
    memory = {name: plan.gpus * plan.card.cuda_gib for name, plan in market.plans.items() if plan.card is not None}
    fitting = [plan for plan in map(market.plans.__getitem__, memory) if _engine(request, plan).problem is None]
    suits = {plan.id for plan in fitting if plan.advised} or {plan.id for plan in fitting}
    if memory and not suits:
        largest = market.plans[max(memory, key=memory.__getitem__)]
        raise _refusal(request, _engine(request, largest), market)
    offers = market.offers([], suits)
    engines = _with_one_variant(request, [market.plans[name] for name in dict.fromkeys(offer.plan for offer in offers)])
    return [offer for offer in offers if offer.plan in {engine.plan.id for engine in engines}], engines


def _left_out(request: Request, engines: list[Engine], market: _Market, wanted: list[str]) -> list[dict[str, Any]]:
    """The plans that were named and are not offered, and why."""
    offered = {engine.plan.id for engine in engines}
    served = Selection(engines[0].model, engines[0].variant)
    return [
        {"plan": name, "why": _engine(request, market.plans[name], served).problem}
        for name in wanted
        if name not in offered
    ]


def _existing_plan(reader: Reader, plan_id: str) -> Plan | None:
    plan = known_plan(plan_id)
    if plan is None:
        plan = next((plan_of(row) for row in reader.list("linode/types") if row["id"] == plan_id), None)
    return with_measurements([plan])[0] if plan else None


def _existing_engine(reader: Reader, existing: dict[str, Any], request: Request, lookup: Lookup) -> Engine | None:
    """What serves, or has to serve, on a VM that exists; Failure(refused) when another model is asked for."""
    served = existing["model"]
    plan = _existing_plan(reader, existing["plan"])
    if not served or plan is None:
        return None
    asked = request.selection
    if asked is not None:
        names = [asked.variant.id] if asked.variant else [variant.id for variant in asked.model.variants]
        if served not in names:
            raise Failure(
                "refused",
                f"Session {existing['name']} serves {served}, not {names[0]}.",
                remedy=f"Change it with: linode-coder switch-model {existing['name']} {names[0]}",
                field="model",
                value=names[0],
            )
    selection = resolve(served, lookup)
    variant = selection.variant or selection.model.variants[0]
    check_code(selection.model, variant)
    return on_plan(selection.model, variant, plan, request.context, request.tensor_parallel)


def _of_existing(view: dict[str, Any], changes: dict[str, str], engine: Engine | None) -> dict[str, Any]:
    described = engine.as_dict() if engine else None
    lease_end = changes.get("until") or view["lease_end"]
    total = cost(parse_time(view["created"]), parse_time(lease_end), view["hourly"]) if lease_end else None
    return {
        "session": view["name"],
        "label": view["label"],
        "generation": view["generation"],
        "model": engine.variant.id if engine else view["model"],
        "engine": described,
        "engines": {engine.plan.id: described} if engine else {},
        "owner": view["owner"],
        "lease_end": lease_end,
        "lease_end_epoch": parse_time(lease_end) if lease_end else None,
        "hard_cap": view["hard_cap"],
        "hard_cap_epoch": parse_time(view["hard_cap"]) if view["hard_cap"] else None,
        "idle_minutes": parse_idle(changes["idle"]) if "idle" in changes else view["idle_minutes"],
        "existing": view,
        "plan": view["plan"],
        "gpus": view["gpus"],
        "gpu": view["gpu"],
        "sources": {"plan": "VM", "gpus": PACKAGED, "gpu": PACKAGED, "hourly": "tag"},
        "changes": changes,
        "places": {},
        "offers": [],
        "hourly": view["hourly"],
        "hourly_max": view["hourly"],
        "cost_to_lease_end": total,
        "cost_to_cap": None,
        "paid_until": view["paid_until"],
        "budget": None,
    }


def _volumes(reader: Reader, known: list[dict[str, Any]] | None, keep: bool) -> list[dict[str, Any]]:
    """The account's volumes. Who wants one kept has to be able to see them, those that have taken its name among them."""
    rows = volumes_of(reader, foreign=keep) if known is None else known
    if rows is None and keep:
        raise Failure(
            "scope",
            "keep_warm: the API token may not read volumes.",
            remedy="Create a token that has volumes:read_write too, or leave keep_warm out.",
            field="keep_warm",
        )
    return rows or []


def _warm_of_existing(
    reader: Reader, existing: dict[str, Any], engine: Engine | None, volumes: list[dict[str, Any]] | None
) -> dict[str, Any] | None:
    """What of a warm volume there is where a session is, or could be made for it while nothing is on its VM."""
    if engine is None:
        return None
    rows = _volumes(reader, volumes, True)
    types, regions = reader.list("volumes/types"), reader.list("regions")
    model, places = engine.variant, [existing["region"]]
    return warm_quote(rows, types, regions, places, model.id, model.disk_gb, True, existing["linode_id"])


def _request(lookup: Lookup, wanted: Wanted) -> Request:
    return make_request(
        lookup,
        wanted.model,
        wanted.variant,
        wanted.context,
        wanted.tensor_parallel,
        wanted.aliases,
        wanted.traces,
    )


def _aliases(request: Request) -> list[str] | None:
    return None if request.aliases is None else list(request.aliases)


def make_quote(
    reader: Reader,
    session: str,
    wanted: Wanted,
    *,
    now: int,
    owner: str | None = None,
    generation: int = 1,
    min_vram_gb: int = DEFAULT_MIN_VRAM_GB,
    lookup: Lookup = unlisted,
    has_hub_token: bool = False,
    access: bool = True,
    instances: list[dict[str, Any]] | None = None,
    copies: int = 1,
    volumes: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Validate everything and price it. Failure for the first thing that is wrong; nothing is changed.

    ``existing`` in the answer is the session's view when its VM exists already: its price and clocks are then the ones
    that hold, ``changes`` is what its tags have to take for what was asked, ``kept`` what it exceeds of that and keeps,
    and no catalogue of the account is read.
    With a budget, what is spent of it, promised and added is in the answer's ``budget``, else None.
    ``plan``, ``gpus`` and ``gpu`` are those of the first offer or of that VM; ``sources`` says of them, the price and the budget
    where each is from: ``input``, ``cheapest`` of what suits, ``API``, ``packaged`` here, ``VM`` or its ``tag``.
    ``engine`` is what would serve on the first offer, or serves on that VM; ``engines`` the same for every plan among
    the offers. ``warm`` is as of ``warm_quote``. ``instances`` and ``volumes`` are those with our marker, when the caller has read
    them. Without ``access`` it is left open whether weights and program code may be had. ``copies`` is how many new sessions of
    this kind ``max_cost`` and the budget have to allow together; the figures of the answer, but for ``budget``, are those of one.
    """
    name = validate_session_name(session)
    request = _request(lookup, wanted)
    check_dollars(wanted.max_cost, "max_cost", "the lease may cost, for example 5")
    check_budget(wanted.budget)
    idle_minutes = parse_idle(wanted.idle)
    if instances is None:
        instances = reader.list("linode/instances", {"tags": MARKER})
    check_clash([session_view(instance, now) for instance in instances], name, wanted.group)
    existing = find_session(instances, name, now)
    if existing:
        regions = wanted.regions
        if regions and existing["region"] not in regions:
            regions = tuple(with_places(regions, reader.list("regions")))
        changes = session_changes(
            existing,
            plans=wanted.plans,
            regions=regions,
            lease=wanted.lease,
            cap=wanted.cap,
            idle=wanted.idle,
            max_cost=wanted.max_cost,
        )
        engine = _existing_engine(reader, existing, request, lookup)
        kept = beyond(existing, wanted.lease, wanted.max_cost)
        answer = _of_existing(existing, changes, engine) | {
            "kept": kept,
            "aliases": _aliases(request),
            "traces": request.traces,
            "warm": _warm_of_existing(reader, existing, engine, volumes) if wanted.keep_warm else None,
        }
        answer["sources"]["budget"] = None if wanted.budget is None else "input"
        if wanted.budget is not None and "until" in changes:
            seen = look(reader, now, instances, wanted.records, existing["hourly"])
            adds = extension_adds(existing, changes["until"])
            answer["budget"] = against_budget(
                seen, wanted.budget, adds, existing["hourly"], f"a longer lease of {name}"
            )
        return answer
    clocks = new_lease(now, wanted.lease, wanted.cap)
    quote: dict[str, Any] = {
        "session": name,
        "label": instance_label(name, generation),
        "generation": generation,
        "owner": owner_slug(owner or "unknown"),
        "lease_end": format_time(clocks.end),
        "lease_end_epoch": clocks.end,
        "hard_cap": format_time(clocks.cap),
        "hard_cap_epoch": clocks.cap,
        "idle_minutes": idle_minutes,
        "existing": None,
        "changes": {},
        "kept": [],
        "aliases": _aliases(request),
        "traces": request.traces,
        "places": {},
        "offers": [],
        "left_out": [],
    }
    market = _Market(reader, list(wanted.regions), min_vram_gb, wanted.near)
    quote["places"] = market.places
    offers, engines = _place(request, market, list(wanted.plans))
    for engine in engines if access else []:
        check_access(engine.model, engine.variant, has_hub_token)
        check_code(engine.model, engine.variant)
    offers = affordable(offers, None if wanted.max_cost is None else wanted.max_cost / copies, now, clocks.end)
    rows = _volumes(reader, volumes, wanted.keep_warm)
    if not wanted.regions:
        served = {engine.plan.id: engine.variant.id for engine in engines}
        offers = prefer_warm(offers, rows, served, bool(wanted.plans))
    model = {engine.plan.id: engine for engine in engines}[offers[0].plan].variant
    types = reader.list("volumes/types") if wanted.keep_warm else None

    def warm() -> dict[str, Any] | None:
        places = list(dict.fromkeys(offer.region for offer in offers))
        return warm_quote(rows, types, market.regions, places, model.id, model.disk_gb, wanted.keep_warm)

    made = warm()
    keeping = new_volume_adds(now, made["monthly"]) if made and made["new"] else 0.0
    quote["budget"] = None
    if wanted.budget is not None:
        seen = look(reader, now, instances, wanted.records, max(offer.hourly for offer in offers))
        offers = within_budget(offers, (left(seen, wanted.budget) - keeping) / copies, now, clocks.end)
        hourly = max(offer.hourly for offer in offers)
        adds = copies * _lease_cost(hourly, now, clocks.end) + keeping
        what = f"the session {name}" if copies == 1 else f"{copies} sessions of the group {wanted.group}"
        quote["budget"] = against_budget(seen, wanted.budget, adds, copies * hourly, what)
    offers = shortlist(offers)
    quote["warm"] = warm()
    by_plan = {engine.plan.id: engine.as_dict() for engine in engines}
    quote["engine"] = by_plan[offers[0].plan]
    quote["engines"] = {offer.plan: by_plan[offer.plan] for offer in offers}
    quote["model"] = quote["engine"]["variant"]
    quote["left_out"] = _left_out(request, engines, market, list(wanted.plans))
    # The dearest offer is what may have to be paid.
    dearest = max(offer.hourly for offer in offers)
    quote["offers"] = [offer._asdict() for offer in offers]
    quote["plan"], quote["gpus"], quote["gpu"] = offers[0].plan, offers[0].gpus, offers[0].gpu
    quote["sources"] = {
        "plan": "input" if wanted.plans else "cheapest",
        "gpus": "API",
        "gpu": PACKAGED,
        "hourly": "API",
        "budget": None if wanted.budget is None else "input",
    }
    quote["hourly"] = offers[0].hourly
    quote["hourly_max"] = dearest
    quote["cost_to_lease_end"] = cost(now, clocks.end, dearest)
    quote["cost_to_cap"] = cost(now, clocks.cap, dearest)
    quote["paid_until"] = format_time(paid_until(now, now))
    return quote


def quote_switch(
    reader: Reader,
    session: str,
    wanted: Wanted,
    *,
    now: int,
    lookup: Lookup = unlisted,
    has_hub_token: bool = False,
    instances: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """What another model on the VM of a session would be. Failure when there is no such VM, or it does not fit.

    It costs nothing more, so a budget stands against it only when all of it is spent.
    """
    name = validate_session_name(session)
    check_budget(wanted.budget)
    request = _request(lookup, wanted)
    if instances is None:
        instances = reader.list("linode/instances", {"tags": MARKER})
    view = find_session(instances, name, now)
    if view is None:
        raise Failure(
            "not_found",
            f"There is no session {name!r} in this account.",
            remedy="See them all: linode-coder list --all",
            field="session",
            value=name,
        )
    plan = _existing_plan(reader, view["plan"])
    if plan is None:
        raise Failure(
            "conflict",
            f"The plan of session {name!r} is not known, so it cannot be checked whether a model fits.",
            remedy=f"Look at it: linode-coder status {name}",
            field="session",
            value=name,
        )
    engine = _engine(request, plan)
    if engine.problem is not None:
        raise _refusal(request, engine, _Market(reader, [], DEFAULT_MIN_VRAM_GB))
    check_access(engine.model, engine.variant, has_hub_token)
    check_code(engine.model, engine.variant)
    said = None
    if wanted.budget is not None:
        seen = look(reader, now, instances, wanted.records, view["hourly"])
        said = against_budget(seen, wanted.budget, 0.0, view["hourly"], f"another model on {name}")
    return {
        "budget": said,
        "session": name,
        "existing": view,
        "serves": view["model"],
        "model": engine.variant.id,
        "engine": engine.as_dict(),
        "aliases": _aliases(request),
    }
