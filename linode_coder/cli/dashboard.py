"""A session as a picture that is drawn again and again: what it does, over the time that somebody watches."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import parse_time
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.duration import format_duration

from ..terminal.console import laid_out, money
from ..terminal.line import Line, Span, State
from ..terminal.sparkline import sparkline
from ..terminal.table import Column, table
from ..terminal.when import when
from ..terminal.width import unicode
from . import session_table, session_text

# As many looks as the widest terminal shows.
_KEPT = 400
_LABEL = 10
_FIGURE = 22
Row = session_text.Row


class Trend:
    """What was seen of a session, one value for each look; None where it was not to be seen."""

    def __init__(self) -> None:
        self.values: dict[str, list[float | None]] = {}
        self.looks = 0

    def with_look(self, seen: dict[str, Any]) -> Trend:
        use = seen["engine"] or {}
        queue = use["waiting"] + use["running"] if use else None
        now = {"tokens": use.get("tokens_per_second"), "queue": queue, "cache": use.get("kv_cache_use")}
        for card in (seen["gpus"] or {}).get("cards") or []:
            now[f"gpu {card['index']}"] = card["utilization"]
        self.looks += 1
        for name in {*self.values, *now}:
            # What appears later was not to be seen before.
            kept = self.values.setdefault(name, [None] * (self.looks - 1))
            kept.append(now.get(name))
            del kept[:-_KEPT]
        return self


def picture(label: str, figure: str, values: Sequence[float | None], room: int, most: float | None) -> Line:
    """A figure of now, and how it got there as far as there is room."""
    head = f"{label:{_LABEL}}{figure:{_FIGURE}}"
    drawn = sparkline(values, room - len(head) - 1, unicode(sys.stdout), most)
    return (Span(f"{head} "), Span(drawn)) if drawn.strip() else (Span(head.rstrip()),)


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.0%}"


def use_lines(trend: Trend, seen: dict[str, Any], room: int) -> list[Line]:
    """Tokens, queue and KV cache, over time."""
    use = seen["engine"]
    if not use:
        return laid_out(f"{'use':{_LABEL}}not to be seen: the tunnel is {seen['endpoint']['tunnel']}", room)
    speed = "unknown" if use["tokens_per_second"] is None else f"{use['tokens_per_second']:.1f} tokens/s"
    values = trend.values
    return [
        picture("speed", speed, values["tokens"], room, None),
        picture("queue", f"{use['running']} running, {use['waiting']} wait", values["queue"], room, None),
        picture("KV cache", _share(use["kv_cache_use"]), values["cache"], room, 1.0),
    ]


def card_lines(trend: Trend, seen: dict[str, Any], room: int) -> list[Line]:
    """Each card: its figures, and its use over time."""
    gpus = seen["gpus"]
    if not gpus:
        return []
    if gpus["state"] != "ok":
        return laid_out(f"{'gpu':{_LABEL}}nvidia-smi says {gpus['state'].replace('_', ' ')}", room, "bad")
    heads = [Column("GPU"), Column("USE"), Column("MEMORY"), Column("TEMP"), Column("POWER", 1), Column("SLOWED BY", 2)]
    degree = "°C" if unicode(sys.stdout) else "C"
    rows: list[list[str | Span]] = []
    for card in gpus["cards"]:
        used, total = card["memory_used_mib"], card["memory_total_mib"]
        memory = "?" if used is None or not total else f"{used / 1024:.1f} of {total / 1024:.0f} GiB"
        power = f"{session_text.figure(card['power_draw'], '')} of {session_text.figure(card['power_limit'], ' W')}"
        slowed = "?" if card["throttle"] is None else ", ".join(card["throttle"]).replace("_", " ") or "-"
        texts = [str(card["index"]), session_text.figure(card["utilization"], " %"), memory]
        texts += [session_text.figure(card["temperature"], f" {degree}"), power, slowed]
        rows.append([Span(text, session_text.card_state(card)) for text in texts])
    made = table(heads, rows, room)
    lines = list(made.lines)
    for card in gpus["cards"]:
        label = f"gpu {card['index']}"
        lines.append(picture(label, session_text.figure(card["utilization"], " %"), trend.values[label], room, 100.0))
    return lines


def countdown(moment: str | None, now: int) -> str:
    """How long until then, and when that is."""
    if moment is None:
        return "unknown"
    left = parse_time(moment) - now
    return f"{format_duration(left)} left, until {when(moment, now)}" if left > 0 else f"over since {when(moment, now)}"


def rows(seen: dict[str, Any]) -> list[Row]:
    """Money and clocks."""
    view, clocks, now = seen["session"], seen["clocks"], parse_time(seen["observed"])
    soon: State | None = "warn" if view["lease_left"] is not None and view["lease_left"] < session_text.SOON_S else None
    told: list[Row] = [
        (
            "cost",
            f"{money(view['cost_so_far'])} so far, {money(view['cost_to_lease_end'])} to the lease's end, "
            f"{money(view['hourly'])}/h",
            None,
        )
    ]
    if seen["budget"]:
        told.append(("budget", session_text.budget_text(seen["budget"]), session_text.budget_state(seen["budget"])))
    told += [
        ("lease", countdown(view["lease_end"], now), soon),
        ("paid hour", countdown(view["paid_until"], now), None),
        ("hard cap", countdown(view["hard_cap"], now), None),
        ("idle", session_text.idle_text(view, clocks, now), "bad" if clocks["hung"] else None),
    ]
    if clocks["deletions"]:
        first = clocks["deletions"][0]
        told.append(("deletion", f"{countdown(first['at'], now)} ({first['cause']}), if a watcher runs", None))
    return told


def frame(trend: Trend, seen: dict[str, Any], room: int) -> list[Line]:
    """All of it for a terminal of so many columns."""
    view, endpoint, now = seen["session"], seen["endpoint"], parse_time(seen["observed"])
    title = f"{view['name'] or view['label']}: {view['model']} on {view['plan']} in {view['region']}"
    state = f"{view['status']}, engine {endpoint['engine']}, tunnel {endpoint['tunnel']}"
    told: list[Row] = [("status", state, session_text.status_state(view))]
    if seen["working"]:
        told.append(session_text.working_row(seen["working"]))
    lines = [*laid_out(title, room), *_rows(told, room)]
    lines += [*use_lines(trend, seen, room), *card_lines(trend, seen, room)]
    return lines + _rows([*rows(seen), *session_text.remark_rows(seen, now)], room)


def _rows(told: Sequence[Row], room: int) -> list[Line]:
    return [line for label, text, state in told for line in laid_out(f"{label:{_LABEL}}{text}", room, state, _LABEL)]


def overview(trends: dict[int, Trend], seen: dict[str, Any], room: int) -> list[Line]:
    """Every session in a few columns, and below each that can be seen what it does."""
    views, now = seen["sessions"], parse_time(seen["observed"])
    if not views:
        return laid_out("No session exists; nothing bills.", room)
    made = table(*session_table.sessions_table(views, now), room)
    lines = list(made.lines)
    for text, state in session_table.working_lines(views):
        lines += laid_out(text, room, state, _LABEL)
    for look in seen["looks"]:
        trend, use = trends[look["session"]["linode_id"]], look["engine"]
        cards = (look["gpus"] or {}).get("cards") or []
        if not use and not cards:
            continue
        lines += [(Span(""),), *laid_out(str(look["session"]["name"] or look["session"]["label"]), room)]
        if use:
            lines.append(use_lines(trend, look, room)[0])
        for card in cards:
            label = f"gpu {card['index']}"
            warm = f"{session_text.figure(card['utilization'], ' %')}, {session_text.figure(card['temperature'], ' C')}"
            lines.append(picture(label, warm, trend.values[label], room, 100.0))
    return [*lines, (Span(""),), *laid_out(f"observed  {when(now, now)}, from the API's tags", room)]
