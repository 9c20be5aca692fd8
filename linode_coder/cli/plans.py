"""linode-coder plans: GPU plans, their cards, prices and stock, and what a model does on them. Never starts Ansible."""

from __future__ import annotations

from typing import Annotated

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.linode.gpu_plans import advised_vcpus
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.context_length import parse_context
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.hub import hub_lookup
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.request import resolve
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.view import plan_rows

from ..pricing.plans_and_prices import read_market
from ..terminal.console import Console, money
from ..terminal.table import Column
from .models import fit_cells, refusals

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def plans(
    model: Annotated[str | None, typer.Option(help="How this model fits on each.")] = None,
    region: Annotated[str | None, typer.Option(help="Prices and stock of this region.")] = None,
    context: Annotated[str | None, typer.Option(help="Tokens that have to fit, e.g. 64K.")] = None,
    wide: Annotated[bool, typer.Option("--wide", help="Every column, however narrow the terminal is.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Show GPU plans: cards, price, stock, and what a model does on them."""
    console = Console(as_json)
    wanted = parse_context(context)
    selection = resolve(model, hub_lookup) if model else None
    market = read_market(console, region, with_stock=True)
    views = plan_rows(market.plans, market.prices, market.stock, selection, wanted)
    if as_json:
        console.result({"command": "plans", "region": region, "note": market.note, "plans": views})
        return
    heads = [Column("PLAN"), Column("GPUS", 2), Column("CARD", 5), Column("VRAM", 3), Column("VCPUS", 7)]
    heads += [Column("RAM", 8), Column("DISK", 9), Column("$/H"), Column("STOCK", 6)]
    fitted = [Column("VARIANT", 4), Column("CONTEXT", 1), Column("TOKENS/S", 1)]
    heads += fitted if selection else [Column("DEFAULT MODEL", 4)]
    rows = []
    for view in views:
        stock = "-" if view["advertised_in"] is None else f"{len(view['advertised_in'])} regions"
        if region and view["advertised_in"] is not None:
            stock = "yes" if view["advertised_in"] else "no"
        row = [view["id"], str(view["gpus"]), view["card"] or "unknown"]
        row += [f"{view['vram_gb']} GB" if view["vram_gb"] else "?"]
        row += [f"{view['vcpus']}{'' if view['advised'] else '!'}", f"{(view['memory_mb'] or 0) // 1024} GB"]
        row += [f"{(view['disk_mb'] or 0) // 1024} GB", money(view["hourly"]) if view["hourly"] else "-", stock]
        if selection:
            fit = view["fit"]
            row += fit_cells(fit)[:3] if fit["fits"] is not False else ["does not fit", "-", "-"]
        else:
            row.append(view["default_model"] or "-")
        rows.append(row)
    console.table(heads, rows, wide)
    for line in refusals([view["fit"] for view in views], "plan") if selection else []:
        console.text(line)
    few = [view for view in views if not view["advised"]]
    for view in few:
        advice = advised_vcpus(view["gpus"])
        console.text(f"! {view['id']} has {view['vcpus']} vCPUs; the engine advises {advice} for its GPUs.")
    console.text("Stock is what the API advertises, which is advice: a create may be refused all the same.")
    console.text(market.note)
