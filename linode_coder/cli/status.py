"""linode-coder status: one session's clocks, cost and endpoint. Never starts Ansible."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import format_time, parse_time
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.duration import format_duration
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.client import EngineSilent, names_of
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.group import is_group, members
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import MARKER

from ..api import LinodeReader
from ..local import history, lock, token_history
from ..local.budget import this_month
from ..local.sessions import all_sessions, pick
from ..terminal import screen
from ..terminal.console import Console, money
from ..terminal.streams import lost
from ..watchdog import watchers
from . import session_table, session_text
from .session_argument import SessionName

app = typer.Typer(add_completion=False, rich_markup_mode=None)

# How long what is spent of a budget is shown as it was: counting it takes two requests.
_BUDGET_S = 300


def endpoint_state(name: str) -> dict[str, Any]:
    """What can be said of the endpoint without a new connection: unknown is not unhealthy."""
    from ..endpoint import tunnel
    from ..endpoint.port_owner import TunnelClient, our_port
    from ..endpoint.tunnel_files import read_state

    port = tunnel.local_port(name)
    kept, state = our_port(name) is not None, read_state(name)
    is_open = kept and state is not None and state["up"]
    healthy = is_open and TunnelClient(name).healthy()
    return {
        "port": port,
        "url": f"http://127.0.0.1:{port}/v1" if port else None,
        "tunnel": "open" if is_open else "down" if kept else "closed",
        # Of a tunnel that is open the last loss, of another one why it is not.
        "tunnel_since": format_time(int(state["since"])) if state else None,
        "tunnel_why": state["why"] if state else None,
        "tunnel_down_s": round(state["down_s"], 1) if state and state["down_s"] is not None else None,
        "engine": ("healthy" if healthy else "not answering") if is_open else "unknown",
        # By which names clients may ask; null where it was not said.
        "models": served_names(name) if healthy else None,
    }


def served_names(name: str) -> list[str] | None:
    """The names of the model, the engine's own first; None where this machine has no key, or the engine does not say."""
    from ..endpoint.api_key import kept_key
    from ..endpoint.port_owner import TunnelClient

    key = kept_key(name)
    if key is None:
        return None
    try:
        return names_of(TunnelClient(name, key, timeout=5).served())
    except EngineSilent:
        return None


def spent(now: int, before: dict[str, Any] | None) -> dict[str, Any] | None:
    """The month's budget and what is spent of it; None without one, or where it cannot be counted. ``before`` is good for a while."""
    if before and now - parse_time(before["as_of"]) < _BUDGET_S:
        return before
    try:
        limit = this_month()
        if limit.dollars is None:
            return None
        from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.budget_look import look

        reader = LinodeReader()
        seen = look(reader, now, reader.list("linode/instances", {"tags": MARKER}), limit.records)
    except Failure:
        return None  # what a session costs is known without it
    found = {"budget": limit.dollars, "spent": seen.spent, "committed": seen.committed, "since": seen.since}
    return {**found, "as_of": format_time(now)}


def observe(name: str | None, before: dict[str, Any] | None = None) -> dict[str, Any]:
    """Everything that is shown, as one document. ``before`` is the one of the refresh before."""
    return observe_session(pick(all_sessions(LinodeReader()), name), before or {})


def observe_group(views: list[dict[str, Any]], group: str) -> dict[str, Any]:
    """The endpoint of a group, how this machine's router uses each member, and the members' sessions."""
    from ..endpoint.group_files import read_members
    from ..endpoint.port_owner import our_port

    routed = read_members(group) if our_port(group) else {}
    own = [dict(view) for view in members(views, group)]
    return {
        "command": "status",
        "observed": format_time(int(time.time())),
        "group": group,
        "endpoint": endpoint_state(group),
        "members": {view["name"]: routed.get(view["name"]) for view in own},
        "hourly": sum(view["hourly"] or 0.0 for view in own),
        "sessions": own,
    }


def observe_session(view: dict[str, Any], before: dict[str, Any], money_too: bool = True) -> dict[str, Any]:
    """The same of a session that was just found; the budget only with ``money_too``."""
    from ..endpoint import activity

    now = int(time.time())
    endpoint = endpoint_state(view["name"] or view["label"])
    clock = watched = use = gpus = None
    if endpoint["tunnel"] == "open":
        clock, watched, gpus = activity.on_vm(view["name"])
        use = activity.engine(view["name"] or view["label"], before.get("engine"))
        token_history.looked(view["linode_id"], use)
    clocks = activity.clocks(view, clock, now)
    if clocks["idle_s"] is None:
        # What this machine's watcher saw is better than nothing, as long as it is said when that was.
        idle, at = watchers.idle_seen(now)
        if view["linode_id"] in idle:
            clocks.update(idle_s=idle[view["linode_id"]], idle_as_of=format_time(at))
    here = watchers.last_pass()
    newest = watchers.newest((here, watched), now)
    working = lock.worker(view["name"]) if view["name"] else None
    return {
        "command": "status",
        "observed": format_time(now),
        "session": view,
        "endpoint": endpoint,
        "clocks": clocks,
        "engine": use,
        "gpus": gpus,
        "budget": spent(now, before.get("budget")) if money_too else None,
        "working": working and working.as_dict(),
        "watcher": newest and {**newest, "at": format_time(newest["at"]), "watching": watchers.watching(newest, now)},
        "watched_by": watchers.describe(newest, now, view["hourly"]),
    }


@app.command()
def status(
    name: SessionName = None,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh until interrupted.")] = False,
    every: Annotated[float, typer.Option(min=1, help="Seconds between two refreshes.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document; one a line with --watch.")] = False,
) -> None:
    """Show one session: clocks, cost, use, endpoint; or the sessions of a group. With --watch, Ctrl-C ends it (exit code 130)."""
    console = Console(as_json)
    if name is not None and not watch:
        views = all_sessions(LinodeReader())
        if is_group(views, name):
            _show_group(console, observe_group(views, name))
            return
    if watch:
        _watch(name, every, console)
        return
    try:
        seen = observe(name)
    except Failure as failure:
        raise with_billing(failure, name) from failure
    if as_json:
        console.result(seen)
    _show(console, seen)


def _show(console: Console, seen: dict[str, Any]) -> None:
    for label, text, state in session_text.rows(seen):
        console.text(f"{label:10}{text}", state)


def _show_group(console: Console, seen: dict[str, Any]) -> None:
    if console.as_json:
        console.result(seen)
        return
    endpoint = seen["endpoint"]
    console.text(f"group     {seen['group']}, {len(seen['sessions'])} sessions, {money(seen['hourly'])}/h together")
    for label, text, state in session_text.endpoint_rows(endpoint, "router"):
        console.text(f"{label:10}{text}", state)
    for view in seen["sessions"]:
        one = seen["members"][view["name"]]
        used = "" if one is None else f", {one['use']}" + (f": {one['why']}" if one["why"] else "")
        lease = "unknown" if view["lease_left"] is None else format_duration(max(0, view["lease_left"]))
        console.text(
            f"{view['name']:10}{session_table.status_text(view)}, {view['plan']} in {view['region']}, "
            f"{money(view['hourly'])}/h, {money(view['cost_so_far'])} so far, lease {lease}{used}",
            session_text.status_state(view),
        )
    console.text(f"watch     linode-coder list --watch, or linode-coder status {seen['sessions'][0]['name']} --watch")


def _watch(name: str | None, every: float, console: Console) -> None:
    """Draw it again and again, at a terminal as a picture over the time that is watched."""

    def look(before: dict[str, Any] | None) -> dict[str, Any]:
        return observe(name, before)

    if console.as_json or not screen.possible():
        follow(look, every, console.result if console.as_json else partial(_show, console), console.note)
        return
    from . import dashboard

    history_of_it = dashboard.Trend()
    with screen.Screen() as terminal:
        follow(
            look,
            every,
            lambda seen: terminal.show(partial(dashboard.frame, history_of_it.with_look(seen), seen)),
            terminal.warn,
            terminal.wait,
        )


def follow(
    look: Callable[[dict[str, Any] | None], dict[str, Any]],
    every: float,
    show: Callable[[dict[str, Any]], None],
    warn: Callable[[str], None],
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Look again and again while somebody reads it; ``look`` gets what it saw before. What passes by itself, like an API that
    does not answer, is waited for."""
    seen: dict[str, Any] | None = None
    while True:
        try:
            seen = look(seen)
        except Failure as failure:
            if failure.exit_code != 5:
                raise
            warn(f"{failure.message} Trying again.")
        else:
            show(seen)
        sys.stdout.flush()
        if lost():
            return
        wait(every)


def with_billing(failure: Failure, name: str | None) -> Failure:
    """The API does not answer: what the history knows that may bill."""
    if failure.exit_code == 5:
        failure.billing = tuple(
            f"{record['name']} was {record['plan']} in {record['region']} and may still bill"
            for record in history.known(name)
            if not record["ended"]
        )
    return failure
