"""A month's money as a page: sessions and months as bars, and the table that they are made from."""

from __future__ import annotations

from markupsafe import Markup

from ..terminal.console import money
from . import page, plots
from .account import Cost
from .bill import IDLE_MEANS, SAVED_MEANS, TOKENS_MEANS, Bill, Billed

# Bars that are told apart; the table has all.
_BARS = 20


def _hours(count: int | None) -> str | None:
    return None if count is None else f"{count} h"


def _minute(moment: str | None) -> str | None:
    """A time in UTC as a table has room for it."""
    return None if moment is None else moment[:16].replace("T", " ")


def _tokens(row: Billed) -> tuple[str | None, str | None]:
    """Generated tokens, and dollars for a million of them with all hours, idle ones as well."""
    if row.generated_tokens is None:
        return None, None
    mark = ">= " if row.tokens_at_least else ""
    price = "-" if row.dollars_per_million is None else money(row.dollars_per_million)
    return f"{mark}{row.generated_tokens:,}", price if price == "-" or not mark else f"<= {price}"


def _total_tokens(bill: Bill) -> tuple[str, str]:
    use = bill.use
    if use is None:
        return "", ""
    price = "-" if use.per_million is None else money(use.per_million)
    return f"{'>= ' if use.at_least else ''}{use.generated:,}", price


def cost_report(cost: Cost, budget: float | None = None, sandbox: bool = False) -> str:
    """HTML. ``budget``: dollars of a month, None without one."""
    bill = cost.bill
    over = budget is not None and bill.total > budget
    of_budget = "" if budget is None else f" of a budget of {money(budget)}"
    said = f"{len(bill.rows)} session VM(s), {bill.hours} started hours, {money(bill.total)}{of_budget}."
    parts = []
    if sandbox:
        parts.append(page.paragraph("Made in the sandbox: no real money.", "soft"))
    parts.append(page.paragraph(f"Hours that began in {bill.month.name} (UTC).", "soft"))
    if budget is None:
        parts.append(page.paragraph(said))
    else:
        parts.append(page.verdict("fail" if over else "pass", said, "over budget" if over else "within budget"))
    parts += [page.bullets([*cost.differences, *bill.doubts, *cost.notes])]
    if bill.use is not None:
        parts.append(page.paragraph(f"Tokens: {bill.use.sentence()}."))
    if bill.idle_dollars:
        parts.append(page.paragraph(f"Idle hours cost {money(bill.idle_dollars)} of it, and made no token."))
    figures = []
    by_name: dict[str, float] = {}
    for row in bill.rows:
        by_name[row.name] = by_name.get(row.name, 0.0) + (row.cost or 0.0)
    if by_name:
        dearest = sorted(by_name.items(), key=lambda each: -each[1])[:_BARS]
        figures.append(("Dollars by session", plots.bars("sessions", "Dollars by session", dearest, "dollars")))
    if len(cost.months) > 1:
        limit = None if budget is None else ("budget", budget)
        figures.append(("Dollars by month", plots.bars("months", "Dollars by month", cost.months, "dollars", limit)))
    parts.append(page.section("Where it went", page.pictures(*figures)))
    heads = (
        "Session",
        "Hours",
        "Cost",
        "Idle",
        "Tokens",
        "$ per million",
        "Saved",
        "From",
        "To",
        "Owner",
        "Model",
        "Plan",
        "Region",
    )
    rows: list[tuple[object, ...]] = [
        (
            *(row.name, row.hours, money(row.cost), _hours(row.idle_hours), *_tokens(row)),
            *("-" if row.ended is None else money(row.saved), _minute(row.created)),
            *("runs" if row.ended is None else _minute(row.ended), row.owner, row.model, row.plan, row.region),
        )
        for row in bill.rows
    ]
    total = (
        "Total",
        bill.hours,
        money(bill.total),
        _hours(bill.idle_hours),
        *_total_tokens(bill),
        money(bill.saved),
        *[""] * 6,
    )
    means = page.bullets([f"Idle: {IDLE_MEANS}.", f"Tokens: {TOKENS_MEANS}.", f"Saved by deletion: {SAVED_MEANS}."])
    shown = [*rows, total] if rows else []
    parts.append(page.section("Sessions", page.table(heads, shown, (1, 2, 3, 4, 5, 6)), means if rows else Markup("")))
    account: list[object] = []
    if cost.invoiced is not None:
        account.append(f"Invoiced for sessions, before tax: {money(cost.invoiced)}.")
    if cost.uninvoiced is not None:
        account.append(f"Not invoiced yet, with all of the account that is not ours: {money(cost.uninvoiced)}.")
    parts.append(page.section("The account", page.bullets(account)))
    return page.page(f"What sessions cost in {bill.month.name}", parts)
