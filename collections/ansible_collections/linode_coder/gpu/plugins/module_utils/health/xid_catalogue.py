# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each Xid means for a tenant of a GPU VM with whole cards, and what to do about it.

The vendor's table asks for resets, field diagnostics and returns of cards. Inside a VM that somebody else's hypervisor
runs, a reset becomes a reboot through the API, and a bad card becomes another VM.
"""

from __future__ import annotations

from typing import NamedTuple

# How serious: of no consequence; the application's own fault; worth knowing; the application has to start again;
# the card has to; the card is gone or bad; nobody has published what it means.
SEVERITIES = ("info", "app", "warn", "error", "critical", "fatal", "unknown")

_NOTHING: tuple[str, ...] = ()
_ALERT = ("alert",)
_RESTART = ("restart_container", "reboot")
_REBOOT = ("reboot", "recreate_vm")
_REPLACE = ("recreate_vm",)
_REBOOT_LATER = ("reboot_when_idle",)
_REPLACE_LATER = ("recreate_when_idle",)


class Xid(NamedTuple):
    code: int
    name: str
    severity: str
    ladder: tuple[str, ...]
    note: str = ""


_TABLE = (
    Xid(8, "GPU stopped processing", "error", _RESTART, "again within 24 hours: reboot"),
    Xid(11, "Invalid or corrupted push buffer stream", "error", _RESTART),
    Xid(13, "Graphics engine exception", "app", ("restart_container",), "the same place on the chip again: the card"),
    Xid(14, "Unused code", "info", _NOTHING),
    Xid(25, "Invalid or illegal push buffer stream", "error", _RESTART),
    Xid(31, "GPU memory page fault", "app", ("restart_container",), "an illegal address in the application"),
    Xid(32, "Invalid or corrupted push buffer stream", "error", _RESTART),
    Xid(37, "Driver firmware error", "info", _NOTHING),
    Xid(38, "Driver firmware error", "info", _NOTHING),
    Xid(39, "Copy engine 0 exception", "error", _RESTART),
    Xid(40, "Copy engine 1 exception", "error", _RESTART),
    Xid(41, "Copy engine 2 exception", "error", _RESTART),
    Xid(43, "GPU stopped processing", "app", _NOTHING, "follows another fault; the card is fine"),
    Xid(44, "Graphics engine fault during a context switch", "info", _NOTHING),
    Xid(45, "Cleanup after an earlier error", "info", _NOTHING, "act on the Xid that it names"),
    Xid(46, "GPU stopped processing", "critical", _REBOOT),
    Xid(48, "Double-bit ECC error", "critical", _REBOOT, "look at the remapped rows after the reboot"),
    Xid(54, "Auxiliary power is not connected", "critical", _REPLACE, "a cable of the host"),
    Xid(60, "Video processor exception", "error", _RESTART),
    Xid(61, "Breakpoint of the internal micro-controller", "critical", _REBOOT),
    Xid(62, "Halt of the internal micro-controller", "critical", _REBOOT),
    Xid(63, "Memory row remapped or page retired", "warn", _REBOOT_LATER, "takes effect with the next reboot"),
    Xid(64, "Memory row could not be remapped", "fatal", _REPLACE, "the card is due for replacement"),
    Xid(66, "Illegal access by the driver", "info", _NOTHING),
    Xid(67, "Illegal access by the driver", "info", _NOTHING),
    Xid(68, "Video decoder 0 exception", "error", _RESTART),
    Xid(69, "Graphics engine class error", "error", _RESTART),
    Xid(70, "Copy engine 3 error", "error", _RESTART),
    Xid(71, "Copy engine 4 error", "error", _RESTART),
    Xid(72, "Copy engine 5 error", "error", _RESTART),
    Xid(74, "NVLink error", "critical", _REBOOT, "unexpected: these plans have no NVLink"),
    Xid(75, "Copy engine 6 error", "error", _RESTART),
    Xid(76, "Copy engine 7 error", "error", _RESTART),
    Xid(77, "Copy engine 8 error", "error", _RESTART),
    Xid(78, "vGPU start error", "error", _ALERT, "unexpected: these plans pass whole cards through"),
    Xid(79, "GPU has fallen off the bus", "fatal", _REBOOT),
    Xid(80, "Corrupted data sent to the GPU", "error", _RESTART),
    Xid(82, "JPEG engine 0 error", "error", _RESTART),
    Xid(83, "Video decoder 1 error", "error", _RESTART),
    Xid(84, "Video decoder 2 error", "error", _RESTART),
    Xid(85, "Copy engine 9 error", "error", _RESTART),
    Xid(86, "Optical flow engine exception", "error", _RESTART),
    Xid(88, "Video decoder 3 error", "error", _RESTART),
    Xid(89, "Video decoder 4 error", "error", _RESTART),
    Xid(92, "High rate of single-bit ECC errors", "warn", _REPLACE_LATER),
    Xid(93, "InfoROM wear limit", "info", _NOTHING),
    Xid(94, "Contained memory error", "error", ("restart_container", "reboot_when_idle"), "only its process is hit"),
    Xid(95, "Uncontained memory error", "critical", _REBOOT, "everything on the card has to stop"),
    Xid(96, "Video decoder 5 error", "error", _RESTART),
    Xid(97, "Video decoder 6 error", "error", _RESTART),
    Xid(98, "Video decoder 7 error", "error", _RESTART),
    Xid(99, "JPEG engine 1 error", "error", _RESTART),
    Xid(100, "JPEG engine 2 error", "error", _RESTART),
    Xid(101, "JPEG engine 3 error", "error", _RESTART),
    Xid(102, "JPEG engine 4 error", "error", _RESTART),
    Xid(103, "JPEG engine 5 error", "error", _RESTART),
    Xid(104, "JPEG engine 6 error", "error", _RESTART),
    Xid(105, "JPEG engine 7 error", "error", _RESTART),
    Xid(106, "Test message", "info", _NOTHING),
    Xid(107, "Silent test message", "info", _NOTHING),
    Xid(108, "Unused code", "info", _NOTHING),
    Xid(109, "Context switch timeout", "error", _RESTART, "again within 24 hours, or nvidia-smi hangs: reboot"),
    Xid(110, "Security fault", "critical", _REBOOT),
    Xid(119, "Timeout of a call to the GPU system processor", "critical", _REBOOT, "nvidia-smi may hang too"),
    Xid(120, "Error of the GPU system processor", "critical", _REBOOT),
    Xid(121, "Chip-to-chip link error", "info", _NOTHING),
    Xid(126, "Copy engine 10 error", "error", _RESTART),
    Xid(127, "Copy engine 11 error", "error", _RESTART),
    Xid(128, "Copy engine 12 error", "error", _RESTART),
    Xid(129, "Copy engine 13 error", "error", _RESTART),
    Xid(130, "Copy engine 14 error", "error", _RESTART),
    Xid(131, "Copy engine 15 error", "error", _RESTART),
    Xid(132, "Copy engine 16 error", "error", _RESTART),
    Xid(133, "Copy engine 17 error", "error", _RESTART),
    Xid(134, "Copy engine 18 error", "error", _RESTART),
    Xid(135, "Copy engine 19 error", "error", _RESTART),
    Xid(136, "Link training failed", "critical", _REBOOT),
    Xid(137, "NVLink privilege error", "info", _NOTHING),
    Xid(139, "Optical flow engine 1 error", "error", _RESTART),
    Xid(140, "Unrecovered ECC error", "critical", _REBOOT),
    Xid(141, "Fast path error", "info", _NOTHING),
    Xid(142, "Video encoder 3 error", "unknown", _ALERT),
    Xid(143, "GPU initialisation error", "fatal", _REBOOT),
    Xid(144, "NVLink 5: SAW error", "warn", _ALERT, "unexpected: these plans have no NVLink"),
    Xid(145, "NVLink 5: RLW error", "warn", _ALERT, "unexpected: these plans have no NVLink"),
    Xid(146, "NVLink 5: TLW error", "warn", _ALERT, "unexpected: these plans have no NVLink"),
    Xid(147, "NVLink 5: TREX error", "warn", _ALERT, "unexpected: these plans have no NVLink"),
    Xid(148, "NVLink 5: controller error", "warn", _ALERT, "unexpected: these plans have no NVLink"),
    Xid(149, "NVLink 5: NETIR error", "warn", _ALERT, "unexpected: these plans have no NVLink"),
    Xid(150, "NVLink 5: MSE error", "warn", _ALERT, "unexpected: these plans have no NVLink"),
    Xid(151, "Key rotation error", "critical", _REBOOT),
    Xid(152, "DLA memory unit error", "info", _NOTHING),
    Xid(153, "DLA timeout", "info", _NOTHING),
    Xid(154, "GPU recovery action changed", "info", _NOTHING, "what it changed to decides"),
    Xid(155, "NVLink error defined by software", "warn", _ALERT),
    Xid(156, "Resource retired", "error", _REBOOT, "a reboot is needed; when idle, unless work already failed"),
    Xid(157, "Resource could not be retired", "warn", _REPLACE_LATER, "it will come again"),
    Xid(158, "Fatal timeout of the GPU", "critical", _REBOOT),
    Xid(159, "Coherent hub interface error", "warn", _ALERT),
    Xid(160, "Memory channel retired", "warn", _ALERT),
    Xid(161, "Memory channel could not be retired", "warn", _ALERT),
    Xid(162, "Power smoothing engaged again", "unknown", _ALERT),
    Xid(163, "Power smoothing disengaged", "unknown", _ALERT),
    Xid(164, "Power smoothing: little lifetime left", "unknown", _ALERT),
    Xid(165, "Power smoothing: no lifetime left", "unknown", _ALERT),
    Xid(166, "Confidential traffic before the link was ready", "unknown", _ALERT),
    Xid(167, "Fatal PCIe timeout", "fatal", _REBOOT, "treated like 79"),
    Xid(168, "Less GPU memory than there should be", "warn", _ALERT),
    Xid(169, "Halt of the security processor", "critical", _REBOOT, "treated like 62"),
    Xid(170, "Interrupt in confidential mode", "unknown", _ALERT),
    Xid(171, "Uncorrectable DRAM error", "critical", _REBOOT, "the details of a 48"),
    Xid(172, "Uncorrectable SRAM error", "critical", _REBOOT, "the details of a 48"),
    Xid(173, "Fatal failure of the chip-to-chip link", "critical", _ALERT, "unexpected: not with these cards"),
    Xid(174, "Channel reset with a silent kill", "info", _NOTHING),
    Xid(175, "Memory subsystem error", "critical", _REBOOT, "nothing works on the card until the reboot"),
    Xid(176, "PCIe correctable error fault", "warn", _ALERT),
)

XIDS: dict[int, Xid] = {entry.code: entry for entry in _TABLE}


def xid(code: int) -> Xid:
    """The entry of a code; one that is not in the table is unknown, never harmless."""
    return XIDS.get(code) or Xid(code, "Unused or unknown code", "unknown", _ALERT)
