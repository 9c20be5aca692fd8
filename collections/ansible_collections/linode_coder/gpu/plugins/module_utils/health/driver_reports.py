# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel's log says of a GPU without an Xid: why the driver does not start, and what broke later.

A row holds everything about one kind of report: how it reads, what it means, and what is done about it. The words are
those of the driver's own source, of the kernel's module loader and of its PCIe error reports.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_REBOOT = ("reboot", "recreate_vm")
_ALERT = ("alert",)


class Report(NamedTuple):
    """One kind of report.

    :param kind: what it is called in findings.
    :param check: the check that tells it: ``drv.module`` for what keeps the driver from its card, else ``gpu.xid``.
    :param name: what happened, without a full stop.
    :param pattern: how its lines read once they are joined, each without the driver's prefix. What a group holds is told.
    :param remedy: for a person; empty where the ladder says it all.
    :param severity: of the finding.
    :param by_driver: whether only the driver's own lines are read for it; else the pattern says whose line it is.
    :param unnamed: what is told instead of a group that holds nothing.
    """

    kind: str
    check: str
    name: str
    ladder: tuple[str, ...]
    pattern: re.Pattern[str]
    remedy: str = ""
    severity: str = "fail"
    by_driver: bool = True
    unnamed: str = ""

    def summary(self, detail: str) -> str:
        """The sentence of a finding; ``detail`` is what the group of the pattern held."""
        detail = detail or self.unnamed
        return self.name + (f" ({detail})." if detail else ".")


def _words(pattern: str) -> re.Pattern[str]:
    """Words may stand on two lines, and the driver has changed their case before."""
    return re.compile(pattern.replace(" ?", r"\s*").replace(" ", r"\s+"), re.IGNORECASE)


# The first that matches names the report: what says most comes first. Rows of drv.module count only while no card works.
_TABLE = (
    Report(
        "open_module_required",
        "drv.module",
        "The card works with the driver's open kernel modules only, and the closed ones are installed",
        _ALERT,
        _words(r"requires use of (?:the )?NVIDIA open kernel modules"),
        "Install the driver with open kernel modules instead (nvidia-open, or nvidia-driver-NNN-server-open) and reboot.",
        by_driver=False,
    ),
    Report(
        "closed_module_required",
        "drv.module",
        "The card has no system processor, so the driver's open kernel modules cannot use it",
        _ALERT,
        _words(r"not supported by open nvidia\.ko"),
        "Install the driver's closed kernel modules instead (cuda-drivers) and reboot.",
        by_driver=False,
    ),
    Report(
        "card_not_supported",
        "drv.module",
        "The installed driver release does not support the card",
        _ALERT,
        _words(
            r"is not supported by (?:the|this)(?: \S{1,40}){0,5}? driver release"
            r"|supported through the NVIDIA \S{1,20} Legacy drivers|NVIDIA driver will ignore this GPU"
        ),
        "Install a driver release that supports the card, a newer one for a newer card, and reboot.",
        by_driver=False,
    ),
    Report(
        "other_driver",
        "drv.module",
        "Another driver than NVIDIA's holds the card",
        ("reboot", "alert"),
        _words(
            r"is already bound to (?P<detail>[\w-]{1,30})"
            r"|probe routine was not called for \d{1,3} device"
            r"|^(?P<loaded>nouveau|NovaCore|nova_core) (?:[0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f]: "
            r"(?:NVIDIA|DRM|drm|vgaarb|fb|enabling device)"
        ),
        "Keep that driver away from the card (for nouveau: blacklist it in /etc/modprobe.d, then update-initramfs -u) and "
        "reboot.",
        by_driver=False,
        unnamed="most often nouveau",
    ),
    Report(
        "unsigned_module",
        "drv.module",
        "The kernel refuses the driver's module, whose signature it does not know (Secure Boot)",
        _ALERT,
        _words(
            r"could not insert '?nvidia[\w-]{0,20}'?: (?:Required key|Key was rejected|Operation not permitted)"
            r"|Loading of (?:unsigned module|module with unavailable key|module with unsupported crypto) is rejected"
            r"|unsigned module loading is restricted"
            r"|^(?:NVRM: )?Required key not available|Kernel module load error: (?:Required key|Key was rejected)"
        ),
        "Sign the module with a key that the firmware knows (mokutil --import), take the distribution's signed packages, or "
        "switch Secure Boot off; then reboot.",
        by_driver=False,
    ),
    Report(
        "other_kernel",
        "drv.module",
        "The driver's module was built for another kernel",
        _REBOOT,
        _words(
            r"^nvidia[\w-]{0,20}: (?:version magic|disagrees about version of symbol|Unknown symbol)"
            r"|Module nvidia[\w-]{0,20} not found"
            r"|could not insert '?nvidia[\w-]{0,20}'?: (?:Exec format error|Unknown symbol|Invalid argument)"
        ),
        "Build the module for the running kernel (its linux-headers, then dkms autoinstall), or boot the kernel that it was "
        "built for.",
        by_driver=False,
    ),
    Report(
        "no_firmware",
        "drv.module",
        "The driver's firmware is not there",
        _ALERT,
        _words(r"firmware load for nvidia/\S{1,80} failed with error -2|RmFetchGspRmImages: No firmware image found"),
        "Install the firmware of the driver's own release (nvidia-firmware), rebuild the initial RAM disk and reboot.",
        by_driver=False,
    ),
    Report(
        "no_memory_window",
        "drv.module",
        "The card has no valid memory window on the PCI bus",
        ("power_cycle", "recreate_vm"),
        _words(r"PCI I/O region assigned to your NVIDIA device is invalid|BAR[0-6] is 0M @ 0x0"),
        "Power-cycle the VM; if it happens again, replace it: the window is the provider's to give.",
    ),
    Report(
        "no_card",
        "drv.module",
        "The driver finds no card on the bus",
        ("reboot", "power_cycle", "recreate_vm"),
        _words(r"No NVIDIA (?:GPU|graphics adapter|devices?) (?:found|probed)"),
    ),
    # -- what breaks later
    Report(
        "off_bus",
        "gpu.xid",
        "The GPU fell off the bus",
        _REBOOT,
        _words(r"fallen off the bus|GPU lost from the bus|NV_ERR_GPU_IS_LOST"),
    ),
    Report("reset_required", "gpu.xid", "The driver wants the GPU reset", _REBOOT, _words(r"NV_ERR_RESET_REQUIRED")),
    Report(
        "os_reboot",
        "gpu.xid",
        "The driver's memory manager asks for a reboot",
        _REBOOT,
        _words(r"uvm encountered global fatal error \S{1,20}, requiring os reboot"),
    ),
    Report(
        "gsp_timeout",
        "gpu.xid",
        "The GPU's system processor, the GSP, crashed or does not answer",
        _REBOOT,
        _words(
            r"HeartbeatTimedOut|GSP Timeout|rpcRecvPoll:? timed ?out|kflcnCoreDump|GSP[- ]?Crash ?Cat"
            r"|Timeout (?:after \d{1,6} ?s of )?waiting for RPC (?:response )?from"
        ),
    ),
    Report(
        "init_failed",
        "gpu.xid",
        "The driver could not initialise the GPU",
        _REBOOT,
        _words(
            r"RmInitAdapter failed|rm_init_adapter failed|Cannot initialize GSP(?: firmware |-)RM|unexpected WPR2 already up"
            r"|failed to wait for GFW[_ ]boot"
        ),
    ),
    Report(
        "memory_subsystem", "gpu.xid", "Error of the GPU's memory subsystem", _REBOOT, _words("Memory Subsystem Error")
    ),
    Report("mismatch", "drv.mismatch", "", (), _words("API mismatch")),
    Report(
        "driver_hang",
        "gpu.xid",
        "A program hangs in the driver",
        _REBOOT,
        _words(
            r"INFO: task (?P<detail>(?:nvidia|nv_|UVM|irq/\d{1,4}-nvidia)[\w./ -]{0,30}?):\d{1,10} blocked for more than"
            r"|soft lockup - CPU#\d{1,4} stuck for \d{1,6}s! \[(?P<stuck>(?:nvidia|nv_|UVM|irq/\d{1,4}-nvidia)[\w./-]{0,30})"
        ),
        by_driver=False,
    ),
    # -- the switch between cards, and the bus
    Report(
        "sxid_fatal",
        "gpu.xid",
        "Fatal SXid of an NVSwitch",
        _ALERT,
        re.compile(r"SXid\s*\([^)]{1,40}\):\s*(?P<detail>\d{1,6}),\s*Fatal\b", re.IGNORECASE),
        "Stop the work on all cards and reboot the machine; these plans have no NVSwitch, so tell the provider of it.",
        by_driver=False,
    ),
    Report(
        "sxid",
        "gpu.xid",
        "SXid of an NVSwitch",
        (),
        re.compile(r"SXid\s*\([^)]{1,40}\):\s*(?P<detail>\d{1,6})", re.IGNORECASE),
        "Nothing by itself; these plans have no NVSwitch, so tell the provider of it if it happens again.",
        "warn",
        by_driver=False,
    ),
    Report(
        "pcie_fatal",
        "gpu.xid",
        "A PCIe error of the GPU that nothing recovers from",
        _REBOOT,
        _words(
            r"nvidia \S{4,20}: (?:AER: can't recover|device has no AER-aware driver)"
            r"|(?:nvidia|pcieport) \S{4,20}: .{0,60}Uncorrect(?:ed|able) \(Fatal\)"
        ),
        by_driver=False,
    ),
    Report(
        "pcie_error",
        "gpu.xid",
        "A PCIe error of the GPU that was not fatal",
        _ALERT,
        _words(r"nvidia \S{4,20}: .{0,60}Uncorrect(?:ed|able) \(Non-Fatal\)"),
        "Tell the provider if it happens again: the link to the card is bad.",
        "warn",
        by_driver=False,
    ),
    Report(
        "pcie_corrected",
        "gpu.xid",
        "Many corrected PCIe errors of the GPU",
        _ALERT,
        _words(r"nvidia \S{4,20}: .{0,60}severity=Correct(?:ed|able)"),
        "Tell the provider if they go on: the link to the card is bad.",
        "warn",
        by_driver=False,
    ),
)

REPORTS: dict[str, Report] = {report.kind: report for report in _TABLE}
# Kinds that keep the driver from its card.
STARTS = tuple(report.kind for report in _TABLE if report.check == "drv.module")
# A line that may be one of them, the driver's or the kernel's about it: the others are not looked at any closer.
_CANDIDATE = re.compile(
    r"NVRM|nvidia|\bnv_|\bUVM|SXid|nouveau|nova_?core|pcieport|module (?:loading )?is re|Loading of|Required key",
    re.IGNORECASE,
)


def may_report(message: str) -> bool:
    """Whether a line is worth reading for a report."""
    return _CANDIDATE.search(message) is not None


def report_of(text: str, by_driver: bool) -> tuple[Report, re.Match[str]] | None:
    """The report that joined lines make, and where.

    :param by_driver: whether they are the driver's own.
    """
    for report in _TABLE:
        match = report.pattern.search(text) if by_driver or not report.by_driver else None
        if match:
            return report, match
    return None
