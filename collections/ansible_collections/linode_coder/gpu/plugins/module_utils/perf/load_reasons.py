# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the levels of load say against a run: failed requests, a late generator, waiting, a KV cache that is full, the network."""

from __future__ import annotations

from typing import Any

from .document import count, flag, levels, mapping, number, percentile, positive, text
from .reason import Reason

# Of the requests: fewer failures are a warning.
FAILED = 0.01
# Seconds that requests may be sent too late, or this share of the time between two tokens, whichever is more; so many times that
# and the figures are nobody's.
LATE_S, LATE_SHARE, LATE_FAR = 0.010, 0.10, 5
# Of the KV cache.
FULL = 0.95
# Waiting: the first token takes so many times as long and at least this many seconds more, and the tokens after it hardly.
TTFT_GROWS, TTFT_GROWS_S, ITL_STAYS = 2.0, 0.1, 1.5
# Requests at once that the engine works on where no flag says it: of a server on cards up to 70 GB, more on larger ones.
MAX_NUM_SEQS = 256
# Through the tunnel against on the VM itself, or without the way through the tunnel.
FAR_S, FAR_TTFT, FAR_ITL = 0.1, 1.5, 1.25
# MiB a second; at less 20 GiB of weights take more than three minutes at each start.
DISK_SLOW = 100


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.1 else f"{seconds * 1000:.1f} ms"


def _engine(level: dict[str, Any], figure: str) -> float | None:
    return number(mapping(level.get("engine")).get(figure))


def requests_failed(run: dict[str, Any]) -> list[Reason]:
    found: list[tuple[float, int, dict[str, Any], float]] = []
    for streams, level in levels(run).items():
        failed = positive(level.get("failed"))
        if failed:
            sent = max(number(level.get("requests")) or 0.0, failed)
            found.append((failed / sent, streams, level, failed))
    if not found:
        return []
    share, streams, level, failed = max(found, key=lambda one: one[0])
    errors = {error: number(times) or 0.0 for error, times in mapping(level.get("errors")).items()}
    why = text(max(errors, key=lambda error: errors[error])).rstrip(".") if errors else ""
    sent = max(number(level.get("requests")) or 0.0, failed)
    summary = (
        f"{failed:.0f} of {count(sent, 'request')} failed with {count(streams, 'stream')}{': ' + why if why else ''}."
    )
    return [Reason("requests_failed", "fail" if share >= FAILED else "warn", summary)]


def generator_lag(run: dict[str, Any]) -> list[Reason]:
    worst: tuple[float, str] | None = None
    for streams, level in levels(run).items():
        lag, gap = number(level.get("generator_lag")), percentile(level, "itl")
        allowed = max(LATE_S, LATE_SHARE * (gap or 0.0))
        if lag is not None and lag > allowed and (worst is None or lag / allowed > worst[0]):
            beside = f", with {_ms(gap)} between two tokens" if gap else ""
            summary = (
                f"Requests were sent up to {_ms(lag)} late with {count(streams, 'stream')}{beside}: this machine was too "
                "busy for figures that can be trusted."
            )
            worst = lag / allowed, summary
    return [Reason("generator_lag", "unknown" if worst[0] > LATE_FAR else "warn", worst[1])] if worst else []


def _more_room(run: dict[str, Any]) -> str:
    """What makes room in the KV cache."""
    kept = text(mapping(run.get("flags")).get("kv-cache-dtype"))
    smaller = "" if kept.startswith("fp8") else " the engine's kv-cache-dtype fp8,"
    return f"serve with less context (--context),{smaller} or send fewer streams at once"


def preemptions(run: dict[str, Any]) -> list[Reason]:
    found = {streams: _engine(level, "preemptions") or 0.0 for streams, level in levels(run).items()}
    streams = max(found, key=lambda one: found[one], default=None)
    if streams is None or not found[streams]:
        return []
    full = _engine(levels(run)[streams], "kv_use_max")
    used = f" with {full:.0%} of the KV cache in use" if full is not None else ""
    summary = (
        f"The engine took {count(found[streams], 'request')} back, to compute them again, with {count(streams, 'stream')}{used}: "
        f"{_more_room(run)}."
    )
    return [Reason("preemptions", "warn", summary)]


def waiting(run: dict[str, Any]) -> int | None:
    """The lowest level at which requests waited for others to end, None where none did."""
    known = levels(run)
    first = next(iter(known.values()), {})
    for streams, level in known.items():
        if _engine(level, "queue_max") and (_mostly_waits(level) if level is first else _waits_longer(first, level)):
            return streams
    return None


def _mostly_waits(level: dict[str, Any]) -> bool:
    """For a level with nothing below it: more waiting than generating."""
    first, whole = percentile(level, "ttft"), percentile(level, "e2e")
    return first is not None and whole is not None and first > whole / 2


def _waits_longer(alone: dict[str, Any], level: dict[str, Any]) -> bool:
    """Whether the first token takes much longer, and the tokens after it do not."""
    before, now = percentile(alone, "ttft"), percentile(level, "ttft")
    if before is None or now is None or now < TTFT_GROWS * before or now - before < TTFT_GROWS_S:
        return False
    gap, then = percentile(alone, "itl"), percentile(level, "itl")
    return gap is None or then is None or then <= ITL_STAYS * gap


def _no_room(level: dict[str, Any], streams: int) -> bool:
    """Whether the KV cache has no room for one request more, of which each takes at least its share of what is in use."""
    used = _engine(level, "kv_use_max")
    return used is not None and used * (1 + 1 / streams) >= FULL


def _by_design(run: dict[str, Any]) -> bool:
    return run.get("profile") == "saturation"


def kv_cache_small(run: dict[str, Any]) -> list[Reason]:
    """Full while requests wait or are taken back; a cache that is only full holds prefixes that may be of use."""
    for streams, level in levels(run).items():
        waits, used = _engine(level, "queue_max"), _engine(level, "kv_use_max") or 0.0
        if not _no_room(level, streams) or not (waits or _engine(level, "preemptions")):
            continue
        behind = f" and {count(waits, 'request')} waiting" if waits else ""
        summary = (
            f"The KV cache is too small for {count(streams, 'stream')}, {used:.0%} in use{behind}: {_more_room(run)}."
        )
        return [Reason("kv_cache_small", "pass" if _by_design(run) else "warn", summary)]
    return []


def queue(run: dict[str, Any]) -> list[Reason]:
    streams = waiting(run)
    if streams is None:
        return []
    known = levels(run)
    level, first = known[streams], next(iter(known.values()))
    waits, most = _engine(level, "queue_max") or 0.0, flag(run, "max-num-seqs") or MAX_NUM_SEQS
    now, before = percentile(level, "ttft") or 0.0, percentile(first, "ttft") or 0.0
    grown = f", the first token took {_ms(now)}" + (f" instead of {_ms(before)}" if level is not first else "")
    severity = "pass" if _by_design(run) else "warn"
    if streams > most:
        # More than it was set to serve at once: said, and nothing wrong with the engine.
        limit, severity = f"max-num-seqs {most:.0f} is the limit", "pass"
    elif _no_room(level, streams):
        limit = f"the KV cache, {_engine(level, 'kv_use_max') or 0:.0%} in use, is the limit"
    else:
        limit, severity = "reading their prompts is the limit", "pass"
    summary = f"Up to {count(waits, 'request')} waited with {count(streams, 'stream')}{grown}: {limit}."
    return [Reason("queue", severity, summary)]


def network(run: dict[str, Any], near: dict[str, Any] | None) -> list[Reason]:
    """``near`` is a run of the same kind on the VM itself; without one the round trip tells how much of a first token is the way."""
    if run.get("where") != "here":
        return []
    way = number(run.get("round_trip"))
    if way is not None and way > FAR_S:
        for streams, level in levels(run).items():
            far = percentile(level, "ttft")
            if far is not None and far > FAR_TTFT * (far - way):
                summary = (
                    f"The way from here costs time: a round trip takes {_ms(way)}, and the first token {_ms(far)} with "
                    f"{count(streams, 'stream')}."
                )
                return [Reason("network", "warn", summary)]
    if near is None or near.get("where") != "vm":
        return []
    there = levels(near)
    for streams, level in levels(run).items():
        for figure, name, times, more in (
            ("ttft", "the first token", FAR_TTFT, FAR_S),
            ("itl", "each further one", FAR_ITL, 0.0),
        ):
            far, close = percentile(level, figure), percentile(there.get(streams, {}), figure)
            if far is not None and close is not None and far > times * close and far - close > more:
                summary = (
                    f"The way from here costs time: {name} takes {_ms(far)} with {count(streams, 'stream')}, on the VM "
                    f"itself {_ms(close)}."
                )
                return [Reason("network", "warn", summary)]
    return []


def disk_slow(run: dict[str, Any]) -> list[Reason]:
    """Of no consequence for a token, but for everybody who waits for a start."""
    read = positive(run.get("disk_read"))
    if read is None or read / 2**20 >= DISK_SLOW:
        return []
    minutes = 20 * 2**30 / read / 60
    summary = f"The disk of the VM reads {read / 2**20:.0f} MiB/s: 20 GiB of weights take {minutes:.0f} minutes to load at each start."
    return [Reason("disk_slow", "warn", summary)]


def of_levels(run: dict[str, Any]) -> list[Reason]:
    """All that the run's own levels say."""
    found = (requests_failed(run), generator_lag(run), preemptions(run), kv_cache_small(run), queue(run))
    return [reason for reasons in found for reason in reasons]
