"""linode-coder config: every value with its origin, and what is wrong where."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure

from ..pricing.configured import configured, source_words
from ..pricing.last_answer import plans_now_or_then
from ..settings.config import SETTINGS, Reading, read
from ..settings.files import dotenv_path, toml_path
from ..terminal.console import Console, money
from ..terminal.table import Column
from ..terminal.when import when

app = typer.Typer(add_completion=False, rich_markup_mode=None, help="Show and check the configuration.")

MASK = "********"
# Whoever looks at a configuration waits no longer than this for each attempt to ask for prices.
_PATIENCE_S = 3.0


def shown(key: str, value: Any, secret: bool) -> Any:
    """A value as it may be printed."""
    if value is None or value == ():
        return None
    return MASK if secret else list(value) if isinstance(value, tuple) else value


def _written(value: Any) -> str:
    return "-" if value is None else ", ".join(value) if isinstance(value, list) else str(value)


def _files() -> dict[str, dict[str, Any]]:
    return {
        "toml": {"path": str(toml_path()), "exists": toml_path().exists()},
        "dotenv": {"path": str(dotenv_path().absolute()), "exists": dotenv_path().exists()},
    }


def _problems(console: Console, reading: Reading) -> None:
    for problem in reading.problems:
        console.text(f"{problem.severity}: {problem.where}: {problem.message} {problem.remedy}")


def _failure(reading: Reading) -> Failure | None:
    count = len(reading.errors)
    if not count:
        return None
    return Failure(
        "config",
        f"The configuration has {count} error{'s' if count > 1 else ''}; the first is at {reading.errors[0].where}.",
        cause=reading.errors[0].message,
        remedy=reading.errors[0].remedy,
        field=reading.errors[0].key,
    )


def _price(plan: dict[str, Any]) -> str:
    """Per hour; after it the regions where it is another."""
    others = ", ".join(f"{money(hourly)} in {region}" for region, hourly in sorted(plan["hourly_elsewhere"].items()))
    return f"{money(plan['hourly'])} an hour" + (f"; {others}" if others else "") if plan["hourly"] else "-"


def _hardware(comes_to: dict[str, Any]) -> list[list[str]]:
    """What the configuration comes to, as rows of a figure, its source and its value."""
    prices, rows = source_words(comes_to["prices"]), []
    for plan in comes_to["plans"] or [{}]:
        if not plan:
            rows.append(["plan", "default", "the cheapest that suits, which is not known here"])
            continue
        gpus_from = prices if plan["gpus_source"] == "api" else plan["gpus_source"] or "unknown"
        rows.append(["plan", plan["plan_source"], plan["plan"] if plan["known"] else f"{plan['plan']}, not known"])
        rows.append(["GPUs", gpus_from, _written(plan["gpus"])])
        rows.append(["GPU", plan["gpu_source"] or "unknown", _written(plan["gpu"])])
        rows.append(["price", prices, _price(plan)])
    budget = comes_to["budget"]
    rows.append(["budget", comes_to["budget_source"], "-" if budget is None else f"{money(budget)} a month"])
    return rows


@app.command()
def show(
    wide: Annotated[bool, typer.Option("--wide", help="Every column, however narrow the terminal is.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Show every value with where it came from, and the GPUs, price and budget that follow; secrets are masked."""
    console = Console(as_json)
    reading = read()
    comes_to = configured(reading, plans_now_or_then(_PATIENCE_S), time.time())
    rows = [
        {
            "key": setting.key,
            "value": shown(setting.key, reading.values[setting.key], setting.secret),
            "source": reading.origins.get(setting.key, "default"),
            "variable": setting.env,
            "meaning": setting.meaning,
        }
        for setting in SETTINGS
    ]
    problems = [problem.as_dict() for problem in reading.problems]
    if as_json:
        document = {"command": "config show", "values": rows, "hardware": comes_to}
        console.result({**document, "files": _files(), "problems": problems})
    else:
        lines = [[str(row["key"]), str(row["source"]), _written(row["value"])] for row in rows]
        console.table([Column("KEY"), Column("FROM", 1), Column("VALUE", text=True)], lines, wide)
        console.text()
        console.table([Column("FIGURE"), Column("FROM", 1), Column("VALUE", text=True)], _hardware(comes_to), wide)
        prices = comes_to["prices"]
        if prices["why"]:
            without = (
                "no price is known here" if prices["from"] == "nowhere" else f"prices are of {when(prices['asked'])}"
            )
            console.text(f"The API was not read, so {without}: {prices['why'].rstrip('.')}.")
        console.text()
        for name, file in _files().items():
            console.text(f"{name:7} {file['path']}{'' if file['exists'] else ' (does not exist)'}")
        _problems(console, reading)


@app.command()
def validate(as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False) -> None:
    """Name file and line of everything that is wrong. Exit code 2 when something is."""
    console = Console(as_json)
    reading = read()
    failure = _failure(reading)
    if as_json:
        problems = [problem.as_dict() for problem in reading.problems]
        error = failure.as_dict() if failure else None
        console.result({"command": "config validate", "valid": not failure, "problems": problems, "error": error})
        if failure:
            raise typer.Exit(failure.exit_code)
        return
    _problems(console, reading)
    if failure:
        raise failure
    console.text("The configuration is valid." if not reading.problems else "The configuration has no errors.")
