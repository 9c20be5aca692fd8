"""What the configuration comes to: which plan, how many GPUs of which kind, at what price and budget, each with its source."""

from __future__ import annotations

from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import format_time
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.duration import format_duration
from ansible_collections.linode_coder.gpu.plugins.module_utils.linode.gpu_plans import Plan, known_plan, plan_of
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.catalogue import catalogue, find
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.catalogue_data import DEFAULT_MODEL
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.measured_fits import with_measurements
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.view import by_price, first_that_fits

from ..settings.config import Reading
from .last_answer import Answer

PACKAGED = "packaged"


def _source(answer: Answer, now: float) -> dict[str, Any]:
    """Where prices are from: ``from`` is ``api``, ``remembered`` or ``nowhere``; times in UTC, ages in seconds."""
    if answer.asked is None:
        return {"from": "nowhere", "asked": None, "age": None, "why": answer.why}
    return {
        "from": "remembered" if answer.why else "api",
        "asked": format_time(answer.asked),
        "age": max(0, int(now - answer.asked)),
        "why": answer.why,
    }


def source_words(source: dict[str, Any]) -> str:
    """For people: ``API``, or how old the last answer is."""
    if source["from"] == "nowhere":
        return "unknown"
    return "API" if source["from"] == "api" else f"API, {format_duration(source['age'])} ago"


def _cheapest(reading: Reading, answer: Answer) -> tuple[str, str] | None:
    """The plan that `up` takes where none is set, going by price alone, and the model that it suits; None where that is not known."""
    name = reading.values["model"] or DEFAULT_MODEL
    selection = find(catalogue(), name)
    prices = {row["id"]: (row.get("price") or {}).get("hourly") for row in answer.plans}
    priced = {plan_id: hourly for plan_id, hourly in prices.items() if hourly}
    if selection is None or not priced:
        return None
    plans = with_measurements([plan_of(row) for row in answer.plans if row["id"] in priced])
    context = reading.values["context"]
    found = first_that_fits(selection, by_price(plans, priced), context if isinstance(context, int) else None)
    return (found.plan.id, name) if found else None


def _plan(plan_id: str, source: str, answer: Answer) -> dict[str, Any]:
    row = next((row for row in answer.plans if row["id"] == plan_id), None)
    plan: Plan | None = plan_of(row) if row else known_plan(plan_id)
    elsewhere = {price["id"]: price["hourly"] for price in (row or {}).get("region_prices") or [] if price["hourly"]}
    return {
        "plan": plan_id,
        "plan_source": source,
        "gpus": plan.gpus if plan else None,
        "gpus_source": None if plan is None else "api" if row else PACKAGED,
        "gpu": plan.card.name if plan and plan.card else None,
        "gpu_source": PACKAGED if plan and plan.card else None,
        "hourly": ((row or {}).get("price") or {}).get("hourly") or None,
        "hourly_elsewhere": elsewhere,
        "known": plan is not None and (row is not None or answer.asked is None),
    }


def configured(reading: Reading, answer: Answer, now: float) -> dict[str, Any]:
    """``plans`` in the order in which they are tried, with ``hourly`` in dollars and ``hourly_elsewhere`` for the regions whose price
    is another; ``prices`` says where these are from; ``budget`` is in dollars a month. ``plans`` is empty where none is set and
    the cheapest that suits is not known."""
    names = reading.values["plan"]
    origin = reading.origins.get("plan", "default")
    if names:
        plans = [_plan(name, origin, answer) for name in names]
    else:
        cheapest = _cheapest(reading, answer)
        plans = [_plan(cheapest[0], f"default: cheapest for {cheapest[1]}", answer)] if cheapest else []
    budget = reading.values["budget"]
    return {
        "plans": plans,
        "prices": _source(answer, now),
        "budget": budget,
        "budget_source": reading.origins.get("budget", "default"),
    }
