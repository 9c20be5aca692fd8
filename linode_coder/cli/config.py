"""linode-coder config: every value with its origin, and what is wrong where."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure

from ..settings.config import SETTINGS, Reading, read
from ..settings.files import dotenv_path, toml_path
from ..terminal.console import Console
from ..terminal.table import Column

app = typer.Typer(add_completion=False, rich_markup_mode=None, help="Show and check the configuration.")

MASK = "********"


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


@app.command()
def show(
    wide: Annotated[bool, typer.Option("--wide", help="Every column, however narrow the terminal is.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Show every value with where it came from; secrets are masked."""
    console = Console(as_json)
    reading = read()
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
        console.result({"command": "config show", "values": rows, "files": _files(), "problems": problems})
    else:
        lines = [[str(row["key"]), str(row["source"]), _written(row["value"])] for row in rows]
        console.table([Column("KEY"), Column("FROM", 1), Column("VALUE", text=True)], lines, wide)
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
