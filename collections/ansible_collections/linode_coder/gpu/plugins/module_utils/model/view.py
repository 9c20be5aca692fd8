# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Models and plans as people and programs read them: plain data, with what fits where."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..linode.gpu_plans import Plan
from .catalogue import Model, Selection, Source
from .choice import Engine, best_on_plan, default_model


def model_notes(model: Model) -> list[str]:
    """Sentences for whoever asks for it, also of what is not known."""
    notes = list(model.notes)
    if model.attention is None and model.source not in ("sandbox", "unknown"):
        notes.append(
            "How much memory a token of its context takes is not known, so neither is which context fits where: the engine "
            "finds out when it starts."
        )
    problems = dict.fromkeys(model.code_problem(variant) for variant in model.variants)
    notes += [f"{problem} Until one is, it is not started." for problem in problems if problem]
    return notes


def _sources(sources: dict[str, Source]) -> dict[str, dict[str, str]]:
    return {name: {"from": source.text, "on": source.on} for name, source in sources.items()}


def model_view(model: Model) -> dict[str, Any]:
    """What is known of a model; ``uncertain`` names what is not sure."""
    return {
        "id": model.id,
        "name": model.name,
        "hf": model.hf,
        "family": model.family,
        "licence": model.licence,
        "gated": model.gated,
        "parameters_b": model.parameters_b,
        "active_b": model.active_b,
        "max_context": model.max_context,
        "layers": model.layers,
        "heads": model.heads,
        "attention": [{key: value for key, value in asdict(group).items() if value} for group in model.attention or ()],
        "tool_parser": model.tool_parser,
        "reasoning_parser": model.reasoning_parser,
        "coding": model.coding,
        "multimodal": model.multimodal,
        "flags": model.flags,
        "min_engine": model.min_engine,
        "uncertain": list(model.uncertain),
        "source": model.source,
        "sources": _sources(model.sources),
        "notes": model_notes(model),
        "variants": [
            {
                "id": variant.id,
                "precision": variant.precision,
                "disk_gb": variant.disk_gb,
                "min_capability": variant.min_capability,
                "gated": model.gated_for(variant),
                "revision": model.revision_of(variant),
                "community": variant.community,
                "flags": variant.flags,
                "environment": variant.env,
                "min_engine": variant.min_engine,
                "uncertain": list(variant.uncertain),
                "sources": _sources(variant.sources),
            }
            for variant in model.variants
        ],
    }


def engine_view(engine: Engine, hourly: float | None) -> dict[str, Any]:
    """How a model serves on a plan; ``fits`` is null where that is unknown."""
    found = engine.fit
    fits = False if engine.problem else found.fits if found else None
    why = engine.problem or (found.why if found else None)
    return {
        "plan": engine.plan.id,
        "gpus": engine.plan.gpus,
        "card": engine.plan.card.name if engine.plan.card else None,
        "hourly": hourly,
        "model": engine.model.id,
        "variant": engine.variant.id,
        "precision": engine.variant.precision,
        "fits": fits,
        "why": why,
        "context": (found.max_context if found and fits is not False else None),
        "kv_tokens": (found.kv_tokens if found and fits is not False else None),
        "tokens_per_second": (round(found.decode_tps, 1) if found and found.decode_tps and fits is not False else None),
        "tensor_parallel": engine.tensor_parallel,
        "memory": found.as_dict() if found else None,
        "notes": list(engine.notes),
    }


def plan_view(plan: Plan, hourly: float | None) -> dict[str, Any]:
    card = plan.card
    return {
        "id": plan.id,
        "gpus": plan.gpus,
        "card": card.name if card else None,
        "vram_gb": card.vram_gb * plan.gpus if card else None,
        "compute_capability": card.compute_capability if card else None,
        "bandwidth_gbs": card.bandwidth_gbs if card else None,
        "vcpus": plan.vcpus,
        "memory_mb": plan.memory_mb,
        "disk_mb": plan.disk_mb,
        "advised": plan.advised,
        "hourly": hourly,
        "default_model": default_model(plan.id),
        "uncertain": list(card.uncertain) if card else [],
    }


def plan_rows(
    plans: list[Plan],
    prices: dict[str, float],
    stock: dict[str, list[str]],
    selection: Selection | None = None,
    context: int | None = None,
    tensor_parallel: int | None = None,
) -> list[dict[str, Any]]:
    """The plans, cheapest first, with the regions that advertise each and, of a model, how it serves there.

    Without prices the API was not asked: then nothing is known of stock either.
    """
    rows = []
    for plan in by_price(plans, prices):
        row = plan_view(plan, prices.get(plan.id))
        row["advertised_in"] = sorted(stock.get(plan.id, [])) if prices else None
        if selection:
            engine = best_on_plan(selection, plan, context, tensor_parallel)
            row["fit"] = engine_view(engine, row["hourly"])
        rows.append(row)
    return rows


def by_price(plans: list[Plan], prices: dict[str, float]) -> list[Plan]:
    """Cheapest first; where no price is known, the plan with less GPU memory and fewer processors first."""

    def size(plan: Plan) -> tuple[float, float, int, str]:
        memory = plan.gpus * plan.card.vram_gb if plan.card else 0
        return (prices.get(plan.id, float("inf")), memory, plan.vcpus or 0, plan.id)

    return sorted(plans, key=size)


def first_that_fits(selection: Selection, plans: list[Plan], context: int | None = None) -> Engine | None:
    """The engine on the first plan that serves it well, of ``plans`` in their order."""
    fallback = None
    for plan in plans:
        engine = best_on_plan(selection, plan, context)
        if engine.problem is None and engine.fit is not None:
            if plan.advised:
                return engine
            fallback = fallback or engine
    return fallback
