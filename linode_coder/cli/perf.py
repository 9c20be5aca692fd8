"""linode-coder perf: the performance runs that this machine recorded, and two of them side by side."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.did_you_mean import did_you_mean, nearest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.perf.compare import FIGURES, compare
from ansible_collections.linode_coder.gpu.plugins.module_utils.perf.document import count, text

from ..local import perf_history
from ..terminal.console import Console
from ..terminal.line import STATES, Span
from ..terminal.table import Column
from ..terminal.when import when

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, help="Show recorded performance runs, and compare two of them."
)

# Rows of a table; all of them are in the document.
_SHOWN = 30
_RUN = "Id of a run, its beginning or its end, last, or baseline."


def _runs_of(name: str | None) -> list[dict[str, Any]]:
    found = perf_history.runs(name)
    if name is not None and not found:
        known = sorted({row["session"] for row in perf_history.runs()})
        remedy = did_you_mean(nearest(name, known), f"Make one: linode-coder validate-perf {name}")
        raise Failure("not_found", f"No run of session {name!r} is recorded.", remedy=remedy, field="name", value=name)
    return found


@app.command()
def history(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Name of a session, also one that is gone (default: all).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Show the runs that this machine recorded, newest first."""
    console = Console(as_json)
    found = _runs_of(name)
    if as_json:
        console.result({"command": "perf history", "runs": found})
        return
    if not found:
        console.text("No run is recorded yet. Make one: linode-coder validate-perf")
        return
    heads = [Column("RUN"), Column("SESSION", 2), Column("VERDICT"), Column("TOKENS/S", 1), Column("PROFILE", 3)]
    heads += [Column("FROM", 5), Column("STREAMS", 7), Column("MODEL", 4), Column("PLAN", 6), Column("STARTED", 8)]
    console.table(heads, [_row(run) for run in found[:_SHOWN]])
    if len(found) > _SHOWN:
        console.text(f"{count(len(found) - _SHOWN, 'older run')}: --json")
    console.text("Compare two of them: linode-coder perf compare baseline last")


def _row(run: dict[str, Any]) -> list[str | Span]:
    speed = run["stream_tps"]
    verdict = run["severity"] + (", baseline" if run["baseline"] else "") + (", sandbox" if run["sandbox"] else "")
    streams = ",".join(map(str, run["concurrency"]))
    return [
        run["id"],
        run["session"],
        Span(verdict, STATES.get(run["severity"])),
        f"{speed:.1f}" if speed else "-",
        *(text(run[key]) or "-" for key in ("profile", "where")),
        streams or "-",
        *(text(run[key]) or "-" for key in ("model", "plan")),
        when(text(run["started"])) if run["started"] else "-",
    ]


def _both(first: str, second: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The documents; ``baseline`` is that of the other one."""
    if first == "baseline":
        b = perf_history.resolve(second)
        return perf_history.resolve(first, b), b
    a = perf_history.resolve(first)
    return a, perf_history.resolve(second, a)


@app.command("compare")
def compare_runs(
    first: Annotated[str, typer.Argument(metavar="A", help=_RUN)],
    second: Annotated[str, typer.Argument(metavar="B", help=_RUN + " It is held against A.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Show two runs side by side: what was different about them, every change, and which changes are noise."""
    console = Console(as_json)
    a, b = _both(first, second)
    if a.get("id") == b.get("id"):
        remedy = "Name two of those in: linode-coder perf history"
        raise Failure(
            "usage", f"{first} and {second} are the same run, {a.get('id')}.", remedy=remedy, field="B", value=second
        )
    found = compare(a, b)
    if as_json:
        console.result({"command": "perf compare", "a": a.get("id"), "b": b.get("id"), **found})
        return
    for letter, run in (("A", a), ("B", b)):
        parts = [text(run.get(key)) for key in ("id", "session", "model", "plan")]
        console.text(f"{letter}  {', '.join(part for part in parts if part)}")
    for one in found["differs"]:
        console.text(f"different: {one['what']} {one['a']}, then {one['b']}")
    if found["why_not"]:
        console.text(found["why_not"], "warn")
    heads = [Column("STREAMS"), Column("FIGURE"), Column("A", 2), Column("B", 1), Column("CHANGE")]
    console.table(heads, [row for level in found["levels"] for row in _rows(level)])
    console.text("Noise: a change within the distance from p50 to p90 of either run.")


def _rows(level: dict[str, Any]) -> list[list[str]]:
    if level["only"]:
        return [[str(level["concurrency"]), f"only in {level['only'].upper()}", "-", "-", "-"]]
    rows: list[list[str]] = []
    for figure, name in FIGURES:
        seen = level["figures"][figure]
        if figure == "failed" and not seen["a"] and not seen["b"]:
            continue
        change = "-" if seen["change"] is None else f"{seen['change']:+.0%}"
        noise = " (noise)" if seen["noise"] and seen["change"] else ""
        rows.append(
            [
                "" if rows else str(level["concurrency"]),
                name,
                _shown(figure, seen["a"]),
                _shown(figure, seen["b"]),
                change + noise,
            ]
        )
    return rows


def _shown(figure: str, value: float | None) -> str:
    if value is None:
        return "-"
    if figure == "failed":
        return f"{value:.0f}"
    return f"{value:.1f}" if figure.endswith("tps") else f"{value * 1000:.1f} ms"
