"""What the kernel of a sandbox host has said in this boot: its start, the driver's, and what faults put there."""

from __future__ import annotations

import json
from pathlib import Path

from ..faults import every

HARDWARE = Path("/etc/sandbox/gpus.json")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
STARTED = Path("/run/sandbox/boot_id")

_XIDS = {
    13: "Graphics SM Warp Exception on (GPC 1, TPC 0, SM 0): Illegal Instruction Parameter",
    31: "Ch 00000008, intr 00000000. MMU Fault: ENGINE GRAPHICS GPC0 GPCCLIENT_T1_0 faulted @ 0x7f2a_00000000. Fault is of type FAULT_PDE ACCESS_TYPE_VIRT_READ",
    43: "Ch 00000018",
    45: "Ch 00000001",
    48: "DBE (double bit error) ECC Error detected",
    63: "Row Remapper: New row marked for remapping, reset gpu to activate.",
    64: "Row Remapper: Failed to remap a row",
    79: "GPU has fallen off the bus.",
    92: "High single-bit ECC error rate detected",
    94: "Contained ECC error",
    95: "Uncontained ECC error",
    109: "Ch 00000008, errorString CTX SWITCH TIMEOUT, Info 0x58005",
    119: "Timeout after 6s of waiting for RPC response from GPU0 GSP! Expected function 76 (GSP_RM_CONTROL) (0x20801813 0x4c).",
    154: "GPU recovery action changed from 0x0 (None) to 0x2 (Node Reboot Required)",
}


def boot_time() -> float:
    return STARTED.stat().st_mtime


def lines() -> list[tuple[float, str]]:
    """Time since the epoch and message, oldest first."""
    start = boot_time()
    found = [(start, "Linux version 6.8.0-88-generic (buildd@lcy02) #89-Ubuntu SMP PREEMPT_DYNAMIC")]
    hardware = json.loads(HARDWARE.read_text()) if HARDWARE.exists() else {"gpus": []}
    if hardware["gpus"]:
        found.append(
            (start + 2, f"NVRM: loading NVIDIA UNIX Open Kernel Module for x86_64  {hardware['driver']}  Release Build")
        )
    for fault in every("xid"):
        found += _xid(fault, hardware["gpus"])
    for fault in every("gpu_lost"):
        found += _xid({**fault, "code": 79}, hardware["gpus"])
    for fault in every("version_mismatch"):
        driver = hardware["driver"]
        newer = driver.rpartition(".")[0] + ".126"
        found.append(
            (
                _at(fault),
                f"NVRM: API mismatch: the client has the version {newer}, but\nNVRM: this kernel module has the version {driver}.  "
                "Please\nNVRM: make sure that this kernel module and all NVIDIA driver\nNVRM: components have the same version.",
            )
        )
    for fault in every("driver_not_loaded"):
        if fault.get("text"):
            found.append((_at(fault), str(fault["text"])))
    for fault in every("oom_kill"):
        name = str(fault.get("text") or "VLLM::Worker")
        found.append(
            (
                _at(fault),
                f"Out of memory: Killed process 4711 ({name}) total-vm:41943040kB, anon-rss:15728640kB, file-rss:0kB, "
                "shmem-rss:0kB, UID:0 pgtables:40960kB oom_score_adj:0",
            )
        )
    return sorted(found)


def _at(fault: dict[str, object]) -> float:
    """When it was said. What outlives a boot is met again soon after it: the buffer holds nothing older."""
    start = boot_time()
    at = float(str(fault.get("at") or start + 60))
    return at if at >= start else start + 3


def _xid(fault: dict[str, object], cards: list[dict[str, object]]) -> list[tuple[float, str]]:
    index = int(str(fault.get("gpu") or 0))
    if index >= len(cards):
        return []
    code = int(str(fault.get("code") or 79))
    bus = str(cards[index]["bus_id"])[4:].rpartition(".")[0].lower()
    text = str(fault.get("text") or _XIDS.get(code, ""))
    when = _at(fault)
    return [
        (when, f"NVRM: GPU at PCI:{bus}: {cards[index]['uuid']}"),
        (when + 0.001, f"NVRM: Xid (PCI:{bus}): {code}, pid=2345, name=VLLM::EngineCor, {text}"),
    ]
