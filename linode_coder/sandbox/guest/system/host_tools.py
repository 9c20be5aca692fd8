"""Small system tools of a sandbox host whose real ones would speak of the machine underneath."""

from __future__ import annotations

import json
import sys
import time

from ..faults import every, mend, refuses
from ..gpu.cards import HARDWARE, added

# An image of Ubuntu with Docker on the smallest GPU plan's disk.
DISK_KIB, USED_KIB = 500 * 1024 * 1024, 28 * 1024 * 1024
INODES, USED_INODES = 32_000_000, 310_000
# What its disk reads, and what a slow one does.
HEALTHY_BYTES_S, SLOW_MIB_S = 1_600_000_000, 20


def lspci(arguments: list[str]) -> int:
    """The cards on the bus: a lost one is still there, a missing one is not."""
    cards = json.loads(HARDWARE.read_text())["gpus"] if HARDWARE.exists() else []
    gone = {int(str(fault.get("gpu") or 0)) for fault in every("fewer_gpus")}
    for card in [*cards, *added(cards)]:
        if card["index"] in gone:
            continue
        place = card["bus_id"].partition(":")[2].lower()
        device = card["device_id"][:4].lower()
        if "-n" in arguments:
            print(f"{place} 0302: 10de:{device} (rev a1)")
        else:
            print(f"{place} 3D controller: NVIDIA Corporation Device {device} (rev a1)")
    return 0


def df(arguments: list[str]) -> int:
    """Space and inodes of the root file system."""
    fault = next(iter(every("disk_full")), None)
    share = int(str(fault.get("code") or 97)) if fault else None
    inodes = "-i" in arguments or "--inodes" in arguments
    size, used = (INODES, USED_INODES) if inodes else (DISK_KIB, USED_KIB)
    if share is not None and not inodes:
        used = size * share // 100
    unit = "Inodes" if inodes else "1024-blocks"
    names = ("IUsed", "IFree", "IUse%") if inodes else ("Used", "Available", "Capacity")
    print(f"{'Filesystem':<14} {unit:>12} {names[0]:>10} {names[1]:>10} {names[2]:>8} Mounted on")
    print(f"{'/dev/sda':<14} {size:>12} {used:>10} {size - used:>10} {used * 100 // size:>7}% /")
    return 0


def dd(arguments: list[str]) -> int:
    """A read of a disk, which takes its time and brings nothing. There is no other use of it in a host."""
    given = dict(word.partition("=")[::2] for word in arguments)
    if not given.get("if", "").startswith("/dev/") or given.get("of") != "/dev/null":
        print("dd: the sandbox's only reads disks, into /dev/null", file=sys.stderr)
        return 1
    size = int(given["bs"].removesuffix("M")) * int(given["count"]) << 20
    fault = next(iter(every("disk_slow")), None)
    seconds = size / (int(str(fault.get("code") or SLOW_MIB_S)) << 20 if fault else HEALTHY_BYTES_S)
    time.sleep(seconds)
    blocks = given["count"]
    said = (
        f"{size} bytes ({size / 1e6:.0f} MB, {size >> 20} MiB) copied, {seconds:.6g} s, {size / seconds / 1e6:.0f} MB/s"
    )
    print(f"{blocks}+0 records in\n{blocks}+0 records out\n{said}", file=sys.stderr)
    return 0


def timedatectl(arguments: list[str]) -> int:
    """The state of time synchronisation."""
    fault = next(iter(every("clock_skew")), None)
    offset = float(str(fault.get("seconds") or 42)) if fault else 0.0004
    if "timesync-status" in arguments:
        shown = f"{offset:+.3f}s" if abs(offset) >= 1 else f"{offset * 1e6:+.0f}us"
        print(
            f"       Server: 185.125.190.57 (ntp.ubuntu.com)\nPoll interval: 34min 8s\n       Offset: {shown}\n        Delay: 1.2ms"
        )
    else:
        print(f"System clock synchronized: {'no' if fault else 'yes'}\n              NTP service: active")
    return 0


def modprobe(arguments: list[str]) -> int:
    """Loading the driver anew mends one that is not loaded."""
    removing = "--remove" in arguments or "-r" in arguments
    if not removing and any(word.startswith("nvidia") for word in arguments):
        mend("reload_driver")
    return 0


def lsmod(_arguments: list[str]) -> int:
    print("Module                  Size  Used by")
    if HARDWARE.exists() and not every("driver_not_loaded"):
        print("nvidia_uvm           2076672  0\nnvidia              14381056  1 nvidia_uvm")
    return 0


TOOLS = {"dd": dd, "lspci": lspci, "df": df, "timedatectl": timedatectl, "modprobe": modprobe, "lsmod": lsmod}


def main(arguments: list[str]) -> int:
    tool, *rest = arguments
    refusal = refuses(tool)
    if refusal is not None:
        print(refusal, file=sys.stderr)
        return 1
    return TOOLS[tool](rest)
