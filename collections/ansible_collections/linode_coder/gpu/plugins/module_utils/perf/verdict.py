# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a run is as fast as it should be, and what the samples say it is slow from.

The roofline's expectation comes first, the baseline of the same plan, model, flags and profile second. A sandbox's run is no
measure of a GPU, so that nothing is expected of it; what breaks in it is judged like anywhere else.
"""

from __future__ import annotations

from typing import Any

from ..core.finding import SEVERITIES
from . import gpu_reasons, load_reasons
from .document import answer_tokens, count, levels, mapping, positive, spread, stream_tps, text
from .reason import IDS, Reason

# Of the expected speed of one stream, and of the baseline.
PASS_SHARE, WARN_SHARE, BASELINE_SHARE = 0.70, 0.50, 0.15
# Percent of a GPU's time below which something else is waited for.
WAITS = 60


def single(run: dict[str, Any]) -> float | None:
    """Tokens per second of one stream that is alone."""
    alone = levels(run).get(1)
    return stream_tps(alone) if alone is not None else None


def _alike(run: dict[str, Any], baseline: dict[str, Any]) -> bool:
    """Whether both measured the same."""
    if answer_tokens(run) != answer_tokens(baseline):
        return False
    return all(run.get(name) == baseline.get(name) for name in ("where", "profile", "sandbox"))


# A speed and what it was: its change as a share, of how many streams, of each or of all, both values, and the change that is noise.
_Change = tuple[float, int, str, float, float, float]


def _against(run: dict[str, Any], baseline: dict[str, Any] | None) -> list[_Change]:
    """Each speed of a level that both have, the worst first. How far the baseline's own requests were apart is noise, not how far
    those of this run are: a bad one would hide itself."""
    if baseline is None or not _alike(run, baseline):
        return []
    before, found = levels(baseline), []
    for streams, level in levels(run).items():
        old = before.get(streams, {})
        for name, figure, now, then in (
            ("each stream", "stream_tps", stream_tps(level), stream_tps(old)),
            ("all streams", "output_tps", positive(level.get("output_tps")), positive(old.get("output_tps"))),
        ):
            if now is not None and then is not None and (name == "each stream" or streams > 1):
                found.append((now / then - 1, streams, name, now, then, spread(old, figure) or 0.0))
    return sorted(found)


def _below_expected(measured: float | None, expected: float | None) -> list[Reason]:
    if measured is None or expected is None or measured / expected >= PASS_SHARE:
        return []
    share = measured / expected
    summary = f"One stream gets {measured:.1f} tokens/s, {share:.0%} of the expected {expected:.0f}."
    return [Reason("below_expected", "warn" if share >= WARN_SHARE else "fail", summary)]


def _below_baseline(changes: list[_Change]) -> list[Reason]:
    below = next((one for one in changes if one[0] < -max(BASELINE_SHARE, one[5])), None)
    if below is None:
        return []
    change, streams, name, now, then, _noise = below
    who = "One stream gets" if streams == 1 else f"With {streams} streams {name} get{'s' if name[0] == 'e' else ''}"
    summary = f"{who} {now:.1f} tokens/s, {-change:.0%} less than the baseline's {then:.1f}."
    return [Reason("below_baseline", "warn", summary)]


def _host_cpu(run: dict[str, Any], gpus: gpu_reasons.Gpus, slow: bool) -> list[Reason]:
    """Slow, and the GPU waits: for the processor that gives it work, where nothing else explains it."""
    uses = [use for use in (gpu_reasons.middle_use(samples) for samples in gpus.values()) if use is not None]
    if not slow or not uses or max(uses) >= WAITS:
        return []
    if gpu_reasons.slowed(gpus) or load_reasons.waiting(run) is not None or load_reasons.preemptions(run):
        return []
    summary = (
        f"The GPU had work {max(uses):.0f} % of the time only while tokens came slowly: the processors of the VM, which "
        "prepare each step, are the limit."
    )
    return [Reason("host_cpu", "warn", summary)]


def _healthy(measured: float | None, expected: float | None, sandbox: bool, change: float | None) -> tuple[str, str]:
    """The severity of a run against which nothing speaks, and what is said of it."""
    speed = "Every level was answered" if measured is None else f"One stream gets {measured:.1f} tokens/s"
    against = "" if change is None else f", {change:+.0%} against the baseline"
    if sandbox:
        return "pass", f"{speed}{against}; the sandbox's stand-in says nothing of a real GPU."
    if expected is not None and measured is not None:
        return "pass", f"{speed}, {measured / expected:.0%} of the expected {expected:.0f}{against}."
    if change is not None:
        return "pass", f"{speed}{against}."
    missing = "what to expect of this model and plan is not known" if measured is not None else "no stream was alone"
    return "unknown", f"{speed}; {missing}, and there is no baseline."


def judge(
    run: dict[str, Any], baseline: dict[str, Any] | None = None, near: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The verdict on the document of a run; any part of it may be missing or be something else than it should.

    :param baseline: the document of an earlier run to hold it against; one from the VM serves as ``near``, too.
    :param near: the document of a run of the same kind that was made on the VM, for one that was made through the tunnel.
    """
    run, baseline = mapping(run), mapping(baseline) or None
    sandbox = run.get("sandbox") is True
    gpus = gpu_reasons.by_gpu(run)
    measured = single(run)
    expected = None if sandbox else positive(run.get("expected_tps"))
    changes = _against(run, baseline)
    slower = [*_below_expected(measured, expected), *_below_baseline(changes)]
    found = [
        *load_reasons.of_levels(run),
        *gpu_reasons.of_samples(run, gpus),
        *_host_cpu(run, gpus, bool(slower)),
        *load_reasons.network(run, mapping(near) or baseline),
        *slower,
        *load_reasons.disk_slow(run),
    ]
    reasons = sorted(found, key=lambda reason: IDS.index(reason.id))
    wrong = [reason for reason in reasons if reason.severity != "pass"]
    base = single(baseline) if baseline is not None and changes else None
    if wrong:
        severity = max((reason.severity for reason in wrong), key=SEVERITIES.index)
        summary = _summary(wrong, slower)
    elif measured is None and not any(stream_tps(level) for level in levels(run).values()):
        severity, summary = "unknown", "No speed could be measured: no request was answered at length."
    else:
        severity, summary = _healthy(measured, expected, sandbox, measured / base - 1 if measured and base else None)
    if baseline is not None and not changes and run.get("where") == baseline.get("where"):
        summary += (
            f" The run {text(baseline.get('id')) or '?'} measured something else, so it says nothing of this one."
        )
    if run.get("complete") is False:
        why = text(run.get("why_partial")).rstrip(".")
        done = count(len(levels(run)), "level")
        summary += f" The run is not complete, {done} done{': ' + why if why else ''}."
    return {
        "severity": severity,
        "summary": summary,
        "reasons": [reason.as_dict() for reason in reasons],
        "measured": measured,
        "expected": expected,
        "share": measured / expected if measured is not None and expected is not None else None,
        "baseline": base,
        "baseline_run": (text(baseline.get("id")) or None) if baseline is not None and changes else None,
    }


def _summary(wrong: list[Reason], slower: list[Reason]) -> str:
    """How slow it is, and from what; a run whose requests failed says that alone."""
    first = max(wrong, key=lambda reason: SEVERITIES.index(reason.severity))
    if first.id == "requests_failed" or not slower:
        return first.summary
    cause = next((reason for reason in wrong if reason not in slower and reason.id != "disk_slow"), None)
    return f"{slower[0].summary} {cause.summary}" if cause else slower[0].summary
