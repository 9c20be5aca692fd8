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
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import MARKER

from ..api import LinodeReader
from ..local import history, lock
from ..local.budget import this_month
from ..local.sessions import all_sessions, pick
from ..terminal import screen
from ..terminal.console import Console, money
from ..terminal.line import State
from ..terminal.streams import lost
from ..terminal.when import ago, when
from ..terminal.width import unicode
from ..watchdog import watchers
from .session_argument import SessionName

app = typer.Typer(add_completion=False, rich_markup_mode=None)

# A label, its text, and the state that the text's colour shows beside it.
Row = tuple[str, str, State | None]
_ENGINE: dict[str, State] = {"healthy": "good", "not answering": "bad"}
_TUNNEL: dict[str, State] = {"open": "good", "down": "bad"}
# A lease that ends within this time is worth a second look.
SOON_S = 900
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


def tunnel_story(endpoint: dict[str, Any]) -> str:
    """Since when the tunnel is as it is, and what was wrong."""
    why, gap = endpoint["tunnel_why"], endpoint["tunnel_down_s"]
    if endpoint["tunnel_since"] is None:
        return str(endpoint["tunnel"])
    since = when(endpoint["tunnel_since"])
    if endpoint["tunnel"] == "open":
        return f"open since {since}" + (f" (before that {gap:.0f} s down: {why})" if why and gap is not None else "")
    tried = ", it is tried again" if endpoint["tunnel"] == "down" else ""
    return f"{endpoint['tunnel']} since {since}{tried}" + (f": {why}" if why else "")


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
    view = pick(all_sessions(LinodeReader()), name)
    return observe_session(view, before or {})


def observe_session(view: dict[str, Any], before: dict[str, Any], money_too: bool = True) -> dict[str, Any]:
    """The same of a session that was just found; the budget only with ``money_too``."""
    from ..endpoint import activity

    now = int(time.time())
    endpoint = endpoint_state(view["name"] or view["label"])
    clock = watched = use = gpus = None
    if endpoint["tunnel"] == "open":
        clock, watched, gpus = activity.on_vm(view["name"])
        use = activity.engine(view["name"] or view["label"], before.get("engine"))
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


def rows(seen: dict[str, Any]) -> list[Row]:
    """The document for people: a label, a text, and its state."""
    view, endpoint, clocks, use = seen["session"], seen["endpoint"], seen["clocks"], seen["engine"]
    now = parse_time(seen["observed"])
    left = view["lease_left"]
    lease = "unknown" if left is None else f"{format_duration(left)} left" if left > 0 else "over"
    first = clocks["deletions"][0] if clocks["deletions"] else None
    where = f"{view['plan']} in {view['region']}"
    told: list[Row] = [
        ("session", f"{view['name'] or view['label']} ({view['label']}, id {view['linode_id']})", None),
        ("status", f"{view['status']}, {where}, owner {view['owner']}", status_state(view)),
    ]
    if seen["working"]:
        told.append(working_row(seen["working"]))
    told.append(("model", str(view["model"]), None))
    if endpoint["models"]:
        told.append(("named", ", ".join(endpoint["models"]), None))
    told += [
        ("endpoint", f"{endpoint['url'] or 'none yet'}, engine {endpoint['engine']}", _ENGINE.get(endpoint["engine"])),
        ("tunnel", tunnel_story(endpoint), _TUNNEL.get(endpoint["tunnel"])),
        (
            "cost",
            f"{money(view['hourly'])}/h, {money(view['cost_so_far'])} so far, paid until {when(view['paid_until'], now)}",
            None,
        ),
        *([("budget", budget_text(seen["budget"]), budget_state(seen["budget"]))] if seen["budget"] else []),
        (
            "lease",
            f"{lease}, {money(view['cost_to_lease_end'])} to its end, hard cap {when(view['hard_cap'], now)}",
            None if left is None else "bad" if left <= 0 else "warn" if left < SOON_S else None,
        ),
        ("idle", idle_text(view, clocks, now), "bad" if clocks["hung"] else None),
    ]
    told += [("gpu", card_text(card), card_state(card)) for card in (seen["gpus"] or {}).get("cards") or []]
    if seen["gpus"] and seen["gpus"]["state"] != "ok":
        told.append(("gpu", f"nvidia-smi says {seen['gpus']['state'].replace('_', ' ')}", "bad"))
    if use:
        cache = "unknown" if use["kv_cache_use"] is None else f"{use['kv_cache_use']:.0%}"
        speed = "unknown" if use["tokens_per_second"] is None else f"{use['tokens_per_second']:.1f}"
        told.append(
            ("use", f"{speed} tokens/s, {use['running']} running, {use['waiting']} waiting, KV cache {cache}", None)
        )
    if first:
        at = when(first["at"], now)
        told.append(("goes", f"{at} at the earliest, by {first['cause']}, if somebody watches", None))
    return told + remark_rows(seen, now)


def remark_rows(seen: dict[str, Any], now: int) -> list[Row]:
    """What is unusual about a session, who watches it, and how old all of this is."""
    view = seen["session"]
    told: list[Row] = []
    if view["doomed"]:
        keep = f"keep it: linode-coder extend {view['name']} 2h"
        told.append(("marked", f"for deletion after {when(view['doomed'], now)}; {keep}", "bad"))
    if view["paused_until"]:
        told.append(("paused", f"healing and idle deletion, until {when(view['paused_until'], now)}", "warn"))
    if seen["clocks"]["start_overdue"]:
        told.append(("warning", "no token was served within an hour of the start: linode-coder check", "warn"))
    if not view["complete"]:
        lack = f"the tags lack {', '.join(view['missing'])}: no command can manage this VM safely"
        told.append(("warning", lack, "warn"))
    told += [("warning", f"somebody changed the tags: {doubt}", "warn") for doubt in view["doubts"]]
    watched = bool(seen["watcher"] and seen["watcher"]["watching"])
    told.append(("watcher", seen["watched_by"], None if watched else "warn"))
    told.append(("observed", f"{when(now, now)}, from the API's tags", None))
    return told


def status_state(view: dict[str, Any]) -> State | None:
    """The colour of a session's status."""
    if view["doomed"] or not view["complete"]:
        return "bad" if view["doomed"] else "warn"
    return "good" if view["status"] == "running" else "bad" if view["status"] in ("offline", "stopped") else "warn"


def working_row(working: dict[str, Any]) -> Row:
    """Who works on the session, and at which step."""
    since = working["since"] and parse_time(working["since"])
    worker = lock.Worker(**{**working, "since": since})
    if worker.runs is False:
        return ("cut off", f"{lock.describe(worker)}: it was killed; finish or end what it began", "bad")
    return ("working", lock.describe(worker), "warn")


def budget_text(budget: dict[str, Any]) -> str:
    spent = f"{money(budget['spent'])} of {money(budget['budget'])} spent this month"
    return f"{spent}, {money(budget['committed'])} more to the ends of the leases"


def budget_state(budget: dict[str, Any]) -> State | None:
    if budget["spent"] > budget["budget"]:
        return "bad"
    return "warn" if budget["spent"] + budget["committed"] > budget["budget"] else None


def idle_text(view: dict[str, Any], clocks: dict[str, Any], now: int) -> str:
    """How long it is idle, when that was seen, and how long it may be."""
    limit = "off" if view["idle_minutes"] is None else f"{view['idle_minutes']} min"
    idle = "unknown" if clocks["idle_s"] is None else format_duration(clocks["idle_s"])
    seen = ago(clocks["idle_as_of"], now) if clocks["idle_s"] is not None and clocks["idle_as_of"] else ""
    hung = ", requests hang" if clocks["hung"] else ""
    return f"{idle}{f', {seen}' if seen else ''}, limit {limit}{hung}"


def figure(value: float | None, unit: str) -> str:
    return "?" if value is None else f"{value:.0f}{unit}"


def card_text(card: dict[str, Any]) -> str:
    """A card in words: use, memory, temperature, power, and what slows it down."""
    memory = [None if card[key] is None else card[key] / 1024 for key in ("memory_used_mib", "memory_total_mib")]
    parts = [
        f"{card['index']}: {figure(card['utilization'], ' %')} used",
        f"memory {'?' if memory[0] is None else f'{memory[0]:.1f}'} of {figure(memory[1], ' GiB')}",
        figure(card["temperature"], " °C" if unicode(sys.stdout) else " C"),
        f"{figure(card['power_draw'], '')} of {figure(card['power_limit'], ' W')}",
    ]
    if card["throttle"]:
        parts.append(f"slowed down by {' and '.join(name.replace('_', ' ') for name in card['throttle'])}")
    return ", ".join(parts)


def card_state(card: dict[str, Any]) -> State | None:
    if card["utilization"] is None and card["temperature"] is None:
        return "bad"
    hot = card["temperature_slowdown"] and card["temperature"] and card["temperature"] >= card["temperature_slowdown"]
    return "bad" if hot else "warn" if card["throttle"] else None


@app.command()
def status(
    name: SessionName = None,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh until interrupted.")] = False,
    every: Annotated[float, typer.Option(min=1, help="Seconds between two refreshes.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document; one a line with --watch.")] = False,
) -> None:
    """Show one session: clocks, cost, use, endpoint. With --watch, Ctrl-C ends it (exit code 130)."""
    console = Console(as_json)
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
    for label, text, state in rows(seen):
        console.text(f"{label:10}{text}", state)


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
