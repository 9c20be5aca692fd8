"""linode-coder cost: what a month's sessions cost, against the budget and the account's invoices. Never starts Ansible."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, fields
from pathlib import Path
from typing import Annotated

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import parse_time
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.perf.run import is_sandbox

from ..api import LinodeReader
from ..reports.account import Cost, read_cost
from ..reports.bill import IDLE_MEANS, SAVED_MEANS, Billed, parse_month
from ..reports.csv_text import csv_text
from ..settings.config import only
from ..terminal.console import Console, money
from ..terminal.table import Column
from ..terminal.when import when

app = typer.Typer(add_completion=False, rich_markup_mode=None)


def _row(row: Billed, now: int) -> list[str]:
    until = "now" if row.ended is None else when(parse_time(row.ended), now)
    since = when(parse_time(row.created), now) if row.created else "unknown"
    idle = "unknown" if row.idle_hours is None else f"{row.idle_hours} h"
    saved = "-" if row.ended is None else money(row.saved)
    return [
        *(row.name, row.owner or "unknown", f"{row.hours} h", money(row.cost), idle, saved),
        *(since, until, row.plan or "unknown", row.region or "unknown", row.model or "unknown"),
    ]


def _show(console: Console, cost: Cost, budget: float | None, sandbox: bool, now: int, wide: bool) -> None:
    bill = cost.bill
    if not bill.rows:
        console.text(f"No session was billed in {bill.month.name}.")
    else:
        heads = [Column("NAME"), Column("OWNER", 6), Column("HOURS"), Column("COST"), Column("IDLE", 2)]
        heads += [Column("SAVED", 1), Column("FROM", 4), Column("TO", 3), Column("PLAN", 5), Column("REGION", 7)]
        heads += [Column("MODEL", 8)]
        console.table(heads, [_row(row, now) for row in bill.rows], wide)
    of_budget = "" if budget is None else f" of the month's budget of {money(budget)}"
    console.text(f"total    {bill.hours} h, {money(bill.total)}{of_budget}, in {bill.month.name} (UTC)")
    if bill.idle_hours is not None:
        paid = "" if not bill.idle_dollars else f", {money(bill.idle_dollars)}"
        console.text(f"idle     {bill.idle_hours} h{paid}: {IDLE_MEANS}, where a watcher saw it")
    if bill.rows:
        console.text(f"tokens   {'unknown: nobody here looked' if bill.use is None else bill.use.sentence()}")
    if any(row.ended for row in bill.rows):
        console.text(f"saved    {money(bill.saved)} by deletion: {SAVED_MEANS}")
    for row in cost.volumes:
        so_far = "unknown" if row["cost"] is None else money(row["cost"])
        monthly = "unknown" if row["monthly"] is None else money(row["monthly"])
        console.text(f"warm     {row['name']}: {so_far} in {bill.month.name} beside the sessions, {monthly} a month")
    if cost.invoiced is not None:
        same = "" if cost.differences else ", as here"
        console.text(f"invoice  {money(cost.invoiced)} before tax for all sessions{same}")
    elif cost.uninvoiced is not None:
        console.text(f"account  {money(cost.uninvoiced)} not invoiced yet, with all that is not ours")
    for sentence in cost.differences:
        console.text(f"differs  {sentence}")
    for sentence in (*bill.doubts, *cost.notes, *(["This is the sandbox: no real money."] if sandbox else [])):
        console.text(f"note     {sentence}")


def _document(cost: Cost, budget: float | None, sandbox: bool) -> dict[str, object]:
    return {
        "command": "cost",
        "sandbox": sandbox,
        **cost.bill.as_dict(),
        "budget": budget,
        "invoiced": cost.invoiced,
        "uninvoiced": cost.uninvoiced,
        "volumes": list(cost.volumes),
        "differences": list(cost.differences),
        "notes": list(cost.notes),
    }


@app.command("cost")
def cost(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only this session (default: all).")] = None,
    month: Annotated[str | None, typer.Option(metavar="YYYY-MM", help="This month (UTC) otherwise.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="A line for each session, for a spreadsheet.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write it with pictures, as one HTML file.")] = None,
    wide: Annotated[bool, typer.Option("--wide", help="Every column, however narrow the terminal is.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Show what a month's sessions cost, against the budget and the account's invoices."""
    console = Console(as_json)
    if as_csv and as_json:
        raise Failure("usage", "--csv and --json are two ways to say the same.", remedy="Leave one out.", field="csv")
    now = int(time.time())
    wanted = parse_month(month, now)
    if report is not None:
        from ..reports import page, plots

        plots.check()
        page.check(report)
    found = read_cost(LinodeReader(), wanted, now)
    if name is not None:
        found = found.of(name)
        if not found.bill.rows:
            raise Failure(
                "not_found",
                f"No session {name!r} was billed in {wanted.name}.",
                remedy="See all of the month without a name, or another month with --month.",
                field="session",
                value=name,
            )
    budget = only("budget").budget
    sandbox = is_sandbox(os.environ.get("LINODE_API_URL"))
    if report is not None:
        from ..reports.cost import cost_report

        page.write(report, cost_report(found, budget, sandbox))
    if as_json:
        console.result(_document(found, budget, sandbox))
    elif as_csv:
        heads = [field.name for field in fields(Billed)]
        print(csv_text(heads, [list(asdict(row).values()) for row in found.bill.rows]), end="")
    else:
        _show(console, found, budget, sandbox, now, wide)
    if report is not None:
        console.note(f"The report is {report.absolute()}")
