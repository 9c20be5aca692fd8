# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the NVIDIA driver reports in the kernel log: Xid codes in every format since 2012, and faults without a code."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from .catalogue import limit
from .driver_reports import STARTS, may_report, report_of
from .kernel_log import KernelLine
from .nvidia_smi import normalise_bus_id

# How many lines one report without a code can take.
_JOINED_LINES = 5

_BUS = r"(?:PCI:)?((?:[0-9A-Fa-f]{4,8}:)?[0-9A-Fa-f]{2,4}:[0-9A-Fa-f]{2}(?:\.[0-9A-Fa-f])?)"
# The driver writes "NVRM: Xid (PCI:0000:01:00): 79, ..."; what people and other tools make of it loses one part or another.
_XID = re.compile(
    rf"(?:\bNVRM:? {{0,9}}|^\s{{0,9}})Xid {{0,9}}(?:\(?{_BUS}\)?)? {{0,9}}[:,]? {{0,9}}([0-9]{{1,5}})(?![0-9:])[,.]?\s*(.*)",
    re.DOTALL,
)
_IDENTITY = re.compile(rf"NVRM: GPU at {_BUS}: (GPU-\S+)")
_PID = re.compile(r"\bpid='?([0-9]{1,10}|<unknown>)'?")
_NAME = re.compile(r"\bname=([^,]{0,200})")
_CAUSED_BY = re.compile(r"caused by previous Xid ([0-9]{1,5})")
_RECOVERY = re.compile(
    r"recovery action changed from 0x[0-9a-f]{1,16} \(([^)]{0,100})\) to 0x[0-9a-f]{1,16} \(([^)]{0,100})\)",
    re.IGNORECASE,
)
_PLACE = re.compile(r"\(GPC ([0-9]{1,6}), TPC ([0-9]{1,6})")

_PLACE_OF_CARD = re.compile(_BUS)
_VERSION = re.compile(r"version ([0-9]{3}\.[0-9.]*[0-9])")
# A report that goes on in the next lines, what those look like, and what begins another.
_GOES_ON = re.compile(r"API mismatch|NVRM: (?:The NVIDIA |This can occur|This PCI)|PCI ID:")
_CONTINUATION = re.compile(r"\s*NVRM:\s|\s{2,}")
_BEGINS = re.compile(r"NVRM: (?:GPU[ 0-9]|The NVIDIA |No NVIDIA|None of|RmInit|API mismatch|loading NVIDIA)")
_PREFIX = re.compile(r"^\s*NVRM:?\s*")
# The module has found a card and took it: what kept it from that is over.
_LOADED = re.compile(r"NVRM: loading NVIDIA UNIX")
# Whose device a line of the kernel is about: the driver that holds it, and where it is.
_DEVICE = re.compile(r"(?:^|\s)([a-z][\w-]{1,30}) ((?:[0-9a-f]{4}:)[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f]): ")
_SOURCE = re.compile(r"received(?: from)?:? ((?:[0-9a-f]{4}:)[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f])")


@dataclass(frozen=True)
class GpuFault:
    """One burst of equal reports.

    :param kind: ``xid``, or a kind of ``driver_reports.REPORTS`` for a report without a code.
    :param code: the Xid; None for a report without a code.
    :param process: the process at fault, which may be whoever only asked, e.g. nvidia-smi.
    :param caused_by: the Xid that this one only cleans up after.
    :param recovery: the driver's recovery action before and after (Xid 154).
    :param place: graphics processing cluster and texture processing cluster (Xid 13).
    :param versions: of the user's library and of the module (mismatch).
    :param detail: what the report names besides the card: another driver, or the code of an NVSwitch.
    :param message: the first report.
    """

    kind: str
    code: int | None
    bus_id: str | None
    uuid: str | None
    pid: int | None
    process: str | None
    message: str
    time: float | None
    last_time: float | None
    count: int = 1
    caused_by: int | None = None
    recovery: tuple[str, str] | None = None
    place: tuple[int, int] | None = None
    versions: tuple[str, ...] = ()
    detail: str = ""

    @property
    def subject(self) -> str:
        identity = self.uuid or self.bus_id
        return f"gpu:{identity}" if identity else "vm"


def _optional(text: str | None) -> str | None:
    return None if text in (None, "", "<unknown>", "'<unknown>'") else text


def _xid(match: re.Match[str], line: KernelLine) -> GpuFault:
    rest = match[3].strip()
    pid, name = _PID.search(rest), _NAME.search(rest)
    caused, recovery, place = _CAUSED_BY.search(rest), _RECOVERY.search(rest), _PLACE.search(rest)
    number = _optional(pid[1]) if pid else None
    return GpuFault(
        kind="xid",
        code=int(match[2]),
        bus_id=normalise_bus_id(match[1]) if match[1] else None,
        uuid=None,
        pid=int(number) if number else None,
        process=_optional(name[1].strip()) if name else None,
        message=line.message.strip(),
        time=line.time,
        last_time=line.time,
        caused_by=int(caused[1]) if caused else None,
        recovery=(recovery[1], recovery[2]) if recovery else None,
        place=(int(place[1]), int(place[2])) if place else None,
    )


def _codeless(lines: list[KernelLine]) -> tuple[GpuFault | None, int]:
    """A report without a code that starts at the first of a few lines, and how many of them it takes."""
    first, taken = lines[0], 1
    if _GOES_ON.search(first.message):
        for line in lines[1:]:
            if (
                not _CONTINUATION.match(line.message)
                or _XID.search(line.message)
                or _BEGINS.match(line.message.strip())
            ):
                break
            taken += 1
    joined = " ".join(line.message.strip() for line in lines[:taken])
    # The prefix that each line has would stand in the middle of a sentence.
    plain = " ".join(_PREFIX.sub("", line.message).strip() for line in lines[:taken])
    found = report_of(plain, "NVRM" in joined)
    if found is None:
        return None, 1
    report, match = found
    detail = next((text for text in match.groupdict().values() if text), "")
    # The card is named before what happened to it, where it is named at all.
    card = _PLACE_OF_CARD.search(plain, max(plain.find("NVRM"), 0), match.end())
    return (
        GpuFault(
            kind=report.kind,
            code=None,
            bus_id=normalise_bus_id(card[1]) if card else None,
            uuid=None,
            pid=None,
            process=None,
            message=joined,
            time=first.time,
            last_time=first.time,
            versions=tuple(_VERSION.findall(joined)),
            detail=detail,
        ),
        taken,
    )


def _holders(lines: list[KernelLine]) -> dict[str | None, str]:
    """Which driver holds the device at each place of the bus, as far as the log tells."""
    found: dict[str | None, str] = {}
    for line in lines:
        device = _DEVICE.search(line.message)
        if device and device[1] != "pcieport":
            found[normalise_bus_id(device[2])] = device[1]
    return found


def _of_the_bus(fault: GpuFault, holders: dict[str | None, str]) -> GpuFault | None:
    """A PCIe error: whose it is. A port reports for what is behind it; other devices' errors are not ours."""
    device, source = _DEVICE.search(fault.message), _SOURCE.search(fault.message)
    if device and device[1] == "nvidia":
        return replace(fault, bus_id=normalise_bus_id(device[2]))
    behind = normalise_bus_id(source[1]) if source else None
    if behind in holders and holders[behind] != "nvidia":
        return None
    return replace(fault, bus_id=behind if behind in holders else None)


def _kind_of(fault: GpuFault) -> tuple[object, ...]:
    """What reports of one burst have in common."""
    return (fault.kind, fault.code, fault.bus_id, fault.caused_by, fault.recovery, fault.place, fault.detail)


def _same_burst(one: GpuFault, other: GpuFault) -> bool:
    if one.last_time is None or other.time is None:
        return True
    return other.time - one.last_time <= limit("gpu.xid", "burst")


def gpu_faults(lines: list[KernelLine]) -> list[GpuFault]:
    """The driver's reports in the order of their first line, equal ones within a burst collapsed into one."""
    found: list[GpuFault] = []
    # Where the newest report of each kind is.
    newest: dict[tuple[object, ...], int] = {}
    uuids: dict[str | None, str] = {}
    holders: dict[str | None, str] | None = None
    index = 0
    while index < len(lines):
        line, taken = lines[index], 1
        fault: GpuFault | None = None
        match = _XID.search(line.message)
        if match:
            fault = _xid(match, _timed(line))
        elif may_report(line.message):
            identity = _IDENTITY.search(line.message)
            if identity:
                uuids[normalise_bus_id(identity[1])] = identity[2]
            elif _LOADED.search(line.message):
                found = [one for one in found if one.kind not in STARTS]
                newest = {_kind_of(one): place for place, one in enumerate(found)}
            else:
                fault, taken = _codeless([*map(_timed, lines[index : index + _JOINED_LINES])])
                if fault is not None and fault.kind.startswith("pcie_"):
                    holders = _holders(lines) if holders is None else holders
                    fault = _of_the_bus(fault, holders)
        if fault is not None:
            place = newest.get(_kind_of(fault))
            if place is not None and _same_burst(found[place], fault):
                last = fault.last_time if fault.last_time is not None else found[place].last_time
                found[place] = replace(found[place], count=found[place].count + 1, last_time=last)
            else:
                newest[_kind_of(fault)] = len(found)
                found.append(fault)
        index += taken
    # A port that reports an error as well says nothing new about the card behind it.
    told = {fault.kind for fault in found if fault.bus_id}
    ports = [fault for fault in found if fault.kind.startswith("pcie_") and not fault.bus_id and fault.kind in told]
    return [replace(fault, uuid=uuids.get(fault.bus_id)) for fault in found if fault not in ports]


def _timed(line: KernelLine) -> KernelLine:
    """Where a log has no time of day, its time since boot still tells bursts apart."""
    return line if line.time is not None else replace(line, time=line.uptime)
