# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the VM itself from inside: boot, disk, clock, memory."""

from __future__ import annotations

import re
from typing import Any

from ..core.finding import Finding
from .catalogue import finding, limit
from .collected import Look, number, of_engine, section


def rebooted(look: Look) -> dict[str, Any] | None:
    """The last reboot that a look came upon: ``from`` which boot, and ``seen`` when."""
    before, now = look.previous.get("boot_id"), look.host.get("boot_id")
    if before and now and before != now:
        return {"from": before, "seen": look.now}
    earlier = look.previous.get("rebooted")
    return earlier if isinstance(earlier, dict) else None


def _boot(look: Look) -> Finding | None:
    before, now = look.previous.get("boot_id"), look.host.get("boot_id")
    if not before:
        return None
    if not now:
        return finding("vm.boot", "unknown", "vm", "The boot id was not read.")
    last = rebooted(look)
    seen = number(section(last, "seen"))
    if before != now:
        return finding("vm.boot", "warn", "vm", "The VM has rebooted since the last look.", f"{before} -> {now}")
    # Whoever looks every few minutes comes first; a person should hear of it as well.
    if seen is not None and look.now is not None and 0 <= look.now - seen <= limit("vm.boot", "told"):
        minutes = (look.now - seen) / 60
        evidence = f"{section(last, 'from')} -> {now}, seen {minutes:.0f} min ago"
        return finding("vm.boot", "warn", "vm", "The VM was rebooted a short while ago.", evidence)
    return finding("vm.boot", "pass", "vm", "The VM has not rebooted since the last look.")


# What ext4, xfs and btrfs do after an error that they do not trust themselves to go on with.
_SHUT = re.compile(
    r"(?:EXT4-fs|XFS|BTRFS)\b[^\n]{0,80}?(?:Remounting filesystem read-only|Shutting down filesystem|forced readonly)",
    re.IGNORECASE,
)


def _disk(look: Look) -> Finding:
    shut = next((line.message for line in reversed(look.kernel or []) if _SHUT.search(line.message)), None)
    if shut is not None:
        summary = "The kernel made a file system read-only after an error."
        return finding(
            "vm.disk",
            "fail",
            "vm",
            summary,
            shut,
            cause="read_only",
            remedy="Reboot the VM, which checks it; if it happens again, replace the VM.",
        )
    disk = look.host.get("disk")
    size, used = number(section(disk, "size")), number(section(disk, "used"))
    if not size or used is None:
        return finding("vm.disk", "unknown", "vm", "The root file system was not read.")
    shares = [used / size]
    inodes, inodes_used = number(section(disk, "inodes")), number(section(disk, "inodes_used"))
    if inodes and inodes_used is not None:
        shares.append(inodes_used / inodes)
    share = max(shares)
    evidence = f"{shares[0]:.0%} of {size / 2**30:.0f} GiB" + (
        f", {shares[1]:.0%} of inodes" if len(shares) > 1 else ""
    )
    if section(disk, "read_only") is True:
        return finding("vm.disk", "fail", "vm", "The root file system is read-only.", evidence, cause="read_only")
    if share * 100 >= limit("vm.disk", "full"):
        return finding("vm.disk", "fail", "vm", "The root file system is full.", evidence, cause="full")
    if share * 100 >= limit("vm.disk", "filling"):
        return finding("vm.disk", "warn", "vm", "The root file system is getting full.", evidence)
    return finding("vm.disk", "pass", "vm", "The root file system has room.", evidence)


def _clock(look: Look) -> Finding:
    skew = number(look.host.get("clock_offset"))
    source = "measured by the VM's time service"
    control = number(look.expected.get("control_time"))
    if look.now is not None and control is not None:
        ahead = look.now - control
        # Sending and starting a module takes time: a clock that is a little ahead cannot be told from a slow network.
        apart = max(-ahead, ahead - limit("vm.clock", "transfer"), 0.0)
        if skew is None or apart > abs(skew):
            skew, source = apart, "against the control node"
    if skew is None:
        return finding("vm.clock", "unknown", "vm", "There is nothing to compare the VM's clock with.")
    evidence = f"{abs(skew):.1f} s, {source}"
    if abs(skew) > limit("vm.clock", "wrong"):
        return finding("vm.clock", "fail", "vm", "The VM's clock is wrong.", evidence)
    if abs(skew) >= limit("vm.clock", "off"):
        return finding("vm.clock", "warn", "vm", "The VM's clock is off.", evidence)
    return finding("vm.clock", "pass", "vm", "The VM's clock is right.", evidence)


def _memory(look: Look) -> Finding:
    if section(look.container, "State", "OOMKilled") is True:
        return finding(
            "vm.mem",
            "fail",
            "vm",
            "The kernel killed the engine for want of memory.",
            "OOMKilled",
            cause="engine_killed",
        )
    if look.kernel is None:
        return finding("vm.mem", "unknown", "vm", "The kernel log was not read.")
    if not look.kills:
        return finding("vm.mem", "pass", "vm", "The kernel killed nothing for want of memory.")
    engine = [kill for kill in look.kills if of_engine(kill)]
    if not engine:
        kill = look.kills[-1]
        return finding("vm.mem", "warn", "vm", f"The kernel killed {kill.name} for want of memory.", kill.message)
    kill = engine[-1]
    started, killed = number(look.host.get("container_started")), look.epoch(kill.time)
    if started is not None and killed is not None and started > killed:
        return finding(
            "vm.mem",
            "warn",
            "vm",
            "The kernel killed the engine for want of memory, and it was started again since.",
            kill.message,
        )
    return finding(
        "vm.mem", "fail", "vm", "The kernel killed the engine for want of memory.", kill.message, cause="engine_killed"
    )


def check_vm(look: Look) -> list[Finding]:
    boot = _boot(look)
    return [*([boot] if boot else []), _disk(look), _clock(look), _memory(look)]
