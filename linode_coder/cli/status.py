"""linode-coder status: one session's clocks, cost and endpoint. Never starts Ansible."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import format_time
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.duration import format_duration
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.client import EngineSilent, names_of

from ..api import LinodeReader
from ..local import history
from ..local.sessions import all_sessions, pick
from ..terminal import screen
from ..terminal.console import Console, money
from ..terminal.streams import lost
from ..watchdog import watchers
from .session_argument import SessionName

app = typer.Typer(add_completion=False, rich_markup_mode=None)


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


def tunnel_story(endpoint: dict[str, Any]) -> str:
    """Since when the tunnel is as it is, and what was wrong."""
    since, why, gap = endpoint["tunnel_since"], endpoint["tunnel_why"], endpoint["tunnel_down_s"]
    if since is None:
        return str(endpoint["tunnel"])
    if endpoint["tunnel"] == "open":
        return f"open since {since}" + (f" (before that {gap:.0f} s down: {why})" if why and gap is not None else "")
    tried = ", it is tried again" if endpoint["tunnel"] == "down" else ""
    return f"{endpoint['tunnel']} since {since}{tried}" + (f": {why}" if why else "")


def observe(name: str | None, before: dict[str, Any] | None = None) -> dict[str, Any]:
    """Everything that is shown, as one document. ``before`` is the one of the refresh before."""
    from ..endpoint import activity

    view = pick(all_sessions(LinodeReader()), name)
    now = int(time.time())
    endpoint = endpoint_state(view["name"] or view["label"])
    clock = watched = use = None
    if endpoint["tunnel"] == "open":
        clock, watched = activity.idle_record(view["name"])
        use = activity.engine(view["name"] or view["label"], (before or {}).get("engine"))
    here = watchers.last_pass()
    newest = watchers.newest((here, watched), now)
    return {
        "command": "status",
        "observed": format_time(now),
        "session": view,
        "endpoint": endpoint,
        "clocks": activity.clocks(view, clock, now),
        "engine": use,
        "watcher": newest and {**newest, "at": format_time(newest["at"]), "watching": watchers.watching(newest, now)},
        "watched_by": watchers.describe(newest, now, view["hourly"]),
    }


def lines(seen: dict[str, Any]) -> list[str]:
    """The document for people."""
    view, endpoint, clocks, use = seen["session"], seen["endpoint"], seen["clocks"], seen["engine"]
    left = view["lease_left"]
    limit = "off" if view["idle_minutes"] is None else f"{view['idle_minutes']} min"
    lease = "unknown" if left is None else format_duration(left) + " left" if left > 0 else "over"
    idle = "unknown" if clocks["idle_s"] is None else format_duration(clocks["idle_s"])
    first = clocks["deletions"][0] if clocks["deletions"] else None
    shown = [
        f"session   {view['name']}: {view['status']}, {view['label']} ({view['linode_id']})",
        f"runs on   {view['plan']} in {view['region']}, owner {view['owner']}",
        f"model     {view['model']}",
        *([f"named     {', '.join(endpoint['models'])}"] if endpoint["models"] else []),
        f"endpoint  {endpoint['url'] or 'none yet'}, engine {endpoint['engine']}",
        f"tunnel    {tunnel_story(endpoint)}",
        f"cost      {money(view['hourly'])}/h, {money(view['cost_so_far'])} so far, paid until {view['paid_until']}",
        f"lease     {lease}, {money(view['cost_to_lease_end'])} to its end, hard cap {view['hard_cap']}",
        f"idle      {idle}, limit {limit}" + (", requests hang" if clocks["hung"] else ""),
    ]
    if use:
        cache = "unknown" if use["kv_cache_use"] is None else f"{use['kv_cache_use']:.0%}"
        speed = "unknown" if use["tokens_per_second"] is None else f"{use['tokens_per_second']:.1f}"
        shown.append(
            f"use       {speed} tokens/s, {use['running']} running, {use['waiting']} waiting, KV cache {cache}"
        )
    if first:
        shown.append(f"goes      {first['at']} at the earliest, by {first['cause']}, if somebody watches")
    if view["doomed"]:
        shown.append(f"marked    for deletion after {view['doomed']}; keep it: linode-coder extend {view['name']} 2h")
    if view["paused_until"]:
        shown.append(f"paused    healing and idle deletion, until {view['paused_until']}")
    if clocks["start_overdue"]:
        shown.append("warning   no token was served within an hour of the start: linode-coder check")
    if not view["complete"]:
        shown.append(f"warning   the tags lack {', '.join(view['missing'])}: no command can manage this VM safely")
    shown += [f"warning   somebody changed the tags: {doubt}" for doubt in view["doubts"]]
    shown.append(f"watcher   {seen['watched_by']}")
    shown.append(f"observed  {seen['observed']}, from the API's tags")
    return shown


@app.command()
def status(
    name: SessionName = None,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh until interrupted.")] = False,
    every: Annotated[float, typer.Option(min=1, help="Seconds between two refreshes.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document; one a line with --watch.")] = False,
) -> None:
    """Show one session: clocks, cost, use, endpoint. With --watch, Ctrl-C ends it (exit code 130)."""
    console = Console(as_json)
    if not watch:
        try:
            seen = observe(name)
        except Failure as failure:
            raise with_billing(failure, name) from failure
        if as_json:
            console.result(seen)
        for line in lines(seen):
            console.text(line)
        return
    if as_json or not screen.possible():
        follow(
            name, every, lambda seen: console.result(seen) if as_json else print(*lines(seen), sep="\n"), console.note
        )
    else:
        with screen.Screen() as terminal:
            last: list[str] = []

            def draw(seen: dict[str, Any]) -> None:
                last[:] = lines(seen)
                terminal.show(last)

            follow(name, every, draw, lambda text: terminal.show([*last, f"warning   {text}"]))


def follow(name: str | None, every: float, show: Callable[[dict[str, Any]], None], warn: Callable[[str], None]) -> None:
    """Look again and again while somebody reads it. What passes by itself, like an API that does not answer, is waited for."""
    seen: dict[str, Any] | None = None
    while True:
        try:
            seen = observe(name, seen)
        except Failure as failure:
            if failure.exit_code != 5:
                raise
            warn(f"{failure.message} Trying again.")
        else:
            show(seen)
        sys.stdout.flush()
        if lost():
            return
        time.sleep(every)


def with_billing(failure: Failure, name: str | None) -> Failure:
    """The API does not answer: what the history knows that may bill."""
    if failure.exit_code == 5:
        failure.billing = tuple(
            f"{record['name']} was {record['plan']} in {record['region']} and may still bill"
            for record in history.known(name)
            if not record["ended"]
        )
    return failure
