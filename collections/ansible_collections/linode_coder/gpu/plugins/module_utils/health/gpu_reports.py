# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel's log says of the cards: whose report it is, and what it asks for."""

from __future__ import annotations

import re

from ..core.finding import Finding
from ..core.rungs import advice
from .catalogue import finding, limit
from .collected import Look, number
from .driver import of_report, refusal
from .driver_reports import STARTS
from .nvidia_smi import Gpu
from .xid import GpuFault
from .xid_catalogue import xid


def faults_of(look: Look, gpu: Gpu) -> list[GpuFault]:
    """Reports about one card. With a single card also those that do not name one."""
    alone = look.smi is not None and len(look.smi.gpus) == 1
    return [
        fault
        for fault in look.faults
        if (gpu.uuid and fault.uuid == gpu.uuid)
        or (gpu.bus_id and fault.bus_id == gpu.bus_id)
        or (alone and fault.uuid is None and fault.bus_id is None)
    ]


def _name_of(look: Look, fault: GpuFault) -> str:
    """The same subject that the card has in the other findings."""
    for gpu in look.smi.gpus if look.smi else ():
        if fault in faults_of(look, gpu):
            return gpu.subject
    return fault.subject


def check_kernel_log(look: Look) -> list[Finding]:
    if look.kernel is None:
        return [finding("gpu.xid", "unknown", "vm", "The kernel log was not read.")]
    started = number(look.host.get("container_started"))
    newest = max((time for time in (look.epoch(fault.time) for fault in look.faults) if time is not None), default=None)
    latest = look.now if look.now is not None else newest
    recent = [
        fault
        for fault in look.faults
        if (time := look.epoch(fault.last_time)) is None or latest is None or latest - time <= limit("gpu.xid", "told")
    ]
    refused = refusal(look) is not None
    groups: dict[tuple[str, int | None, str], list[GpuFault]] = {}
    for fault in recent:
        # What is a matter of the driver's own checks; and what follows from the driver's refusal of the card.
        elsewhere = fault.kind == "mismatch" or fault.kind in STARTS or (refused and fault.kind == "init_failed")
        if not elsewhere and fault.code != 154:
            groups.setdefault((fault.kind, fault.code, _name_of(look, fault)), []).append(fault)
    found = []
    fatal = {fault.detail for fault in recent if fault.kind == "sxid_fatal"}
    for (kind, code, subject), all_faults in groups.items():
        # What else a switch prints about a fatal code.
        faults = [fault for fault in all_faults if kind != "sxid" or fault.detail not in fatal]
        if not faults:
            continue
        times = sum(fault.count for fault in faults)
        evidence = faults[-1].message + (f" ({times} lines, {len(faults)} bursts)" if times > 1 else "")
        if code is not None:
            found.append(_of_xid(code, subject, faults, evidence, started, look.epoch(faults[-1].last_time)))
        elif kind != "pcie_corrected" or times >= limit("gpu.xid", "corrected"):
            found.append(of_report(faults[-1], subject, evidence))
    return found or [finding("gpu.xid", "pass", "vm", "The kernel log has no fault of a GPU.")]


def _of_xid(
    code: int, subject: str, faults: list[GpuFault], evidence: str, started: float | None, happened: float | None
) -> Finding:
    """One code on one card; ``started`` and ``happened`` are when the engine began and when the code came last."""
    entry, repeats = xid(code), limit("gpu.xid", "repeats")
    cause, name, note, ladder = f"xid_{code}", f"Xid {code}: {entry.name}", entry.note, entry.ladder
    severity = "fail" if entry.severity in ("error", "critical", "fatal") else "warn"
    if code in (8, 109) and len(faults) >= repeats:
        ladder = ("reboot", "recreate_vm")
    if code == 13:
        name += _exception_of(faults[-1])
        places = [fault.place for fault in faults if fault.place is not None]
        if any(places.count(place) >= repeats for place in places):
            severity, ladder, cause = "fail", ("restart_container", "recreate_vm"), "xid_13_repeats"
        else:
            note = ""
    answered = started is not None and happened is not None and started > happened
    if answered and ladder[:1] == ("restart_container",) and cause != "xid_13_repeats":
        severity, note = "warn", "the engine was started again since"
        ladder = tuple(rung for rung in ladder if rung == "reboot_when_idle")
    summary = name + (f" ({note})." if note else ".")
    return finding("gpu.xid", severity, subject, summary, evidence, cause=cause, ladder=ladder, remedy=advice(ladder))


# What the chip says that a program did, after the place (Xid 13).
_EXCEPTION = re.compile(r"Exception on \([^)]{1,60}\): ([A-Za-z][A-Za-z ]{2,40})")


def _exception_of(fault: GpuFault) -> str:
    said = _EXCEPTION.search(fault.message)
    return f", {said[1].strip().lower()}" if said else ""
