"""linode-coder models: what can be served, where it fits, how fast and at which price. Never starts Ansible."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.catalogue import Model, Selection, catalogue
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.choice import best_on_plan
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.context_length import parse_context
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.hub import hub_lookup
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.request import resolve
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.view import (
    by_price,
    engine_view,
    first_that_fits,
    model_notes,
    model_view,
)

from ..pricing.plans_and_prices import Market, read_market
from ..terminal.console import Console, money
from ..terminal.table import Column

app = typer.Typer(add_completion=False, rich_markup_mode=None)


def tokens(number: int | None) -> str:
    if number is None:
        return "?"
    return f"{number // 1024}K" if number >= 1024 else str(number)


def sized(disk_gb: float | None, uncertain: bool) -> str:
    return "?" if disk_gb is None else f"{'~' if uncertain else ''}{disk_gb:.1f} GB"


def parameters(model: Model) -> str:
    if model.parameters_b is None:
        return "?"
    return f"{model.parameters_b:g}B" + (f" ({model.active_b:g}B active)" if model.mixture else "")


def licence(model: Model) -> str:
    doubt = "?" if "licence" in model.uncertain else ""
    return model.licence + doubt + (", gated" if model.gated else "")


def coding(model: Model) -> str:
    """What was published of how well it codes, as short as a cell has to be."""
    if model.coding is None:
        return "-"
    return model.coding + ("?" if "coding" in model.uncertain else "")


def flag(name: str, value: Any) -> str:
    """An engine's flag as it stands on its command line."""
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    return f"--{name} {json.dumps(value)}" if isinstance(value, (dict, list)) else f"--{name} {value}"


def fit_cells(view: dict[str, Any]) -> list[str]:
    """Variant, context, speed and price of a model on a plan."""
    speed = view["tokens_per_second"]
    return [
        f"{view['variant']} ({view['precision']})",
        tokens(view["context"]),
        f"{speed:.0f}" if speed else "?",
        money(view["hourly"]) if view["hourly"] else "-",
    ]


def refusals(views: list[dict[str, Any]], key: str) -> list[str]:
    """Why things do not fit, one line for each reason."""
    by_reason: dict[str, list[str]] = {}
    for view in views:
        if view["fits"] is False:
            by_reason.setdefault(view["why"], []).append(view[key])
    return [f"no: {', '.join(names)}: {why}" for why, names in by_reason.items()]


@app.command()
def models(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="Show one, with every plan.")] = None,
    plan: Annotated[str | None, typer.Option(help="What fits on this plan.")] = None,
    context: Annotated[str | None, typer.Option(help="Tokens that have to fit, e.g. 64K.")] = None,
    show_all: Annotated[bool, typer.Option("--all", help="What does not fit as well, and why.")] = False,
    wide: Annotated[bool, typer.Option("--wide", help="Every column, however narrow the terminal is.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Show models: how well they code, where they fit, how fast they are and what they cost."""
    console = Console(as_json)
    wanted = parse_context(context)
    selections = [resolve(model, hub_lookup)] if model else [Selection(each) for each in catalogue()]
    market = read_market(console)
    if plan:
        market.plan(plan)
    if model:
        _one(console, selections[0], market, plan, wanted, show_all, wide)
    elif plan:
        _on_plan(console, selections, market, plan, wanted, show_all, wide)
    else:
        _overview(console, selections, market, wanted, show_all, wide)
    console.text(market.note)


def _engines(selection: Selection, market: Market, plan: str | None, context: int | None) -> list[dict[str, Any]]:
    plans = [market.plan(plan)] if plan else by_price(market.plans, market.prices)
    return [engine_view(best_on_plan(selection, each, context), market.prices.get(each.id)) for each in plans]


def _overview(
    console: Console, selections: list[Selection], market: Market, context: int | None, show_all: bool, wide: bool
) -> None:
    """Every model with the cheapest, or without prices the smallest, plan that serves it well."""
    plans = by_price(market.plans, market.prices)
    found = []
    for selection in selections:
        engine = first_that_fits(selection, plans, context)
        found.append((selection.model, engine_view(engine, market.prices.get(engine.plan.id)) if engine else None))
    if console.as_json:
        listed = [{**model_view(model), "first_fit": view} for model, view in found]
        console.result({"command": "models", "context": context, "note": market.note, "models": listed})
        return
    where = "CHEAPEST PLAN" if market.prices else "SMALLEST PLAN"
    heads = [Column("MODEL"), Column("CODING", 1), Column(where, 3), Column("$/H", 2), Column("CONTEXT", 5)]
    heads += [
        Column("TOKENS/S", 4),
        Column("PARAMETERS", 8),
        Column("MAX", 9),
        Column("LICENCE", 7),
        Column("VARIANT", 6),
    ]
    rows = []
    hidden = 0
    for model, view in found:
        if view is None and not show_all:
            hidden += 1
            continue
        variant, length, speed, price = fit_cells(view) if view else ["-"] * 4
        place = [view["plan"] if view else "fits on none", price, length, speed]
        about = [parameters(model), tokens(model.max_context), licence(model), variant]
        rows.append([model.id, coding(model), *place, *about])
    console.table(heads, rows, wide)
    if hidden:
        console.text(f"{hidden} more fit on no plan: --all")
    console.text(
        "CODING is what the publisher says. The cheapest plan is one with the processors that the engine asks for. Contexts and speeds are estimates for one user; ? is not certain. "
        "One in detail: linode-coder models MODEL"
    )


def _on_plan(
    console: Console,
    selections: list[Selection],
    market: Market,
    plan: str,
    context: int | None,
    show_all: bool,
    wide: bool,
) -> None:
    found = [(selection.model, _engines(selection, market, plan, context)[0]) for selection in selections]
    if console.as_json:
        listed = [{**model_view(model), "fit": view} for model, view in found if show_all or view["fits"] is not False]
        console.result({"command": "models", "plan": plan, "context": context, "note": market.note, "models": listed})
        return
    fitting = sorted(
        (pair for pair in found if pair[1]["fits"] is not False),
        key=lambda pair: -(pair[1]["tokens_per_second"] or 0.0),
    )
    heads = [Column("MODEL"), Column("LICENCE", 5), Column("PARAMETERS", 6), Column("VARIANT", 4), Column("CONTEXT")]
    heads += [Column("TOKENS/S", 1), Column("$/H", 2)]
    rows = [[model.id, licence(model), parameters(model), *fit_cells(view)] for model, view in fitting]
    console.table(heads, rows, wide)
    refused = [(model, view) for model, view in found if view["fits"] is False]
    if refused and not show_all:
        console.text(f"{len(refused)} more do not fit on {plan}: --all")
    for line in refusals([view for _model, view in refused], "model") if show_all else []:
        console.text(line)
    console.text("Contexts and speeds are estimates for one user; ? is unknown.")


def _cheapest(selection: Selection, views: list[dict[str, Any]], market: Market, context: int | None) -> list[str]:
    """The cheapest plan with its price, and a cheaper one on which the engine lacks processors."""
    priced = [view for view in views if view["fits"] is True and view["hourly"]]
    named = {view["plan"] for view in priced}
    plans = [plan for plan in by_price(market.plans, market.prices) if plan.id in named]
    engine = first_that_fits(selection, plans, context)
    if engine is None:
        return []
    price = market.prices[engine.plan.id]
    least = min(priced, key=lambda view: float(view["hourly"]))
    lines = [f"cheapest  {engine.plan.id}, {money(price)}/h"]
    if least["hourly"] < price:
        costs = f"{least['plan']} costs {money(least['hourly'])}/h"
        lines.append(f"          {costs}, but has fewer processors than the engine asks for")
    return lines


def _one(
    console: Console,
    selection: Selection,
    market: Market,
    plan: str | None,
    context: int | None,
    show_all: bool,
    wide: bool,
) -> None:
    model = selection.model
    views = _engines(selection, market, plan, context)
    if console.as_json:
        console.result(
            {
                "command": "models",
                "context": context,
                "note": market.note,
                "model": model_view(model),
                "variant": selection.variant.id if selection.variant else None,
                "plans": views,
            }
        )
        return
    console.text(f"{model.id}  {model.name}, {parameters(model)}, context up to {tokens(model.max_context)}")
    console.text(f"licence   {licence(model)}; https://huggingface.co/{model.hf}")
    calls = f"tool calls {model.tool_parser or 'unknown'}, reasoning {model.reasoning_parser or 'none'}"
    console.text(f"parsers   {calls}{', reads images' if model.multimodal else ''}")
    console.text(f"coding    {coding(model) if model.coding else 'nothing is known'}")
    for line in _cheapest(selection, views, market, context):
        console.text(line)
    for note in model_notes(model):
        console.text(f"note      {note}")
    if model.uncertain:
        console.text(f"uncertain {', '.join(model.uncertain)}")
    console.text()
    heads = [
        Column("VARIANT"),
        Column("PRECISION", 2),
        Column("ON DISK"),
        Column("CARD FROM", 1),
        Column("NOTES", text=True),
    ]
    rows = []
    for variant in model.variants:
        notes = ["gated"] if model.gated_for(variant) else []
        notes += ["made by a single person"] if variant.community else []
        notes += [f"pinned at {revision}"] if (revision := model.revision_of(variant)) else []
        notes += [flag(name, value) for name, value in variant.flags.items()]
        size = sized(variant.disk_gb, "disk_gb" in variant.uncertain)
        rows.append([variant.id, variant.precision, size, f"sm {variant.min_capability}", ", ".join(notes) or "-"])
    console.table(heads, rows, wide)
    console.text()
    heads = [Column("PLAN"), Column("GPUS", 4), Column("VARIANT", 3), Column("CONTEXT", 1), Column("TOKENS/S", 2)]
    rows = [[view["plan"], str(view["gpus"]), *fit_cells(view)] for view in views if view["fits"] is not False]
    if rows:
        console.table([*heads, Column("$/H")], rows, wide)
    else:
        console.text("It fits on none of these plans.")
    refused = [view for view in views if view["fits"] is False]
    if refused and not show_all and rows:
        console.text(f"{len(refused)} plans do not fit: --all")
    for line in refusals(refused, "plan") if show_all or not rows else []:
        console.text(line)
