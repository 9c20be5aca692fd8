# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the samples of the GPUs say against a run: slowed down, a slow link, one idle, memory unbalanced, somebody else."""

from __future__ import annotations

from typing import Any

from .document import count, flag, listed, mappings, median, number, positive, signed, words
from .reason import Reason

Sample = dict[str, Any]
Gpus = dict[int, list[Sample]]

# Percent of the time with work on it from which a GPU counts as busy, and up to which as idle.
BUSY, IDLE = 50, 5
# Of the busy samples: from here on a slowdown lasts; below the other it is one moment.
LASTING, MOMENT = 0.5, 0.02
# Of the highest clock: power alone keeps every card below it, this far below is worth a word.
CLOCK_FAR = 0.5
# Of the most that one of several GPUs uses: what another may use less.
UNBALANCED = 0.2
# Of a card's memory, beyond the share that the engine was given: graphs, contexts and buffers come on top of that. Less where the
# use grew by so many MiB while the engine served.
BEYOND, BEYOND_GROWN, GROWTH = 0.1, 0.05, 1024
# Percent of use before our load from which somebody else is at work.
OTHERS = 20

_SLOWDOWNS = (
    ("hw_thermal", "the hardware, for heat"),
    ("power_brake", "the power supply's brake"),
    ("hw_slowdown", "the hardware"),
    ("sw_thermal", "the driver, for heat"),
)


def by_gpu(run: dict[str, Any]) -> Gpus:
    """The samples of each GPU, in the order in which they were taken."""
    found: Gpus = {}
    for sample in mappings(run.get("gpu_samples")):
        index = number(sample.get("gpu"))
        if index is not None:
            found.setdefault(int(index), []).append(sample)
    return dict(sorted(found.items()))


def _loaded(samples: list[Sample]) -> list[Sample]:
    """Those taken since the load began."""
    return [sample for sample in samples if (signed(sample.get("at")) or 0.0) >= 0]


def busy(samples: list[Sample]) -> list[Sample]:
    return [sample for sample in _loaded(samples) if (number(sample.get("use")) or 0.0) >= BUSY]


def middle_use(samples: list[Sample]) -> float | None:
    """Percent: the middle one since the load began."""
    return median(number(sample.get("use")) for sample in _loaded(samples))


def _clocks(samples: list[Sample]) -> tuple[str, float | None]:
    """`` at 705 of 2175 MHz``, and the share; nothing where the cards do not say."""
    now = median(number(sample.get("sm_clock")) for sample in samples)
    most = median(positive(sample.get("sm_clock_max")) for sample in samples)
    if now is None:
        return "", None
    return (f" at {now:.0f} of {most:.0f} MHz", now / most) if most else (f" at {now:.0f} MHz", None)


def _slowdown(sample: Sample) -> tuple[str, str] | None:
    named = words(sample.get("throttle"))
    return next((kind for kind in _SLOWDOWNS if any(kind[0] in word for word in named)), None)


def throttled(gpus: Gpus) -> list[Reason]:
    """The worst card. That power alone holds the clocks is what every card does under load."""
    found: list[tuple[float, Reason]] = []
    for index, samples in gpus.items():
        working = busy(samples)
        slow = [sample for sample in working if _slowdown(sample)]
        if working and len(slow) / len(working) >= MOMENT:
            share = len(slow) / len(working)
            kinds = [kind for kind in _SLOWDOWNS if any(_slowdown(sample) == kind for sample in slow)]
            heat = median(number(sample.get("temperature")) for sample in slow)
            hot = f", {heat:.0f} C" if heat is not None else ""
            who = listed([kind[1] for kind in kinds])
            summary = f"GPU {index} was slowed down by {who} in {share:.0%} of its busy time{_clocks(slow)[0]}{hot}."
            found.append((share, Reason("throttled", "fail" if share >= LASTING else "warn", summary)))
            continue
        capped = [sample for sample in working if any("sw_power_cap" in word for word in words(sample.get("throttle")))]
        said, share_of_clock = _clocks(capped)
        if capped and len(capped) / len(working) >= LASTING and share_of_clock and share_of_clock < CLOCK_FAR:
            power = median(number(sample.get("power")) for sample in capped)
            limit = median(positive(sample.get("power_limit")) for sample in capped)
            watts = f", {power:.0f} of {limit:.0f} W" if power is not None and limit else ""
            summary = f"The power limit of GPU {index} keeps its clocks far down{said}{watts}."
            found.append((0.0, Reason("throttled", "warn", summary)))
    return [max(found, key=lambda pair: pair[0])[1]] if found else []


def link_degraded(gpus: Gpus) -> list[Reason]:
    """Below its best while the GPU works; an idle card slows its link down to save power."""
    for index, samples in gpus.items():
        working = busy(samples)
        parts = []
        for figure, name in (("pcie_gen", "generation {}"), ("pcie_width", "{} lanes")):
            pairs = [(positive(one.get(figure)), positive(one.get(f"{figure}_max"))) for one in working]
            known = [(now, most) for now, most in pairs if now and most]
            below = [pair for pair in known if pair[0] < pair[1]]
            if known and len(below) / len(known) >= LASTING:
                parts.append(f"{name.format(f'{below[0][0]:.0f}')} of {below[0][1]:.0f}")
        if parts:
            more = ", over which the GPUs talk at every token" if len(gpus) > 1 else ""
            summary = f"The PCIe link of GPU {index} had {listed(parts)} under load{more}."
            return [Reason("link_degraded", "warn", summary)]
    return []


def idle_gpus(gpus: Gpus) -> list[int]:
    """Of several GPUs those that never worked while another did."""
    used = {index: [number(sample.get("use")) for sample in _loaded(samples)] for index, samples in gpus.items()}
    if not any(busy(samples) for samples in gpus.values()):
        return []
    known = {index: [use for use in values if use is not None] for index, values in used.items()}
    return [index for index, values in known.items() if values and max(values) <= IDLE]


def gpu_idle(run: dict[str, Any], gpus: Gpus) -> list[Reason]:
    idle = idle_gpus(gpus)
    if not idle:
        return []
    others = {index: middle_use(samples) for index, samples in gpus.items() if index not in idle}
    index, use = max(others.items(), key=lambda pair: pair[1] or 0.0)
    parts = flag(run, "tensor-parallel-size")
    names = listed([str(one) for one in idle])
    summary = f"GPU {names} did nothing while GPU {index} was at {use or 0:.0f} %"
    if parts is not None and parts > 1:
        return [Reason("gpu_idle", "fail", f"{summary}, although the engine was told to use {parts:.0f}.")]
    return [Reason("gpu_idle", "warn", f"{summary}: serve with --tensor-parallel, or take a plan with fewer GPUs.")]


def memory_unbalanced(gpus: Gpus) -> list[Reason]:
    idle = idle_gpus(gpus)
    used = {
        index: median(positive(sample.get("memory_used")) for sample in _loaded(samples))
        for index, samples in gpus.items()
        if index not in idle
    }
    known = {index: value for index, value in used.items() if value}
    if len(known) < 2:
        return []
    most, least = max(known, key=lambda one: known[one]), min(known, key=lambda one: known[one])
    if known[least] >= (1 - UNBALANCED) * known[most]:
        return []
    summary = (
        f"GPU {most} holds {known[most] / 1024:.1f} GiB and GPU {least} {known[least] / 1024:.1f} GiB: the fuller one "
        "limits the KV cache of both."
    )
    return [Reason("memory_unbalanced", "warn", summary)]


def _before(samples: list[Sample]) -> str | None:
    use = median(number(sample.get("use")) for sample in samples if (signed(sample.get("at")) or 0.0) < 0)
    return f"was at {use:.0f} % before the load began" if use is not None and use >= OTHERS else None


def _memory(run: dict[str, Any], samples: list[Sample]) -> str | None:
    """More in use than the engine was given. Within that its own use grows when the first large prompts come."""
    share = flag(run, "gpu-memory-utilization")
    used = [value for value in (positive(one.get("memory_used")) for one in _loaded(samples)) if value is not None]
    total = median(positive(sample.get("memory_total")) for sample in _loaded(samples))
    if share is None or not used or not total:
        return None
    growth = max(used) - used[0]
    grew = growth >= GROWTH and max(used) / total > share + BEYOND_GROWN
    if not grew and (median(used) or 0.0) / total <= share + BEYOND:
        return None
    more = f", {growth / 1024:.1f} GiB of it since the load began" if grew else ""
    return f"has {max(used) / total:.0%} of its memory in use{more}, and the engine was given {share:.0%}"


def neighbour(run: dict[str, Any], gpus: Gpus) -> list[Reason]:
    """Somebody else on a GPU, as far as the samples show one, or in the engine before our load."""
    asked = positive(run.get("requests_before"))
    if asked is not None and asked >= 1:
        summary = f"Somebody else used the engine: it had {count(asked, 'request')} to do before the load began."
        return [Reason("neighbour", "warn", summary)]
    for index, samples in gpus.items():
        said = _before(samples) or _memory(run, samples)
        if said:
            return [Reason("neighbour", "warn", f"Something else uses GPU {index}: it {said}.")]
    return []


def slowed(gpus: Gpus) -> bool:
    return any(_slowdown(sample) for samples in gpus.values() for sample in busy(samples))


def of_samples(run: dict[str, Any], gpus: Gpus) -> list[Reason]:
    """All that the samples of the GPUs say."""
    found = (throttled(gpus), link_degraded(gpus), gpu_idle(run, gpus), memory_unbalanced(gpus), neighbour(run, gpus))
    return [reason for reasons in found for reason in reasons]
