# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the driver: whether it answers, and what keeps it from its card."""

from __future__ import annotations

from ..core.finding import Finding
from ..core.rungs import advice
from .catalogue import finding, limit
from .collected import Look, number
from .driver_reports import REPORTS, STARTS
from .kernel_log import kernel_lines
from .xid import GpuFault, gpu_faults

NOT_XML = "This is a table or a text of nvidia-smi; only its XML is read: nvidia-smi -q -x."
_MISMATCH = "The driver's libraries do not match the loaded module."
_DRIVER_FAILURES = {
    "no_driver": ("The GPU driver is not loaded.", None),
    "no_library": ("The driver's library is missing.", ("alert",)),
    "not_installed": ("The GPU driver is not installed.", ("alert",)),
    "power_cables": (
        "The driver does not use the GPU because it has too little power.",
        ("power_cycle", "recreate_vm"),
    ),
}


def refusal(look: Look) -> GpuFault | None:
    """What kept the driver from its card, as far as anybody said so and no card works in spite of it."""
    smi = look.smi
    if smi is not None and (smi.gpus or smi.state in ("ok", "not_xml", "timeout", "mismatch")):
        return None
    # What modprobe says comes before what nvidia-smi does.
    around = [] if smi is None else gpu_faults(list(kernel_lines(look.texts.get("nvidia-smi.xml") or "")))
    said = [fault for fault in (*look.faults, *around) if fault.kind in STARTS]
    return min(said, key=lambda fault: STARTS.index(fault.kind), default=None)


def of_report(fault: GpuFault, subject: str = "vm", evidence: str = "") -> Finding:
    report = REPORTS[fault.kind]
    return finding(
        report.check,
        report.severity,
        subject,
        report.summary(fault.detail),
        evidence or fault.message,
        cause=fault.kind,
        ladder=report.ladder,
        remedy=report.remedy or advice(report.ladder),
    )


def check_driver(look: Look) -> list[Finding]:
    """Whether the driver answers, and in time; what keeps it from its card comes before what nvidia-smi makes of it."""
    found, kept = _answers(look), refusal(look)
    return found if kept is None else [of_report(kept), *(one for one in found if one.id != "drv.module")]


def _answers(look: Look) -> list[Finding]:
    smi, probe = look.smi, look.probe("nvidia_smi")
    mismatches = [fault for fault in look.faults if fault.kind == "mismatch"]
    if smi is None and not probe:
        if mismatches:
            evidence = _versions(look, mismatches[-1].message, mismatches)
            return [
                finding("drv.module", "unknown", "vm", "nvidia-smi was not run."),
                finding("drv.mismatch", "fail", "vm", _MISMATCH, evidence, cause="mismatch"),
                finding("gpu.hang", "unknown", "vm", "nvidia-smi was not run."),
            ]
        return [
            finding(name, "unknown", "vm", "nvidia-smi was not run.")
            for name in ("drv.module", "drv.mismatch", "gpu.hang")
        ]
    if probe.get("timed_out") is True or (smi is not None and smi.state == "timeout"):
        hangs = 1 + int(number(look.before.get("hangs")) or 0)
        stuck = probe.get("stuck") is True
        evidence = f"no answer in {probe.get('seconds', 'its')} s" + (
            ", its process sits in the kernel" if stuck else ""
        )
        certain = hangs >= limit("gpu.hang", "misses") or stuck
        return [
            finding("drv.module", "unknown", "vm", "nvidia-smi did not answer."),
            finding("drv.mismatch", "unknown", "vm", "nvidia-smi did not answer."),
            finding(
                "gpu.hang",
                "fail" if certain else "warn",
                "vm",
                "nvidia-smi hangs." if certain else "nvidia-smi did not answer once.",
                evidence,
                cause="hang",
            ),
        ]
    if smi is None:
        why = str(probe.get("error") or "nvidia-smi returned nothing")
        return [finding(name, "unknown", "vm", why) for name in ("drv.module", "drv.mismatch", "gpu.hang")]
    answered = finding("gpu.hang", "pass", "vm", "nvidia-smi answers.")
    if smi.state == "mismatch":
        versions = _versions(look, smi.text, mismatches)
        return [
            finding("drv.module", "pass", "vm", "A driver is loaded."),
            finding(
                "drv.mismatch",
                "fail",
                "vm",
                _MISMATCH,
                versions,
                cause="mismatch",
            ),
            answered,
        ]
    if smi.state in _DRIVER_FAILURES:
        summary, ladder = _DRIVER_FAILURES[smi.state]
        return [
            finding("drv.module", "fail", "vm", summary, smi.text, cause=smi.state, ladder=ladder),
            finding("drv.mismatch", "unknown", "vm", "No driver answers."),
            answered,
        ]
    if smi.readable or smi.state in ("lost", "requires_reset"):
        version = f"driver {smi.driver}" if smi.driver else smi.text
        return [
            finding("drv.module", "pass", "vm", "The GPU driver is loaded.", version),
            finding("drv.mismatch", "pass", "vm", "The driver's libraries match the module.", version),
            answered,
        ]
    why = NOT_XML if smi.state == "not_xml" else "nvidia-smi failed for another reason."
    return [
        finding("drv.module", "unknown", "vm", why, smi.text, cause=smi.state),
        finding("drv.mismatch", "unknown", "vm", why),
        answered,
    ]


def _versions(look: Look, text: str, reports: list[GpuFault]) -> str:
    for report in reports:
        if len(report.versions) >= 2:
            return f"libraries {report.versions[0]}, module {report.versions[1]}"
    module = look.host.get("driver_module")
    return f"{text}; loaded module {module}" if module else text
