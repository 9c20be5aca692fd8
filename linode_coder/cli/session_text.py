"""What is known of a session, in words for people: labels, texts and states."""

from __future__ import annotations

import sys
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import parse_time
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.duration import format_duration

from ..local import lock
from ..terminal.console import money
from ..terminal.line import State
from ..terminal.when import ago, when
from ..terminal.width import unicode

# A label, its text, and the state that the text's colour shows beside it.
Row = tuple[str, str, State | None]
_ENGINE: dict[str, State] = {"healthy": "good", "not answering": "bad"}
_TUNNEL: dict[str, State] = {"open": "good", "down": "bad"}
# A lease that ends within this time is worth a second look.
SOON_S = 900


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


def endpoint_rows(endpoint: dict[str, Any], way: str) -> list[Row]:
    """Where it is and how; ``way`` is what leads there."""
    said = f"{endpoint['url'] or 'none yet'}, engine {endpoint['engine']}"
    return [
        ("endpoint", said, _ENGINE.get(endpoint["engine"])),
        (way, tunnel_story(endpoint), _TUNNEL.get(endpoint["tunnel"])),
    ]


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
        *endpoint_rows(endpoint, "tunnel"),
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
        told.append(("deletion", f"{at} at the earliest ({first['cause']}), if a watcher runs", None))
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
