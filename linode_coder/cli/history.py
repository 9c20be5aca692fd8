"""linode-coder history: what was done, as this machine or the team's database recorded it. Never starts Ansible."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Annotated, Any

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import format_time
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.duration import parse_duration
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import EXIT_CODES, Failure

from ..local.history import Filter, runs
from ..reports.csv_text import csv_text
from ..terminal.console import Console
from ..terminal.line import STATES, Span
from ..terminal.table import Column
from ..terminal.when import when

app = typer.Typer(add_completion=False, rich_markup_mode=None)

# Of those that share a code the first that says it for all of them.
_WORDS = {code: kind.replace("_", " ") for kind, code in reversed(EXIT_CODES.items())} | {
    **{4: "no access", 5: "provider or network", 130: "interrupted", 143: "interrupted"}
}
_COLUMNS = ("started", "who", "session", "command", "result", "exit_code", "seconds", "message", "control_node")


def _since(text: str | None, now: float) -> float | None:
    """Seconds since the epoch of a time as people write it, or of one so long ago."""
    if text is None:
        return None
    try:
        return now - parse_duration(text, "since")
    except Failure:
        pass
    try:
        # Without a zone it is this machine's.
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise Failure(
            "usage",
            f"since {text!r} is neither a duration nor a date.",
            remedy="Write it like 7d, 12h, 2026-12-24 or 2026-12-24T18:30Z.",
            field="since",
            value=text,
        ) from error


def result(run: dict[str, Any]) -> str:
    """How it ended, in words."""
    if run["exit_code"] == 0:
        return "no change" if run["changed"] is False else "ok"
    return _WORDS.get(run["exit_code"], f"exit {run['exit_code']}")


def _told(run: dict[str, Any]) -> dict[str, Any]:
    return {
        **run,
        "started": format_time(int(run["started"])),
        "seconds": round(run["seconds"], 1),
        "result": result(run),
    }


def _row(run: dict[str, Any], now: float) -> list[str | Span]:
    return [
        when(int(run["started"]), now),
        run["who"] or "unknown",
        run["session"],
        run["command"],
        Span(result(run), STATES.get("fail") if run["exit_code"] else None),
        f"{run['seconds']:.0f} s",
        run["control_node"] or "-",
        run["message"] or "",
    ]


@app.command("history")
def history(
    session: Annotated[str | None, typer.Option(help="Only this session, also one that is gone.")] = None,
    command: Annotated[str | None, typer.Option(help="Only this command, such as up or watchdog.")] = None,
    who: Annotated[str | None, typer.Option(help="Only what this user did.")] = None,
    since: Annotated[str | None, typer.Option(help="From when on: 7d, 12h, or 2026-12-24.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only what did not end well.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="At most so many, the newest.")] = 50,
    as_csv: Annotated[bool, typer.Option("--csv", help="A line for each, for a spreadsheet.")] = False,
    wide: Annotated[bool, typer.Option("--wide", help="Every column, however narrow the terminal is.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Show what was done, when, by whom and how it ended, newest first."""
    console = Console(as_json)
    if as_csv and as_json:
        raise Failure("usage", "--csv and --json are two ways to say the same.", remedy="Leave one out.", field="csv")
    now = time.time()
    wanted = Filter(session, command, who, _since(since, now), failed)
    # One more, which tells whether there are more.
    found = runs(wanted, limit + 1)
    if found is None:
        raise Failure(
            "unreachable",
            "The session history could not be read.",
            remedy="The note above says why. Where it is kept: linode-coder config show",
        )
    more, found = len(found) > limit, found[:limit]
    if as_json:
        console.result({"command": "history", "runs": [_told(run) for run in found], "more": more})
        return
    if as_csv:
        print(csv_text(_COLUMNS, [[told[name] for name in _COLUMNS] for told in map(_told, found)]), end="")
        return
    if not found:
        console.text("Nothing is recorded yet." if wanted == Filter() else "Nothing that is recorded is like that.")
        return
    heads = [Column("STARTED"), Column("WHO", 2), Column("SESSION"), Column("COMMAND"), Column("RESULT", 1)]
    heads += [Column("TOOK", 3), Column("WHERE", 4), Column("MESSAGE", text=True)]
    console.table(heads, [_row(run, now) for run in found], wide)
    if more:
        console.text(f"There are older ones: --limit {limit * 10}")
