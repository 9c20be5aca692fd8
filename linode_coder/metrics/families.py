"""The metrics, as a function of what was seen. What is not known has no sample: 0 would be a value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import parse_time
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from ..terminal.escapes import cut, one_line

# A label that is longer is a mistake or worse, and every series of a session would carry it.
_LABEL = 100


@dataclass
class Seen:
    """What was seen, and when.

    :param at: when the account was last read, in seconds since the epoch; None when it never was.
    :param answers: whether the API answered the last time it was asked.
    :param views: the sessions, as `session_view` describes them, at ``at``.
    :param watcher: who watches, as `watchers.last_pass` tells it.
    :param idle: idle seconds by Linode id at the last pass of this machine's watcher, and ``idle_at`` when that was.
    :param health: findings by Linode id at that pass, as `watchers.health_seen` tells them.
    :param heals: rows of `history.heals`.
    :param engines: what the engine of a session says through an open tunnel, by name, as `activity.counters` tells it.
    :param gpus: the cards of a session, by name, as `gpu_use` has them.
    :param month: this month's spending, as `Spending.as_dict`; None when it could not be counted.
    :param budget: dollars a month; None without one.
    """

    at: int | None = None
    answers: bool = False
    views: list[dict[str, Any]] = field(default_factory=list)
    watcher: dict[str, Any] | None = None
    idle: dict[int, int] = field(default_factory=dict)
    idle_at: int | None = None
    health: dict[int, dict[str, Any]] = field(default_factory=dict)
    heals: list[dict[str, Any]] = field(default_factory=list)
    engines: dict[str, dict[str, Any]] = field(default_factory=dict)
    gpus: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    month: dict[str, Any] | None = None
    budget: float | None = None


def _label(value: object) -> str:
    """A tag, a name of the API or of a VM, as a label."""
    return "" if value is None else cut(one_line(str(value)), _LABEL)


def _filled(
    family: GaugeMetricFamily | CounterMetricFamily, samples: Iterable[tuple[tuple[object, ...], float | None]]
) -> Metric:
    for values, number in samples:
        if number is not None:
            family.add_metric([_label(value) for value in values], number)
    return family


def _gauge(name: str, text: str, samples: Iterable[tuple[tuple[object, ...], float | None]], *labels: str) -> Metric:
    return _filled(GaugeMetricFamily(f"linode_coder_{name}", text, labels=labels), samples)


def _counter(name: str, text: str, samples: Iterable[tuple[tuple[object, ...], float | None]], *labels: str) -> Metric:
    return _filled(CounterMetricFamily(f"linode_coder_{name}", text, labels=labels), samples)


def _epoch(view: dict[str, Any], key: str) -> float | None:
    return None if view[key] is None else float(parse_time(view[key]))


# Name, help and how it is read from a session's view.
_OF_VIEW = (
    ("session_hourly_dollars", "Price of a started hour.", lambda view: view["hourly"]),
    ("session_cost_dollars", "Cost so far, in started hours.", lambda view: view["cost_so_far"]),
    ("session_lease_cost_dollars", "Cost to the end of the lease.", lambda view: view["cost_to_lease_end"]),
    ("session_created_timestamp_seconds", "When the VM was created.", lambda view: _epoch(view, "created")),
    ("session_lease_end_timestamp_seconds", "When the lease ends.", lambda view: _epoch(view, "lease_end")),
    ("session_hard_cap_timestamp_seconds", "The end that no extension moves.", lambda view: _epoch(view, "hard_cap")),
    ("session_paid_until_timestamp_seconds", "End of the hour that is paid.", lambda view: _epoch(view, "paid_until")),
    (
        "session_paused_until_timestamp_seconds",
        "Until when healing and idle deletion are paused.",
        lambda view: _epoch(view, "paused_until"),
    ),
    ("session_running", "Whether the API says that the VM runs.", lambda view: float(view["status"] == "running")),
    (
        "session_lease_left_seconds",
        "Seconds to the end of the lease; below 0 it is over.",
        lambda view: view["lease_left"],
    ),
    (
        "session_idle_limit_seconds",
        "How long the session may be idle.",
        lambda view: None if view["idle_minutes"] is None else view["idle_minutes"] * 60,
    ),
)
_OF_ENGINE = (
    ("engine_requests_running", "Requests that the engine works on.", "running"),
    ("engine_requests_waiting", "Requests that wait in the engine's queue.", "waiting"),
    ("engine_kv_cache_use_ratio", "Share of the KV cache in use.", "kv_cache_use"),
)
_OF_ENGINE_COUNTED = (
    ("engine_prompt_tokens", "Prompt tokens since the engine started.", "prompt_tokens"),
    ("engine_generation_tokens", "Generated tokens since the engine started.", "generation_tokens"),
)
# The last number makes of what nvidia-smi says what Prometheus counts in.
_OF_GPU = (
    ("gpu_use_ratio", "Share of the time in which the GPU worked.", "utilization", 0.01),
    ("gpu_memory_used_bytes", "GPU memory in use.", "memory_used_mib", 2**20),
    ("gpu_memory_bytes", "GPU memory that the card has.", "memory_total_mib", 2**20),
    ("gpu_temperature_celsius", "Temperature of the GPU.", "temperature", 1),
    ("gpu_power_watts", "Power that the GPU draws.", "power_draw", 1),
    ("gpu_power_limit_watts", "Power that it may draw.", "power_limit", 1),
)


def _name(view: dict[str, Any]) -> str:
    return str(view["name"] or view["label"])


def families(seen: Seen) -> Iterator[Metric]:
    """Everything that can be said, in the order of a page."""
    yield _gauge("api_up", "Whether the Linode API answered when it was last asked.", [((), float(seen.answers))])
    yield _gauge("observed_timestamp_seconds", "When the account was last read.", [((), seen.at)])
    watcher = seen.watcher or {}
    yield _gauge(
        "watcher_last_pass_timestamp_seconds",
        "When this machine's watcher looked last.",
        [((watcher.get("by"),), watcher.get("at"))],
        "by",
    )
    yield _gauge(
        "watcher_interval_seconds", "How often it looks.", [((watcher.get("by"),), watcher.get("interval"))], "by"
    )
    if seen.at is not None:
        yield _gauge("sessions", "Sessions of the account.", [((), len(seen.views))])
    yield from _money(seen)
    yield from _sessions(seen)
    yield from _engines(seen)


def _money(seen: Seen) -> Iterator[Metric]:
    month = seen.month or {}
    yield _gauge("month_spent_dollars", "Spent on sessions this month (UTC).", [((), month.get("spent"))])
    yield _gauge(
        "month_committed_dollars",
        "What running sessions will cost to the end of their leases.",
        [((), month.get("committed"))],
    )
    yield _gauge("month_budget_dollars", "What may be spent in a month.", [((), seen.budget)])


def _sessions(seen: Seen) -> Iterator[Metric]:
    info = InfoMetricFamily("linode_coder_session", "What a session is.", labels=["session"])
    for view in seen.views:
        about = ("label", "plan", "region", "model", "owner", "status")
        info.add_metric([_label(_name(view))], {key: _label(view[key]) for key in about})
    yield info
    for name, text, read in _OF_VIEW:
        yield _gauge(name, text, (((_name(view),), read(view)) for view in seen.views), "session")
    yield _gauge(
        "session_idle_seconds",
        "How long no token was made or waited for, at the last pass of this machine's watcher.",
        (((_name(view),), seen.idle.get(view["linode_id"])) for view in seen.views),
        "session",
    )
    if seen.idle_at is not None:
        yield _gauge("session_idle_seen_timestamp_seconds", "When that pass was.", [((), seen.idle_at)])
    looked = [(_name(view), seen.health[view["linode_id"]]) for view in seen.views if view["linode_id"] in seen.health]
    yield _gauge(
        "session_findings",
        "Findings of each severity when a watcher of this machine last looked.",
        (((name, severity), count) for name, health in looked for severity, count in health["findings"].items()),
        "session",
        "severity",
    )
    yield _gauge(
        "session_health_seen_timestamp_seconds",
        "When its health was last looked at.",
        (((name,), health["at"]) for name, health in looked),
        "session",
    )
    yield _counter(
        "session_heals",
        "Rungs of the remedy ladder that this machine took, and whether they healed.",
        (((row["session"], str(row["healed"]).lower()), row["times"]) for row in seen.heals),
        "session",
        "healed",
    )


def _engines(seen: Seen) -> Iterator[Metric]:
    engines = sorted(seen.engines.items())
    for name, text, key in _OF_ENGINE:
        yield _gauge(name, text, (((session,), use[key]) for session, use in engines), "session")
    for name, text, key in _OF_ENGINE_COUNTED:
        yield _counter(name, text, (((session,), use[key]) for session, use in engines), "session")
    cards = [(session, card) for session, found in sorted(seen.gpus.items()) for card in found]
    for name, text, key, factor in _OF_GPU:
        values = (
            ((session, card["index"]), None if card[key] is None else card[key] * factor) for session, card in cards
        )
        yield _gauge(name, text, values, "session", "gpu")


class Sessions(Collector):
    """The families of one look, for the library that writes the page."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen

    def collect(self) -> Iterable[Metric]:
        return families(self.seen)
