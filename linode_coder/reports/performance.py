"""A measurement as a page: what it comes to and why, how fast at which load, what the cards did meanwhile, and what tokens cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.health.gpu_use import HARMLESS
from ansible_collections.linode_coder.gpu.plugins.module_utils.perf.document import count
from markupsafe import Markup

from ..terminal.console import money
from . import page, plots
from .bill import Bill

# Points of a distribution that a curve is drawn with: more are the same picture.
_POINTS = 400
# Of the samples of one card.
_SAMPLES = 600
_RUNS = 12
_GPU = (
    ("use", "GPU use", "percent"),
    ("memory_used", "Memory in use", "MiB"),
    ("power", "Power", "W"),
    ("sm_clock", "SM clock", "MHz"),
    ("temperature", "Temperature", "°C"),
)
_WHERE = {"vm": "on the VM itself", "here": "from this machine, through the tunnel"}


def dollars_per_million(price_hour: float | None, output_tps: float | None) -> float | None:
    """Dollars for a million output tokens at that speed, all streams together; None where one of both is unknown or 0."""
    if not price_hour or not output_tps or output_tps <= 0:
        return None
    return price_hour / (output_tps * 3600) * 1_000_000


def ecdf(values: Sequence[float], points: int = _POINTS) -> tuple[list[float], list[float]]:
    """Sorted values and which share of all is no larger than each, thinned out to ``points``, the largest included."""
    ordered = sorted(values)
    count = len(ordered)
    places = range(count) if count <= points else sorted({round(n * (count - 1) / (points - 1)) for n in range(points)})
    return [ordered[place] for place in places], [(place + 1) / count for place in places]


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _share(level: Mapping[str, Any], what: str, at: str) -> float | None:
    value = (level.get(what) or {}).get(at)
    return None if value is None else float(value)


def _streams(count: int) -> str:
    return f"{count} stream{'' if count == 1 else 's'}"


def _levels(run: Mapping[str, Any]) -> Markup:
    heads: tuple[str, ...] = (
        "Streams",
        "$ per million tokens",
        "Tokens/s all",
        "Tokens/s each",
        "TTFT p50",
        "TTFT p99",
        "ITL p50",
        "ITL p99",
    )
    heads = (*heads, "End to end p50", "End to end p99", "Requests/s", "Requests", "Failed")
    rows = []
    for level in run["levels"]:
        times = [_seconds(_share(level, what, at)) for what in ("ttft", "itl", "e2e") for at in ("p50", "p99")]
        speeds = [_figure(level.get(key)) for key in ("output_tps", "stream_tps")]
        price = money(dollars_per_million(run.get("price_hour"), level.get("output_tps")))
        counts = (_figure(level.get("requests_ps")), level["requests"], level["failed"])
        rows.append((level["concurrency"], price, *speeds, *times, *counts))
    return page.table(heads, rows, range(len(heads)))


def _against_load(run: Mapping[str, Any]) -> Markup:
    levels = sorted(run["levels"], key=lambda level: level["concurrency"])
    ticks = [level["concurrency"] for level in levels]

    def curve(
        called: str, read: Callable[[Mapping[str, Any]], float | None]
    ) -> list[tuple[str, list[float], list[float]]]:
        known = [(float(level["concurrency"]), read(level)) for level in levels]
        pairs = [(x, y) for x, y in known if y is not None]
        return [(called, [x for x, _y in pairs], [y for _x, y in pairs])] if pairs else []

    figures = []

    def add(
        name: str, called: str, series: list[tuple[str, list[float], list[float]]], unit: str, caption: str
    ) -> None:
        if series:
            title = f"{called} against streams"
            svg = plots.lines(f"load-{name}", title, series, "streams", unit, marks=True, log_x=True, ticks=ticks)
            figures.append((caption, svg))

    for what, called in (("ttft", "Time to the first token"), ("itl", "Time between tokens"), ("e2e", "End to end")):
        series = [line for at in ("p50", "p90", "p99") for line in curve(at, partial(_ms, what=what, at=at))]
        add(what, called, series, "ms", f"{called} against load")
    series = curve("all streams", lambda level: level.get("output_tps"))
    series += curve("each stream", lambda level: level.get("stream_tps"))
    add("tps", "Output tokens per second", series, "tokens/s", "Output tokens per second against load")
    series = curve("dollars", lambda level: dollars_per_million(run.get("price_hour"), level.get("output_tps")))
    add("dollars", "Dollars per million tokens", series, "dollars", "Dollars per million output tokens against load")
    return page.pictures(*figures)


def _ms(level: Mapping[str, Any], what: str, at: str) -> float | None:
    value = _share(level, what, at)
    return None if value is None else value * 1000


def _distributions(run: Mapping[str, Any]) -> Markup:
    figures = []
    for what, called in (("ttft", "time to the first token"), ("itl", "time between tokens")):
        series = []
        for level in run["levels"]:
            values = [
                float(value) * 1000 for value in (level.get("samples") or {}).get(what) or [] if value is not None
            ]
            if values:
                series.append((_streams(level["concurrency"]), *ecdf(values)))
        if series:
            says = f"Distribution of {called}"
            svg = plots.lines(f"spread-{what}", says, series, "ms", "share of requests", steps=True)
            figures.append((f"Distribution of {called}: the share of requests that is no slower", svg))
    return page.pictures(*figures)


def _gpus(run: Mapping[str, Any]) -> Markup:
    samples = [sample for sample in run.get("gpu_samples") or [] if sample.get("at") is not None]
    cards = sorted({int(sample["gpu"]) for sample in samples if sample.get("gpu") is not None})
    figures = []
    for key, called, unit in _GPU:
        series = []
        for card in cards:
            known = [
                (float(each["at"]), float(each[key]))
                for each in samples
                if each.get("gpu") == card and each.get(key) is not None
            ]
            known = sorted(known)[:: max(1, len(known) // _SAMPLES)]
            if known:
                series.append((f"GPU {card}", [at for at, _value in known], [value for _at, value in known]))
        if series:
            svg = plots.lines(f"gpu-{key.replace('_', '-')}", f"{called} over time", series, "seconds", unit)
            figures.append((f"{called} over time", svg))
    throttled: dict[str, int] = {}
    for sample in samples:
        for reason in set(sample.get("throttle") or []).difference(HARMLESS):
            throttled[str(reason)] = throttled.get(str(reason), 0) + 1
    said = [
        f"Clocks were held down ({reason}) in {times} of {len(samples)} samples."
        for reason, times in sorted(throttled.items())
    ]
    return page.bullets(said) + page.pictures(*figures)


def _real(month: Bill) -> list[str]:
    """What its tokens cost in the month so far, beside the load that was made here."""
    use = month.use
    if use is None:
        return [f"What its tokens cost in {month.month.name} is unknown: nobody here looked at the engine's count."]
    said = [f"Really used in {month.month.name} so far: {use.sentence()}, with all {month.hours} started hours."]
    if month.idle_dollars:
        said.append(f"{month.idle_hours} of them, {money(month.idle_dollars)}, began after the engine's last token.")
    return said


def _money(run: Mapping[str, Any], month: Bill | None) -> Markup:
    price = run.get("price_hour")
    if not price:
        return page.paragraph("The price of this VM is not known.")
    prices = [(each["concurrency"], dollars_per_million(price, each.get("output_tps"))) for each in run["levels"]]
    known = [(dollars, streams) for streams, dollars in prices if dollars is not None]
    said: list[object] = [f"The VM costs {money(price)} for every started hour, whether it works or not."]
    if known:
        cheapest, streams = min(known)
        said.append(
            f"A million output tokens cost {money(cheapest)} at {_streams(streams)}, if an hour is full of them."
        )
        million = price / cheapest
        said.append(
            f"An idle hour costs {money(price)} for no token: as much as {million:.2f} million tokens at that load. An hour that is used "
            f"for six minutes makes each of its tokens ten times as dear: {money(cheapest * 10)} a million."
        )
    return page.bullets([*said, *(_real(month) if month is not None else ())])


def _engine(run: Mapping[str, Any]) -> Markup:
    rows = []
    for level in run["levels"]:
        engine = level.get("engine") or {}
        shares = [
            None if engine.get(key) is None else f"{engine[key]:.0%}" for key in ("cache_hit_share", "kv_use_max")
        ]
        lag = _seconds(level.get("generator_lag"))
        errors = "; ".join(f"{text} ({count})" for text, count in (level.get("errors") or {}).items())
        rows.append(
            (
                level["concurrency"],
                engine.get("preemptions"),
                engine.get("queue_max"),
                *shares,
                lag,
                errors[:500] or "-",
            )
        )
    heads = (
        "Streams",
        "Preemptions",
        "Longest queue",
        "Cache hits",
        "KV cache in use",
        "Generator's lag p99",
        "Errors",
    )
    return page.table(heads, rows, (0, 1, 2, 3, 4, 5))


def _others(run: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> Markup:
    rows = []
    for other in (run, *others[:_RUNS]):
        best = max((level.get("output_tps") or 0.0 for level in other["levels"]), default=0.0) or None
        outcome = (other.get("verdict") or {}).get("severity")
        which = "this run" if other is run else other["id"]
        rows.append(
            (
                which,
                other["started"],
                other.get("plan"),
                other.get("model"),
                other.get("profile"),
                outcome,
                _figure(best),
            )
        )
    heads = ("Run", "Started", "Plan", "Model", "Profile", "Verdict", "Most tokens/s")
    return page.table(heads, rows, (6,)) if others else Markup("")


def performance_report(run: dict[str, Any], others: list[dict[str, Any]], month: Bill | None = None) -> str:
    """HTML of a run, with ``others`` to compare it with, newest first; ``month`` is the bill of its VM alone. Failure(config) where
    what draws is not installed.
    """
    plots.check()
    verdict = run["verdict"]
    generator = run.get("generator") or {}
    parts = []
    if run.get("sandbox"):
        parts.append(
            page.paragraph(
                "Made in the sandbox: its engine is a stand-in, and no figure says anything of a real GPU.", "soft"
            )
        )
    parts.append(page.verdict(verdict["severity"], verdict["summary"]))
    if not run["complete"]:
        parts.append(page.verdict("warn", f"This run is partial: {run.get('why_partial') or 'it was ended early'}."))
    parts.append(page.bullets(f"{reason['severity']}: {reason['summary']}" for reason in verdict.get("reasons") or []))
    facts: list[tuple[str, object]] = [
        ("Session", run["session"]),
        ("Model", run["model"]),
        ("Plan", f"{run['plan']} in {run['region']}, {count(run['gpus'] or 0, 'GPU')}"),
        ("Price", f"{money(run['price_hour'])} an hour" if run.get("price_hour") else None),
        ("Engine", f"vLLM {run['engine']}" if run.get("engine") else None),
        ("Load", f"profile {run['profile']}, {_WHERE.get(run['where'], run['where'])}"),
        ("Generator", f"{generator.get('name')} {generator.get('version')}"),
        ("Prefix cache", run.get("prefix_cache")),
        ("Started", f"{run['started']}, {run['seconds']:.0f} s"),
        ("Run", run["id"]),
    ]
    facts += [
        (f"Tokens/s of one stream, {what}", _figure(verdict[what]))
        for what in ("measured", "expected", "baseline")
        if verdict.get(what) is not None
    ]
    parts += [
        page.section("What was measured", page.table(("", ""), facts)),
        page.section("By load", _levels(run), _against_load(run)),
        page.section("What tokens cost", _money(run, month)),
        page.section("Distributions", _distributions(run)),
        page.section("The GPUs meanwhile", _gpus(run)),
        page.section("The engine meanwhile", _engine(run)),
        page.section(
            "The engine's flags",
            page.table(("Flag", "Value"), sorted((str(k), v) for k, v in (run.get("flags") or {}).items())),
        ),
        page.section("Other runs", _others(run, others)),
    ]
    return page.page(f"How fast {run['session']} serves {run['model']}", parts)
