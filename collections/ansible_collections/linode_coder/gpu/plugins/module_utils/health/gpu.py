# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of every card, from nvidia-smi and the kernel log."""

from __future__ import annotations

import re
from typing import Any, Callable

from ..core.finding import Finding
from .catalogue import finding, limit
from .collected import Look, number, section
from .driver import NOT_XML, check_driver, refusal
from .driver_reports import REPORTS
from .gpu_reports import check_kernel_log, faults_of
from .nvidia_smi import Gpu, absent

_BY_HARDWARE = ("hw_slowdown", "hw_thermal_slowdown", "hw_power_brake_slowdown")
# The driver's own slowdown for heat comes before the hardware's. Its power cap is how every card is run.
_BY_DRIVER = "sw_thermal_slowdown"

# Recovery actions of the driver, by its words in lower case.
_RECOVERIES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "none": ("pass", "no recovery", ()),
    "drain p2p": ("warn", "an end of peer-to-peer traffic", ("alert",)),
    "reset": ("fail", "a reset", ("reset_gpu", "reboot", "recreate_vm")),
    "gpu reset required": ("fail", "a reset", ("reset_gpu", "reboot", "recreate_vm")),
    "drain and reset": ("fail", "an end of all work and a reset", ("reset_gpu", "reboot", "recreate_vm")),
    "bus reset": ("fail", "a bus reset", ("reset_gpu", "reboot", "recreate_vm")),
    "reboot": ("fail", "a reboot", ("reboot", "recreate_vm")),
    "node reboot required": ("fail", "a reboot", ("reboot", "recreate_vm")),
    "system reboot": ("fail", "a reboot", ("reboot", "recreate_vm")),
}
_ECC_CODES = (48, 95, 140, 171, 172)
_PER_GPU = (
    "gpu.lost",
    "gpu.recovery",
    "gpu.ecc.unc",
    "gpu.ecc.cor",
    "gpu.ecc.sram",
    "gpu.remap",
    "gpu.retired",
    "gpu.readings",
    "gpu.mig",
    "gpu.temp",
    "gpu.throttle",
    "gpu.pcie",
    "gpu.persist",
)


def _count(look: Look) -> Finding | None:
    smi, expected = look.smi, number(look.expected.get("gpus"))
    on_bus = number(look.host.get("pci_gpus"))
    if smi is None or not smi.readable:
        why = NOT_XML if smi is not None and smi.state == "not_xml" else "The GPUs were not counted."
        return finding("gpu.count", "unknown", "vm", why)
    # An excerpt may hold fewer cards than it says are attached.
    seen = max(len(smi.gpus), smi.attached or 0)
    if expected is None:
        if seen:
            return None
        expected = max(1.0, on_bus or 1.0)
    evidence = f"{seen} of {expected:.0f}" + (f", {on_bus:.0f} on the PCI bus" if on_bus is not None else "")
    if seen < expected:
        absent_too = on_bus is not None and on_bus < expected
        kept = refusal(look)
        if kept is not None:
            report = REPORTS[kept.kind]
            ladder, remedy, cause = report.ladder, report.remedy, kept.kind
            return finding(
                "gpu.count", "fail", "vm", "The VM has no GPU.", evidence, cause=cause, ladder=ladder, remedy=remedy
            )
        return finding(
            "gpu.count",
            "fail",
            "vm",
            "The VM has no GPU." if not seen else "GPUs are missing.",
            evidence,
            cause="not_on_bus" if absent_too else "not_in_driver",
            ladder=("power_cycle", "recreate_vm") if absent_too else None,
        )
    if seen > expected:
        return finding("gpu.count", "warn", "vm", "The VM has more GPUs than its plan.", evidence)
    return finding("gpu.count", "pass", "vm", "The VM has as many GPUs as its plan.", evidence)


def _bare(name: str) -> str:
    """A card's name without the words that come and go: the vendor, "Generation", "Edition"."""
    words = re.findall(r"[a-z0-9]+", name.lower())
    return "".join(word for word in words if word not in ("nvidia", "generation", "edition", "workstation", "server"))


def _model(look: Look, gpu: Gpu) -> Finding | None:
    card = look.expected.get("card")
    if not isinstance(card, str) or not card:
        return None
    if gpu.name is None:
        return finding(
            "gpu.model", "unknown", gpu.subject, "The card's name was not read.", gpu.reasons.get("name", "")
        )
    if _bare(card) in _bare(gpu.name) or _bare(gpu.name) in _bare(card):
        return finding("gpu.model", "pass", gpu.subject, "The plan's card.", gpu.name)
    return finding(
        "gpu.model", "fail", gpu.subject, f"Another card than the plan's ({card}).", gpu.name, cause="other_card"
    )


def _unread(gpu: Gpu, name: str, field: str, what: str, so: str = "", *, pass_when_absent: bool = True) -> Finding:
    """A reading that the card does not have is no failure; one that failed is not known. ``so``: what follows from that."""
    reason = gpu.reasons.get(field, "")
    if pass_when_absent and (absent(reason) or reason == "not in this driver's output"):
        return finding(name, "pass", gpu.subject, f"This card does not report the {what}.", reason)
    consequence = f", {so}" if so else ""
    return finding(name, "unknown", gpu.subject, f"The {what} could not be read{consequence}.", reason)


def _lost(look: Look, gpu: Gpu) -> Finding:
    for fault in faults_of(look, gpu):
        if fault.code == 79 or fault.kind == "off_bus":
            return finding("gpu.lost", "fail", gpu.subject, "The GPU fell off the bus.", fault.message, cause="off_bus")
    if gpu.lost:
        return finding("gpu.lost", "fail", gpu.subject, "The driver has lost the GPU.", "GPU is lost", cause="lost")
    return finding("gpu.lost", "pass", gpu.subject, "The GPU is there.")


def _recovery_by_words(subject: str, words: str, evidence: str) -> Finding:
    severity, asks, ladder = _RECOVERIES.get(words.strip().lower(), ("fail", f"something unknown: {words}", ("alert",)))
    if severity == "pass":
        return finding("gpu.recovery", "pass", subject, "The driver asks for no recovery.")
    slug = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")[:40]
    return finding(
        "gpu.recovery", severity, subject, f"The driver asks for {asks}.", evidence, cause=slug, ladder=ladder
    )


def _recovery(look: Look, gpu: Gpu) -> Finding:
    changes = [(fault.recovery[1], fault.message) for fault in faults_of(look, gpu) if fault.recovery]
    if gpu.recovery_action is not None and gpu.recovery_action.strip().lower() != "none":
        return _recovery_by_words(gpu.subject, gpu.recovery_action, f"gpu_recovery_action {gpu.recovery_action}")
    if gpu.requires_reset or gpu.reset_required:
        return _recovery_by_words(gpu.subject, "Reset", "GPU requires reset")
    if any(fault.kind == "reset_required" for fault in faults_of(look, gpu)):
        return _recovery_by_words(gpu.subject, "Reset", "NV_ERR_RESET_REQUIRED")
    # The present state outranks what the log said earlier.
    if gpu.recovery_action is None and changes:
        words, message = changes[-1]
        return _recovery_by_words(gpu.subject, words, message)
    if gpu.recovery_action is None and gpu.reset_required is None:
        return _unread(gpu, "gpu.recovery", "recovery_action", "recovery action")
    return finding("gpu.recovery", "pass", gpu.subject, "The driver asks for no recovery.")


def _ecc(look: Look, gpu: Gpu) -> Finding:
    codes = {fault.code: fault for fault in faults_of(look, gpu) if fault.code in (*_ECC_CODES, 94)}
    uncontained = [fault for code, fault in codes.items() if code != 94]
    count = gpu.ecc_uncorrected_volatile
    if uncontained or (count and 94 not in codes):
        evidence = uncontained[-1].message if uncontained else f"{count} since boot"
        return finding(
            "gpu.ecc.unc",
            "fail",
            gpu.subject,
            "The GPU's memory had uncorrectable errors.",
            evidence,
            cause="uncorrectable",
            ladder=("reboot", "recreate_vm"),
        )
    if 94 in codes:
        return finding(
            "gpu.ecc.unc",
            "warn",
            gpu.subject,
            "A memory error hit one process only.",
            codes[94].message,
            cause="contained",
            ladder=("restart_container", "reboot_when_idle"),
        )
    if gpu.ecc is False:
        return finding("gpu.ecc.unc", "pass", gpu.subject, "ECC is off on this card.")
    if count is None:
        return _unread(gpu, "gpu.ecc.unc", "ecc_uncorrected_volatile", "ECC errors")
    return finding("gpu.ecc.unc", "pass", gpu.subject, "No uncorrectable memory error since boot.")


def _sram(_look: Look, gpu: Gpu) -> Finding:
    if gpu.sram_threshold_exceeded is None:
        return _unread(gpu, "gpu.ecc.sram", "sram_threshold_exceeded", "SRAM error threshold")
    if gpu.sram_threshold_exceeded:
        return finding(
            "gpu.ecc.sram", "fail", gpu.subject, "The GPU's SRAM errors exceed their threshold.", cause="sram"
        )
    return finding("gpu.ecc.sram", "pass", gpu.subject, "SRAM errors are below their threshold.")


def _remap(look: Look, gpu: Gpu) -> Finding:
    codes = {fault.code: fault for fault in faults_of(look, gpu) if fault.code in (63, 64)}
    if gpu.remap_failure or gpu.unrepairable_memory or 64 in codes:
        evidence = codes[64].message if 64 in codes else "remapped_row_failure Yes"
        return finding(
            "gpu.remap",
            "fail",
            gpu.subject,
            "A row of the GPU's memory could not be remapped.",
            evidence,
            cause="failure",
        )
    if gpu.remap_pending or gpu.repair_pending or (63 in codes and gpu.remap_pending is None):
        evidence = codes[63].message if 63 in codes else "remapped_row_pending Yes"
        return finding(
            "gpu.remap",
            "warn",
            gpu.subject,
            "A row of the GPU's memory is remapped at the next reboot.",
            evidence,
            cause="pending",
            ladder=("reboot_when_idle",),
        )
    unread = [field for field in ("remap_failure", "remap_pending") if getattr(gpu, field) is None]
    if unread:
        return _unread(gpu, "gpu.remap", unread[0], "remapped rows")
    return finding("gpu.remap", "pass", gpu.subject, "No row of the GPU's memory waits to be remapped.")


def _retired(_look: Look, gpu: Gpu) -> Finding:
    count = gpu.retired_double_bit
    if count is not None and count >= limit("gpu.retired", "many"):
        return finding(
            "gpu.retired", "fail", gpu.subject, "The GPU has retired too many pages.", f"{count} pages", cause="many"
        )
    if gpu.retirement_pending or (count is not None and count >= limit("gpu.retired", "some")):
        return finding(
            "gpu.retired",
            "warn",
            gpu.subject,
            "Pages of the GPU's memory are retired at the next reboot."
            if gpu.retirement_pending
            else "The GPU has retired many pages.",
            f"{count} pages, pending {gpu.retirement_pending}",
            cause="pending" if gpu.retirement_pending else "some",
            ladder=("reboot_when_idle",) if gpu.retirement_pending else (),
        )
    if count is None:
        return _unread(gpu, "gpu.retired", "retired_double_bit", "retired pages")
    return finding("gpu.retired", "pass", gpu.subject, "Few pages of the GPU's memory are retired.", f"{count} pages")


def margin(gpu: Gpu) -> float | None:
    """Degrees left until the card slows down; cards tell it as a margin or as two temperatures."""
    if gpu.temperature_margin is not None:
        return gpu.temperature_margin - (gpu.margin_slowdown or 0.0)
    if gpu.temperature is not None and gpu.temperature_slowdown is not None:
        return gpu.temperature_slowdown - gpu.temperature
    return None


def _lasting(look: Look, gpu: Gpu, check: str, key: str, now_bad: bool) -> bool:
    """Whether most samples of the last minutes were bad, this one included, by the limits of a check's row."""
    samples = [*history(look.previous, look.now), {"time": look.now, "gpus": {gpu.subject: {key: now_bad}}}]
    seen = [
        (number(sample.get("time")) or 0.0, section(sample, "gpus", gpu.subject, key) is True)
        for sample in samples
        if section(sample, "gpus", gpu.subject) is not None
    ]
    if look.now is not None:
        seen = [(time, bad) for time, bad in seen if look.now - limit(check, "window") <= time]
    if len(seen) < limit(check, "samples") or seen[-1][0] - seen[0][0] < limit(check, "span"):
        return False
    return sum(bad for _time, bad in seen) * 100 >= limit(check, "share") * len(seen)


def history(previous: dict[str, Any], now: float | None) -> list[dict[str, Any]]:
    """Samples of earlier looks that still count."""
    kept = previous.get("history")
    if not isinstance(kept, list) or now is None:
        return []
    oldest = now - max(limit(check, "window") for check in ("gpu.temp", "gpu.throttle"))
    return [
        sample for sample in kept if isinstance(sample, dict) and oldest <= (number(sample.get("time")) or 0.0) < now
    ]


def sample(gpu: Gpu) -> dict[str, Any]:
    """What a later look wants to know about this one."""
    left = margin(gpu)
    thermal = gpu.throttle.get("hw_thermal_slowdown") is True
    return {
        "throttled": any(gpu.throttle.get(name) is True for name in _BY_HARDWARE),
        "slow_for_heat": _slow_for_heat(gpu),
        "no_margin": thermal or (left is not None and left <= limit("gpu.temp", "hot")),
    }


def _temperature(look: Look, gpu: Gpu) -> Finding:
    left, thermal = margin(gpu), gpu.throttle.get("hw_thermal_slowdown") is True
    if left is None and not thermal:
        return _unread(gpu, "gpu.temp", "temperature_margin", "thermal margin", pass_when_absent=False)
    evidence = (
        "thermal slowdown" if left is None else f"{left:.0f} degrees left" + (", thermal slowdown" if thermal else "")
    )
    if gpu.temperature is not None:
        evidence = f"{gpu.temperature:.0f} C, {evidence}"
    if thermal or (left is not None and left <= limit("gpu.temp", "hot")):
        if _lasting(look, gpu, "gpu.temp", "no_margin", True):
            return finding(
                "gpu.temp", "fail", gpu.subject, "The GPU has been too hot for minutes.", evidence, cause="hot"
            )
        return finding("gpu.temp", "warn", gpu.subject, "The GPU is too hot at this moment.", evidence, cause="hot")
    if left is not None and left <= limit("gpu.temp", "warm"):
        return finding(
            "gpu.temp", "warn", gpu.subject, "The GPU is close to its thermal limit.", evidence, cause="warm"
        )
    return finding("gpu.temp", "pass", gpu.subject, "The GPU is cool enough.", evidence)


def _slow_for_heat(gpu: Gpu) -> bool:
    """Whether the driver's slowdown for heat costs more than it does on any card that works hard."""
    if gpu.throttle.get(_BY_DRIVER) is not True or gpu.sm_clock is None or not gpu.sm_clock_max:
        return False
    return gpu.sm_clock * 100 < limit("gpu.throttle", "clock") * gpu.sm_clock_max


def _throttle(look: Look, gpu: Gpu) -> Finding:
    active = [name for name in _BY_HARDWARE if gpu.throttle.get(name) is True]
    if active:
        lasting = _lasting(look, gpu, "gpu.throttle", "throttled", True)
        return finding(
            "gpu.throttle",
            "fail" if lasting else "warn",
            gpu.subject,
            "The hardware slows the GPU down" + (" for minutes." if lasting else " at this moment."),
            ", ".join(active),
            cause=active[0],
        )
    if gpu.throttle.get(_BY_DRIVER) is True:
        slow = _slow_for_heat(gpu)
        lasting = slow and _lasting(look, gpu, "gpu.throttle", "slow_for_heat", True)
        clocks = [f"{clock:.0f}" for clock in (gpu.sm_clock, gpu.sm_clock_max) if clock is not None]
        heat = "" if gpu.temperature is None else f" at {gpu.temperature:.0f} C"
        return finding(
            "gpu.throttle",
            "fail" if lasting else "warn",
            gpu.subject,
            "The driver slows the GPU down for heat" + (" for minutes." if lasting else " at this moment."),
            f"{' of '.join(clocks)} MHz{heat}" if clocks else _BY_DRIVER + heat,
            cause=_BY_DRIVER,
            ladder=("alert",) if lasting else None,
            remedy="Cooling is the provider's: tell them, and replace the VM if it stays slow.",
        )
    if all(gpu.throttle.get(name) is None for name in _BY_HARDWARE):
        return _unread(gpu, "gpu.throttle", "throttle.hw_slowdown", "slowdown reasons", pass_when_absent=False)
    return finding("gpu.throttle", "pass", gpu.subject, "The hardware does not slow the GPU down.")


def _under_load(gpu: Gpu) -> bool:
    return gpu.performance_state == "P0" and bool(gpu.utilization)


def best_links(look: Look) -> dict[str, dict[str, float]]:
    """The best link that each card has shown under load: what a VM's card can do is less than its ``max`` says."""
    before = look.previous.get("pcie")
    found = {}
    for gpu in look.smi.gpus if look.smi else ():
        links = [section(before, gpu.subject)]
        if _under_load(gpu) and gpu.pcie_width is not None and gpu.pcie_gen is not None:
            links.append({"gen": gpu.pcie_gen, "width": gpu.pcie_width})
        seen = {
            key: max(values)
            for key in ("gen", "width")
            if (values := [value for link in links if (value := number(section(link, key))) is not None])
        }
        if len(seen) == 2:
            found[gpu.subject] = seen
    return found


def _pcie(look: Look, gpu: Gpu) -> Finding:
    baseline = look.expected.get("pcie") or section(look.previous.get("pcie"), gpu.subject)
    for name, value in (("performance_state", gpu.performance_state), ("utilization", gpu.utilization)):
        if value is None:
            return _unread(gpu, "gpu.pcie", name, "GPU's load", "so its PCIe link was not judged")
    if not _under_load(gpu):
        return finding("gpu.pcie", "pass", gpu.subject, "The GPU is idle, so its link may be slow.")
    if gpu.pcie_width is None or gpu.pcie_gen is None:
        return _unread(gpu, "gpu.pcie", "pcie_width", "PCIe link")
    evidence = f"generation {gpu.pcie_gen}, {gpu.pcie_width} lanes"
    width, generation = number(section(baseline, "width")), number(section(baseline, "gen"))
    known = width is not None and generation is not None
    if width is not None and generation is not None:
        evidence += f"; at its best {generation:.0f}, {width:.0f}"
        if gpu.pcie_width < width:
            return finding("gpu.pcie", "fail", gpu.subject, "The PCIe link lost lanes.", evidence, cause="width")
        if gpu.pcie_gen < generation:
            return finding(
                "gpu.pcie", "warn", gpu.subject, "The PCIe link is slower than it was.", evidence, cause="generation"
            )
    # A VM's card may well have half of the lanes that it is made for, but none is meant to work with so few.
    lanes, first = limit("gpu.pcie", "lanes"), limit("gpu.pcie", "first")
    if gpu.pcie_width_max is not None and gpu.pcie_width < lanes <= gpu.pcie_width_max:
        evidence += f"; made for {gpu.pcie_width_max}"
        return finding("gpu.pcie", "fail", gpu.subject, "The PCIe link has few lanes.", evidence, cause="few_lanes")
    if gpu.pcie_gen_max is not None and gpu.pcie_gen <= first < gpu.pcie_gen_max:
        evidence += f"; made for generation {gpu.pcie_gen_max}"
        return finding("gpu.pcie", "warn", gpu.subject, "The PCIe link is slow under load.", evidence, cause="slow")
    summary = "The PCIe link is as fast as before." if known else "There is no earlier link speed to compare with."
    return finding("gpu.pcie", "pass", gpu.subject, summary, evidence)


def _corrected(_look: Look, gpu: Gpu) -> Finding:
    count = gpu.ecc_corrected_volatile
    if gpu.ecc is False:
        return finding("gpu.ecc.cor", "pass", gpu.subject, "ECC is off on this card.")
    if count is None:
        return _unread(gpu, "gpu.ecc.cor", "ecc_corrected_volatile", "corrected ECC errors")
    if count < limit("gpu.ecc.cor", "many"):
        return finding("gpu.ecc.cor", "pass", gpu.subject, "Few corrected memory errors since boot.", f"{count}")
    storm = count >= limit("gpu.ecc.cor", "storm")
    return finding(
        "gpu.ecc.cor",
        "warn",
        gpu.subject,
        "The GPU corrects a storm of memory errors." if storm else "The GPU has corrected many memory errors.",
        f"{count} since boot",
        cause="storm" if storm else "many",
        ladder=("recreate_when_idle",) if storm else (),
    )


def _readings(look: Look, gpu: Gpu) -> Finding:
    failed = gpu.failed_readings
    # A card that is gone answers nothing; that is said elsewhere. Where not even its name was read, it is not the card.
    if gpu.uuid is None or gpu.name is None:
        return finding("gpu.readings", "unknown", gpu.subject, "The GPU's name and UUID were not read.")
    if gpu.bus_id is not None and look.smi is not None and gpu.bus_id in look.smi.corrupt_inforoms:
        return finding(
            "gpu.readings",
            "warn",
            gpu.subject,
            "The GPU's InfoROM is damaged.",
            "infoROM is corrupted",
            cause="inforom",
            remedy="Tell the provider: the card works, and is due for replacement.",
        )
    if not failed or gpu.lost:
        return finding("gpu.readings", "pass", gpu.subject, "All readings of the GPU work.")
    sick = len(failed) >= limit("gpu.readings", "sick")
    return finding(
        "gpu.readings",
        "fail" if sick else "warn",
        gpu.subject,
        "Readings of the GPU fail (ERR!): it is sick." if sick else "A reading of the GPU fails (ERR!).",
        ", ".join(failed),
        cause="sick" if sick else "one",
        remedy=None if sick else "Look again: one reading may fail for a moment. Reboot the VM when more of them fail.",
    )


def _mig(_look: Look, gpu: Gpu) -> Finding:
    if gpu.mig is None:
        return _unread(gpu, "gpu.mig", "mig", "division (MIG)")
    parts = len(gpu.mig_devices)
    if gpu.mig and not parts:
        return finding(
            "gpu.mig", "fail", gpu.subject, "MIG is on, and the GPU has no part to compute on.", cause="no_part"
        )
    if gpu.mig:
        return finding("gpu.mig", "warn", gpu.subject, "MIG divides the GPU.", f"{parts} parts", cause="divided")
    if gpu.mig_pending:
        return finding("gpu.mig", "warn", gpu.subject, "MIG divides the GPU from the next reset on.", cause="pending")
    return finding("gpu.mig", "pass", gpu.subject, "The GPU is not divided.")


def _persistence(_look: Look, gpu: Gpu) -> Finding:
    if gpu.persistence is None:
        return _unread(gpu, "gpu.persist", "persistence", "persistence mode")
    if not gpu.persistence:
        return finding("gpu.persist", "fail", gpu.subject, "Persistence mode is off.", cause="disabled")
    return finding("gpu.persist", "pass", gpu.subject, "Persistence mode is on.")


_CHECKS: tuple[Callable[[Look, Gpu], Finding | None], ...] = (
    _model,
    _lost,
    _recovery,
    _ecc,
    _corrected,
    _sram,
    _remap,
    _retired,
    _readings,
    _mig,
    _temperature,
    _throttle,
    _pcie,
    _persistence,
)


def _without_card(look: Look) -> list[Finding]:
    """Checks of cards that nvidia-smi does not show: what is said of them elsewhere, and unknown else."""
    smi = look.smi
    shown = smi.gpus if smi else ()
    reports: list[Finding] = []
    named = {gpu.uuid for gpu in shown} | {gpu.bus_id for gpu in shown}
    strangers = [fault for fault in look.faults if not ({fault.uuid, fault.bus_id} - {None}) & named]
    if len(shown) == 1:
        strangers = [fault for fault in strangers if fault.bus_id or fault.uuid]
    for fault in strangers:
        if fault.code == 79 or fault.kind == "off_bus":
            reports.append(
                finding("gpu.lost", "fail", fault.subject, "The GPU fell off the bus.", fault.message, cause="off_bus")
            )
        if fault.code in _ECC_CODES:
            reports.append(
                finding(
                    "gpu.ecc.unc",
                    "fail",
                    fault.subject,
                    "The GPU's memory had uncorrectable errors.",
                    fault.message,
                    cause="uncorrectable",
                    ladder=("reboot", "recreate_vm"),
                )
            )
        if fault.code == 64:
            reports.append(
                finding(
                    "gpu.remap",
                    "fail",
                    fault.subject,
                    "A row of the GPU's memory could not be remapped.",
                    fault.message,
                    cause="failure",
                )
            )
        if fault.recovery:
            reports.append(_recovery_by_words(fault.subject, fault.recovery[1], fault.message))
        if fault.kind == "reset_required":
            reports.append(_recovery_by_words(fault.subject, "Reset", fault.message))
    if smi is not None and smi.state == "lost":
        subject = f"gpu:{smi.bus_id}" if smi.bus_id else "vm"
        reports.append(finding("gpu.lost", "fail", subject, "The driver has lost a GPU.", smi.text, cause="lost"))
    if smi is not None and smi.state == "requires_reset":
        reports.append(_recovery_by_words(f"gpu:{smi.bus_id}" if smi.bus_id else "vm", "Reset", smi.text))
    if not shown:
        why = "nvidia-smi was not run." if smi is None and not look.probe("nvidia_smi") else "nvidia-smi shows no card."
        why = NOT_XML if smi is not None and smi.state == "not_xml" else why
        said = {report.id for report in reports}
        names = (*_PER_GPU, *(("gpu.model",) if look.expected.get("card") else ()))
        reports += [finding(name, "unknown", "vm", why) for name in names if name not in said]
    unique = {(report.id, report.subject): report for report in reversed(reports)}
    return [*reversed(unique.values())]


def _foreign(look: Look) -> Finding:
    smi = look.smi
    if smi is None or not smi.gpus:
        return finding("gpu.foreign", "unknown", "vm", "The GPU's processes were not read.")
    pids = look.host.get("engine_pids")
    ours = set(pids) if isinstance(pids, list) else None
    strangers = []
    for gpu in smi.gpus:
        for process in gpu.processes:
            name = (process.name or "").lower()
            known = (
                process.pid in ours if ours else any(word in name for word in ("vllm", "python", "n/a", "not found"))
            )
            # A process of another PID namespace has no name.
            if not known and process.name:
                strangers.append(f"{process.name} ({process.pid})")
    if strangers:
        return finding(
            "gpu.foreign", "warn", "vm", "Something else uses the GPU.", ", ".join(strangers[:5]), cause="stranger"
        )
    return finding("gpu.foreign", "pass", "vm", "Only the engine uses the GPU.")


def check_gpus(look: Look) -> list[Finding]:
    found = check_driver(look)
    count = _count(look)
    if count is not None:
        found.append(count)
    for gpu in look.smi.gpus if look.smi else ():
        found += [result for check in _CHECKS if (result := check(look, gpu)) is not None]
    found += _without_card(look)
    return [*found, *check_kernel_log(look), _foreign(look)]
