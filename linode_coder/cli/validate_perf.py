"""linode-coder validate-perf: how fast a session serves, against what is expected and what it did before."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from typing import Annotated, Any

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.speed_test import (
    CONCURRENCY,
    TOKENS,
    Level,
    check_wishes,
    is_sandbox,
    judge,
    measure,
    served_model,
    too_slow,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.quote import make_quote
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.wanted import Wanted
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import MARKER

from ..api import LinodeReader
from ..local import history
from ..local.sessions import all_sessions, pick
from ..terminal.console import Console
from ..terminal.table import Column
from .session_argument import SessionName

app = typer.Typer(add_completion=False, rich_markup_mode=None)


def _levels(text: str | None) -> tuple[int, ...]:
    if text is None:
        return CONCURRENCY
    try:
        levels = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise Failure(
            "usage",
            f"concurrency {text!r} is not a list of numbers.",
            remedy="For example: --concurrency 1,4,16",
            field="concurrency",
            value=text,
        ) from None
    return levels


def expected_speed(reader: LinodeReader, name: str) -> float | None:
    """Tokens per second of one stream that the catalogue expects of what is served on this plan."""
    instances = reader.list("linode/instances", {"tags": MARKER})
    engine = make_quote(reader, name, Wanted(), now=int(time.time()), instances=instances)["engine"] or {}
    value = (engine.get("fit") or {}).get("decode_tps")
    return float(value) if value else None


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.0f} ms"


def _show(console: Console, levels: list[Level]) -> None:
    heads = [
        Column("STREAMS"),
        Column("TTFT P50", 2),
        Column("TTFT MAX", 5),
        Column("ITL P50", 3),
        Column("E2E P50", 4),
    ]
    heads += [Column("TOKENS/S EACH"), Column("TOKENS/S ALL", 1), Column("FAILED", 6)]
    rows = []
    for level in levels:
        row = [str(level.concurrency), _ms(level.ttft_p50), _ms(level.ttft_max)]
        row += [f"{level.itl_p50 * 1000:.1f} ms" if level.itl_p50 else "-", _ms(level.e2e_p50)]
        row += [f"{value:.1f}" if value else "-" for value in (level.stream_tps, level.output_tps)]
        rows.append([*row, str(level.failed)])
    console.table(heads, rows)


@app.command("validate-perf")
def validate_perf(
    name: SessionName = None,
    concurrency: Annotated[str | None, typer.Option(help="Streams at once, e.g. 1,4,16 (the default).")] = None,
    tokens: Annotated[int, typer.Option(help="Tokens that each stream generates.")] = TOKENS,
    new_baseline: Annotated[
        bool, typer.Option("--new-baseline", help="Take this for the baseline from now on.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Measure TTFT, ITL, end to end and tokens per second through the tunnel. Exit code 6 when it is too slow."""
    from ..endpoint.engine import client as client_of

    console = Console(as_json)
    levels = _levels(concurrency)
    check_wishes(levels, tokens)
    reader = LinodeReader()
    view = pick(all_sessions(reader), name)
    sandbox = is_sandbox(os.environ.get("LINODE_API_URL"))
    expected = expected_speed(reader, view["name"])
    client = client_of(view, timeout=600)
    model = served_model(client, view["name"])
    spec = f"{view['plan']} {view['model']}"
    baseline = None if new_baseline or sandbox else history.speed_baseline(spec)
    console.note(f"Measuring with {', '.join(map(str, levels))} streams of {tokens} tokens; users feel it meanwhile.")
    found = measure(client, model, levels, tokens)
    verdict = judge(found, expected, baseline, sandbox)
    if (verdict.measured and verdict.severity in ("pass", "warn")) or (new_baseline and verdict.measured):
        history.measured(spec, view["name"], float(verdict.measured or 0), new_baseline)
    failure = too_slow(verdict, view["name"])
    if as_json:
        document: dict[str, Any] = {"command": "validate-perf", "session": view["name"], "sandbox": sandbox}
        document.update(levels=[asdict(level) for level in found], verdict=verdict.as_dict())
        console.result({**document, "error": failure.as_dict() if failure else None})
        if failure:
            raise typer.Exit(failure.exit_code)
        return
    _show(console, found)
    console.text(f"{verdict.severity.upper()}  {verdict.summary}")
    if failure:
        raise failure
