"""linode-coder list: every session, what bills first. Never starts Ansible."""

from __future__ import annotations

import time
from functools import partial
from typing import Annotated, Any

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import format_time, parse_time

from ..api import LinodeReader
from ..local import history, lock
from ..local.sessions import all_sessions
from ..local.warm import all_warm
from ..terminal import screen
from ..terminal.console import Console, money
from ..terminal.when import when
from ..watchdog import watchers
from . import warm_text
from .session_table import sessions_table, working_lines
from .status import follow, observe_session

app = typer.Typer(add_completion=False, rich_markup_mode=None)


_WIDE = "Every column, however narrow the terminal is."


def look(now: int) -> list[dict[str, Any]]:
    """Every session, with what this machine knows of it beside its tags."""
    views = all_sessions(LinodeReader())
    seen, at = watchers.idle_seen(now)
    for view in views:
        idle = seen.get(view["linode_id"])
        working = lock.worker(view["name"]) if view["name"] else None
        view.update(idle_s=idle, idle_as_of=None if idle is None else format_time(at))
        view["working"] = working and working.as_dict()
    return views


@app.command("list")
def list_sessions(
    show_all: Annotated[bool, typer.Option("--all", help="Include sessions that are gone.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Refresh until interrupted, with what each session is doing.")
    ] = False,
    every: Annotated[float, typer.Option(min=1, help="Seconds between two refreshes.")] = 5,
    wide: Annotated[bool, typer.Option("--wide", help=_WIDE)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document; one a line with --watch.")] = False,
) -> None:
    """Show every session, those that bill first. With --watch, Ctrl-C ends it (exit code 130)."""
    console = Console(as_json)
    if watch:
        _watch(every, console, wide)
        return
    now = int(time.time())
    views = look(now)
    volumes = all_warm(LinodeReader())
    for name in sorted(set(lock.unfinished()) - {view["name"] for view in views}):
        console.note(
            f"A command works on session {name}, or was killed at it: a VM may still come. End it: linode-coder down {name}"
        )
    alive = {view["linode_id"] for view in views}
    gone = [record for record in history.known() if record["linode_id"] not in alive] if show_all else []
    if as_json:
        console.result({"command": "list", "sessions": views, "volumes": volumes, "gone": gone})
        return
    if not views:
        console.text(
            "No session exists; nothing bills." if not volumes else "No session exists; what is kept warm bills."
        )
    else:
        console.table(*sessions_table(views, now), wide)
        for text, state in working_lines(views):
            console.text(text, state)
    for volume in volumes or []:
        console.text(warm_text.one_line(volume))
    for record in gone:
        cost = f"{record['hours']} h, {money(record['cost'])}" if record["hours"] else "cost unknown"
        ended = when(record["ended"], now) if record["ended"] else "unseen"
        console.text(f"gone: {record['name']} ({record['plan']} in {record['region']}), ended {ended}, {cost}")


def _watch(every: float, console: Console, wide: bool) -> None:
    """Every session again and again; at a terminal with what its engine and cards do, over the time that is watched."""

    def observe(before: dict[str, Any] | None) -> dict[str, Any]:
        now, known = int(time.time()), {each["session"]["linode_id"]: each for each in (before or {}).get("looks", [])}
        views = look(now)
        looks = [observe_session(view, known.get(view["linode_id"], {}), money_too=False) for view in views]
        return {"command": "list", "observed": format_time(now), "sessions": views, "looks": looks, "gone": []}

    def lines(seen: dict[str, Any]) -> None:
        now = parse_time(seen["observed"])
        console.table(*sessions_table(seen["sessions"], now), wide)

    if console.as_json or not screen.possible():
        follow(observe, every, console.result if console.as_json else lines, console.note)
        return
    from . import dashboard

    trends: dict[int, dashboard.Trend] = {}
    with screen.Screen() as terminal:

        def show(seen: dict[str, Any]) -> None:
            for each in seen["looks"]:
                trends.setdefault(each["session"]["linode_id"], dashboard.Trend()).with_look(each)
            terminal.show(partial(dashboard.overview, trends, seen))

        follow(observe, every, show, terminal.warn, terminal.wait)
