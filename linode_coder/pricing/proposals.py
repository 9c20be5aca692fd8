"""What the wizard proposes: the models that fit what somebody does with one, each on the cheapest plan that serves it."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import cost
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.duration import parse_duration
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.catalogue import Selection, catalogue
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.choice import best_on_plan, default_model
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.view import by_price

from .plans_and_prices import Market

# What people do with it, and the context that this takes: a completion sees a file or two, an agent a session's history.
GOALS = {"completion": 16384, "chat": 32768, "agent": 65536}


@dataclass(frozen=True)
class Proposal:
    """A model on the cheapest plan that serves it. ``hourly`` is None when prices are not known."""

    model: str
    name: str
    variant: str
    plan: str
    context: int | None
    tokens_per_second: float | None
    hourly: float | None


def proposals(market: Market, context: int, lease: str, max_cost: float | None, agent: bool) -> list[Proposal]:
    """What fits the context and the money, the cheapest first; at the same price the plan's own default, then the quickest."""
    seconds = parse_duration(lease, "lease")
    found = []
    for model in catalogue():
        if model.source == "sandbox" or (agent and not model.tool_parser):
            continue
        for plan in by_price(market.plans, market.prices):
            hourly = market.prices.get(plan.id)
            total = cost(0, seconds, hourly)
            if market.prices and (total is None or (max_cost is not None and total > max_cost)):
                continue
            engine = best_on_plan(Selection(model), plan, context)
            startable = engine.problem is None and engine.model.code_problem(engine.variant) is None
            if startable and engine.fit is not None and engine.fit.fits and plan.advised:
                found.append(
                    Proposal(
                        model.id,
                        model.name,
                        engine.variant.id,
                        plan.id,
                        engine.fit.max_context,
                        engine.fit.decode_tps,
                        hourly,
                    )
                )
                break
    order = {plan.id: number for number, plan in enumerate(by_price(market.plans, market.prices))}

    def rank(one: Proposal) -> tuple[float, bool, int, float]:
        own = default_model(one.plan) in (one.model, one.variant)
        return (one.hourly or 0.0, not own, order[one.plan], -(one.tokens_per_second or 0.0))

    return sorted(found, key=rank)
