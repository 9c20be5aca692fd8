"""linode-coder metrics: sessions, money, watchers and engines for Prometheus. Never starts Ansible."""

from __future__ import annotations

import importlib.resources
import time
from pathlib import Path
from typing import Annotated

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.duration import format_duration, parse_duration
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure

from ..terminal.console import Console

app = typer.Typer(add_completion=False, rich_markup_mode=None)


def _packaged(name: str) -> str:
    return (importlib.resources.files("linode_coder") / "metrics" / name).read_text()


def _one_of(**given: object) -> None:
    named = [f"--{name}" for name, value in given.items() if value not in (None, False)]
    if len(named) > 1:
        raise Failure(
            "usage",
            f"{' and '.join(named)} do not go together.",
            remedy="Give one of them; several metrics commands may run at the same time.",
            field=named[1].removeprefix("--"),
        )


@app.command()
def metrics(
    listen: Annotated[
        int | None,
        typer.Option(metavar="PORT", min=0, max=65535, help="Serve them on this port of the loopback; 0 for any."),
    ] = None,
    textfile: Annotated[
        Path | None, typer.Option(metavar="FILE.prom", help="Write them to a file that node_exporter reads.")
    ] = None,
    every: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="How often the account is asked at most (with --listen, default 30s), or the file written again (with "
            "--textfile, default once).",
        ),
    ] = None,
    alerts: Annotated[bool, typer.Option("--alerts", help="Print alert rules for Prometheus.")] = False,
    dashboard: Annotated[bool, typer.Option("--dashboard", help="Print a dashboard for Grafana.")] = False,
) -> None:
    """Print sessions, cost, leases, findings, GPUs and engines as metrics for Prometheus, or serve them."""
    _one_of(listen=listen, textfile=textfile, alerts=alerts, dashboard=dashboard)
    console = Console(as_json=False)
    if alerts or dashboard:
        print(_packaged("alerts.yml" if alerts else "dashboard.json"), end="")
        return
    seconds = None if every is None else parse_duration(every, "every")
    if seconds is not None and seconds < 1:
        raise Failure(
            "usage", f"every {every!r} is less than a second.", remedy="30s is a good one.", field="every", value=every
        )
    from ..metrics import page
    from ..metrics.look import look

    if listen is not None:
        fresh = page.Fresh(look, seconds or 30, console.note)
        with page.served(fresh, listen) as port:
            console.text(f"http://127.0.0.1:{port}/metrics")
            while True:
                time.sleep(3600)
    if textfile is None:
        print(page.text(look()), end="")
        return
    seen = look()
    page.write(textfile, seen)
    while seconds is not None:
        console.note(f"Wrote {textfile}; again in {format_duration(seconds)}.")
        time.sleep(seconds)
        seen = look(seen)
        page.write(textfile, seen)
