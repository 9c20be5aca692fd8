# SPDX-License-Identifier: GPL-3.0-or-later
"""Troubles of driver, card and bus as people met them, each from the bundle to its cause and its way out.

The texts are ours, in the format of the tools; the address is the report that showed how the trouble reads.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.finding import Finding
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.driver_reports import REPORTS, STARTS
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.evaluate import evaluate
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.kernel_log import kernel_lines
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.xid import gpu_faults
from smi_documents import v13_blackwell

_OGK = "https://github.com/NVIDIA/open-gpu-kernel-modules/issues/"
FAILED = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."


def troubles(files: dict[str, str], **host: Any) -> list[Finding]:
    """What a bundle shows that is neither fine nor unknown."""
    texts = {**files, **({"host.json": json.dumps(host)} if host else {})}
    return [found for found in evaluate(texts).findings if found.severity in ("warn", "fail")]


def kernel(*lines: str) -> dict[str, str]:
    return {"kernel.log": "\n".join(lines) + "\n"}


# -- the kernel's log: what kept the driver from its card, and what broke later ---------------------------------------------

# (where it was reported, the lines, the check, its severity, the cause, the first rung, a word of the remedy)
Reported = tuple[str, tuple[str, ...], str, str, str, str | None, str]
LOGS: list[Reported] = [
    # The card wants the open kernel modules, and whatever else is said then follows from it.
    (
        _OGK + "872",
        (
            "[    5.559842] NVRM: The NVIDIA GPU 0000:02:00.0 (PCI ID: 10de:2c58)",
            "               NVRM: installed in this system requires use of the NVIDIA open kernel modules.",
            "[    5.559858] NVRM: GPU 0000:02:00.0: RmInitAdapter failed! (0x22:0x56:884)",
            "[    5.560313] NVRM: GPU 0000:02:00.0: rm_init_adapter failed, device minor number 0",
        ),
        *("drv.module", "fail", "open_module_required", "alert", "open kernel modules"),
    ),
    (
        "https://github.com/getsolus/packages/issues/5575",
        ("May  4 10:00:01 box kernel: NVRM: installed in this system requires use of the NVIDIA open kernel modules.",),
        *("drv.module", "fail", "open_module_required", "alert", "open kernel modules"),
    ),
    (
        "https://github.com/Start9Labs/start-technologies/issues/3465",
        (
            "NVRM: The NVIDIA GPU 000f:01:00.0 (PCI ID: 10de:2e12)",
            "      installed in this system requires use of the NVIDIA open kernel modules.",
        ),
        *("drv.module", "fail", "open_module_required", "alert", "open kernel modules"),
    ),
    (
        "https://github.com/negativo17/nvidia-driver/issues/158",
        (
            "Aug 14 09:00:00 box kernel: NVRM: The NVIDIA GPU 0000:09:00.0 (PCI ID: 10de:1d01)",
            "                            NVRM: installed in this system is not supported by open",
            "                            NVRM: nvidia.ko because it does not include the required GPU",
            "                            NVRM: System Processor (GSP).",
            "Aug 14 09:00:00 box kernel: nvidia 0000:09:00.0: probe with driver nvidia failed with error -1",
            "Aug 14 09:00:00 box kernel: NVRM: The NVIDIA probe routine failed for 1 device(s).",
        ),
        *("drv.module", "fail", "closed_module_required", "alert", "closed kernel modules"),
    ),
    # The release is too old for the card, or the card for the release.
    (
        "https://github.com/MrMEEE/bumblebee-Old-and-abbandoned/issues/583",
        (
            "[  652.483304] NVRM: The NVIDIA GPU 0000:01:00.0 (PCI ID: 10de:1050) installed",
            "[  652.483305] NVRM: in this system is not supported by the 280.13 NVIDIA Linux",
            "[  652.483306] NVRM: graphics driver release.  Please see 'Appendix A -",
        ),
        *("drv.module", "fail", "card_not_supported", "alert", "release that supports the card"),
    ),
    (
        "https://github.com/Bumblebee-Project/Bumblebee/issues/810",
        (
            "[   73.757880] NVRM: The NVIDIA GPU 0000:01:00.0 (PCI ID: 10de:13b0)",
            "               NVRM: installed in this system is not supported by the 367.57",
            "               NVRM: NVIDIA Linux driver release.  Please see 'Appendix",
        ),
        *("drv.module", "fail", "card_not_supported", "alert", "release that supports the card"),
    ),
    (
        "https://github.com/siderolabs/talos/issues/8764",
        (
            "kern:     err: [2024-05-20T02:46:53.856596762Z]: NVRM: The NVIDIA GeForce GT 710 GPU installed in this system is",
            " NVRM:  supported through the NVIDIA 470.xx Legacy drivers. Please",
            "kern: warning: [2024-05-20T02:46:53.859954762Z]: NVRM: No NVIDIA GPU found.",
        ),
        *("drv.module", "fail", "card_not_supported", "alert", "release that supports the card"),
    ),
    (
        "https://github.com/NixOS/nixos-hardware/issues/1828",
        ("Apr 13 16:41:14 box kernel: NVRM: The NVIDIA GPU 0000:01:00.0 is not supported by the 595.58.03 driver release.",),
        *("drv.module", "fail", "card_not_supported", "alert", "release that supports the card"),
    ),
    # The one that was there is gone, and nobody says why.
    (
        "https://github.com/mattshma/bigdata/issues/133",
        ("[188497.595099] NVRM: No NVIDIA graphics adapter probed!",),
        *("drv.module", "fail", "no_card", "reboot", "Reboot"),
    ),
    # Another driver was there first.
    (
        "https://github.com/MrMEEE/ironhide/issues/41",
        (
            "[ 9687.215135] NVRM: The NVIDIA probe routine was not called for 1 device(s).",
            "[ 9687.215145] NVRM: This can occur when a driver such as nouveau, rivafb,",
            "[ 9687.215149] NVRM: nvidiafb, or rivatv was loaded and obtained ownership of",
        ),
        *("drv.module", "fail", "other_driver", "reboot", "blacklist"),
    ),
    (
        "https://github.com/beclab/Olares/pull/3963",
        (
            "[  201.910514] NVRM: GPU 0000:01:00.0 is already bound to NovaCore.",
            "[  201.913648] NVRM: No NVIDIA devices probed.",
        ),
        *("drv.module", "fail", "other_driver", "reboot", "away from the card"),
    ),
    (
        "https://github.com/NixOS/nixpkgs/issues/29514",
        ("Sep 17 20:06:40 n1 kernel: nouveau 0000:01:00.0: DRM: VRAM: 2048 MiB",),
        *("drv.module", "fail", "other_driver", "reboot", "blacklist"),
    ),
    # Secure Boot.
    (
        "https://github.com/secureblue/secureblue/issues/1043",
        ("[   12.000001] modprobe: ERROR: could not insert 'nvidia': Key was rejected by service",),
        *("drv.module", "fail", "unsigned_module", "alert", "Secure Boot"),
    ),
    (
        "https://github.com/NVIDIA/yum-packaging-precompiled-kmod/issues/68",
        ("[   12.000001] Loading of module with unavailable key is rejected",),
        *("drv.module", "fail", "unsigned_module", "alert", "mokutil"),
    ),
    (
        "https://github.com/saidsay-so/acpi_ec/issues/8",
        ("Mar 19 08:00:00 box kernel: Lockdown: modprobe: unsigned module loading is restricted; see man kernel_lockdown.7",),
        *("drv.module", "fail", "unsigned_module", "alert", "Secure Boot"),
    ),
    # Built for another kernel.
    (
        "https://github.com/negativo17/nvidia-driver/issues/97",
        ("[    9.1] nvidia: version magic '5.4.18-100.fc30.x86_64 SMP' should be '5.4.18-200.fc31.x86_64 SMP'",),
        *("drv.module", "fail", "other_kernel", "reboot", "running kernel"),
    ),
    (
        "https://github.com/realsenseai/realsense_mipi_platform_driver/issues/281",
        (
            "Jun 26 08:48:30 orin kernel: [   15.726225] nvidia: disagrees about version of symbol i2c_get_adapter",
            "Jun 26 08:48:30 orin kernel: [   15.726238] nvidia: Unknown symbol i2c_get_adapter (err -22)",
        ),
        *("drv.module", "fail", "other_kernel", "reboot", "dkms"),
    ),
    # Its firmware.
    (
        "https://github.com/NixOS/nixpkgs/issues/454772",
        ("[    6.5] nvidia 0000:00:1e.0: Direct firmware load for nvidia/565.57.01/gsp_tu10x.bin failed with error -2",),
        *("drv.module", "fail", "no_firmware", "alert", "firmware"),
    ),
    (
        _OGK + "263",
        ("[ 1637.847759] nvidia 0000:01:00.0: Direct firmware load for nvidia/515.43.04/gsp.bin failed with error -2",),
        *("drv.module", "fail", "no_firmware", "alert", "firmware"),
    ),
    # Its place on the bus.
    (
        "https://forum.proxmox.com/threads/dgx-b300-gpu-passthrough-on-proxmox-pci-device-visible-but-nvidia-driver-cannot-initialize.179366/",
        (
            "[    4.1] NVRM: This PCI I/O region assigned to your NVIDIA device is invalid:",
            "          NVRM: BAR1 is 0M @ 0x0 (PCI:0000:01:00.0)",
            "[    4.2] nvidia: probe of 0000:01:00.0 failed with error -1",
        ),
        *("drv.module", "fail", "no_memory_window", "power_cycle", "replace"),
    ),
    # The system processor: what it leaves when it dies, and who waits for it in vain.
    (
        _OGK + "1230",
        ("[   84.702013] NVRM: GPU6 kflcnCoreDumpDestructive_IMPL: ICD: a4:0x0000000000000004   a5:0x0000000000000a00",),
        *("gpu.xid", "fail", "gsp_timeout", "reboot", "Reboot"),
    ),
    (
        _OGK + "942",
        ("Sep  2 11:00:00 box kernel: NVRM: _issueRpcAndWait: rpcRecvPoll timedout for fn 76 sequence 4127!",),
        *("gpu.xid", "fail", "gsp_timeout", "reboot", "Reboot"),
    ),
    (
        _OGK + "446",
        ("[  100.5] NVRM: Timeout waiting for RPC from GSP0! Expected function 76 (GSP_RM_CONTROL) (0x2080a0b1 0x4).",),
        *("gpu.xid", "fail", "gsp_timeout", "reboot", "Reboot"),
    ),
    (
        _OGK + "1118",
        (
            "192.0.2.19: kern: warning: [2026-04-22T21:27:51.29163573Z]: NVRM: kflcnCoreDumpNondestructive_IMPL: TRACE: 03 = 0x01",
            "192.0.2.19: kern: warning: [2026-04-22T21:27:51.29164573Z]: NVRM: kflcnCoreDumpNondestructive_IMPL: TRACE: 04 = 0x02",
        ),
        *("gpu.xid", "fail", "gsp_timeout", "reboot", "Reboot"),
    ),
    (
        _OGK + "116",
        ("[    3.596583] NVRM RmInitAdapter: Cannot initialize GSP firmware RM",),
        *("gpu.xid", "fail", "init_failed", "reboot", "Reboot"),
    ),
    (
        _OGK + "789",
        (
            "[ 2052.745833] NVRM: gpuWaitForGfwBootComplete_TU102: failed to wait for GFW_BOOT: (progress 0x3)",
            "[ 2052.745838] NVRM: kgspWaitForGfwBootOk_TU102: failed to wait for GFW boot complete: 0x65 VBIOS version 90.0",
        ),
        *("gpu.xid", "fail", "init_failed", "reboot", "Reboot"),
    ),
    (
        "https://github.com/QubesOS/qubes-issues/issues/10036",
        ("[  127.849897] NVRM: GPU0 _kgspBootGspRm: unexpected WPR2 already up, cannot proceed with booting GSP",),
        *("gpu.xid", "fail", "init_failed", "reboot", "Reboot"),
    ),
    # Who asks the card, and never comes back.
    (
        _OGK + "1333",
        ("[ 1209.1] INFO: task nvidia-smi:4711 blocked for more than 122 seconds.",),
        *("gpu.xid", "fail", "driver_hang", "reboot", "Reboot"),
    ),
    (
        _OGK + "456",
        ("[ 1209.1] watchdog: BUG: soft lockup - CPU#12 stuck for 22s! [nv_queue:1234]",),
        *("gpu.xid", "fail", "driver_hang", "reboot", "Reboot"),
    ),
    # Gone without an Xid.
    (
        _OGK + "1342",
        ("[ 4711.1] NVRM: nvCheckOkFailedNoLog: Check failed: GPU lost from the bus [NV_ERR_GPU_IS_LOST] (0x0000000F)",),
        *("gpu.lost", "fail", "off_bus", "reboot", "Reboot"),
    ),
    (
        _OGK + "1342",
        ("[ 4711.2] NVRM: nvGpuOpsReportFatalError: uvm encountered global fatal error 0x60, requiring os reboot to recover.",),
        *("gpu.xid", "fail", "os_reboot", "reboot", "Reboot"),
    ),
    (
        "https://github.com/NVIDIA/NVSentinel/issues/155",
        (
            "[ 1843.308145] NVRM: The NVIDIA GPU 0000:b3:00.0",
            "               NVRM: (PCI ID: 10de:26b5) installed in this system has",
            "               NVRM: fallen off the bus and is not responding to commands.",
            "[ 1843.439669] NVRM: loading NVIDIA UNIX Open Kernel Module for x86_64  570.158.01  Release Build",
        ),
        *("gpu.lost", "fail", "off_bus", "reboot", "Reboot"),
    ),
    # The bus.
    (
        "https://github.com/wilicc/gpu-burn/issues/1",
        (
            "[74889.542031] pcieport 0000:00:02.0: AER: Uncorrected (Fatal) error received: id=0010",
            "[74889.542044] pcieport 0000:00:02.0: PCIe Bus Error: severity=Uncorrected (Fatal), type=Transaction Layer, id=0010(Receiver ID)",
            "[74889.542239] nvidia 0000:02:00.0: device has no AER-aware driver",
        ),
        *("gpu.xid", "fail", "pcie_fatal", "reboot", "Reboot"),
    ),
    (
        "https://github.com/rwth-i6/returnn/issues/1500",
        (
            "[  +0.000001] pcieport 0000:00:03.0: AER: Multiple Uncorrected (Fatal) error received: 0000:00:03.0",
            "[  +0.000921] nvidia 0000:03:00.0: AER: can't recover (no error_detected callback)",
        ),
        *("gpu.xid", "fail", "pcie_fatal", "reboot", "Reboot"),
    ),
    (
        _OGK + "1229",
        (
            "pcieport 0000:00:01.2: AER: Uncorrectable (Non-Fatal) error received from 0000:63:00.0",
            "nvidia 0000:63:00.0: PCIe Bus Error: severity=Uncorrectable (Non-Fatal), type=Transaction Layer, (Requester ID)",
        ),
        *("gpu.xid", "warn", "pcie_error", "alert", "provider"),
    ),
    (
        "https://github.com/NVIDIA/nvidia-docker/issues/1553",
        ("[1086487.613071] nvidia 0000:09:00.0: AER: PCIe Bus Error: severity=Corrected, type=Data Link Layer, (Receiver ID)",) * 100,
        *("gpu.xid", "warn", "pcie_corrected", "alert", "provider"),
    ),
    # Switches between cards, which these plans do not have.
    (
        "https://github.com/leptonai/gpud/pull/338",
        (
            "kern  :err   : 2025-01-25T10:34:54,859532+00:00 nvidia-nvswitch1: SXid (PCI:0000:84:00.0): 12028, Data {0x01, 0x00}",
            "kern  :err   : 2025-01-25T10:34:54,859632+00:00 nvidia-nvswitch1: SXid (PCI:0000:84:00.0): 12028, Fatal, Link 28 egress",
        ),
        *("gpu.xid", "fail", "sxid_fatal", "alert", "provider"),
    ),
    (
        "https://github.com/NVIDIA/nvtrust/issues/124",
        (
            "[   38.178720] nvidia-nvswitch3: SXid (PCI:0000:04:00.0): 22013, Non-fatal, Link 44 Minion Link DLREQ interrupt",
            "[   38.180708] nvidia-nvswitch3: SXid (PCI:0000:04:00.0): 22013, Severity 0 Engine instance 44 Sub-engine instance 00",
        ),
        *("gpu.xid", "warn", "sxid", None, "provider"),
    ),
    (
        "https://github.com/leptonai/gpud/pull/84",
        ("[  131.1] nvidia-nvswitch0: SXid (PCI:0000:a9:00.0): 20012, Non-fatal, Link 1 LTSSM Fault Up",),
        *("gpu.xid", "warn", "sxid", None, "provider"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("thread", "lines", "check", "severity", "cause", "rung", "remedy"), LOGS)
def test_a_kernels_log_tells_the_cause(
    thread: str, lines: tuple[str, ...], check: str, severity: str, cause: str, rung: str | None, remedy: str
) -> None:
    found = [found for found in troubles(kernel(*lines)) if found.id == check]
    assert [(one.severity, one.cause, one.ladder[0] if one.ladder else None) for one in found] == [
        (severity, cause, rung)
    ], thread
    assert remedy in found[0].remedy and found[0].evidence.strip().startswith(
        ("NVRM", "nvidia", "nouveau", "pcie", "modprobe", "Loading", "Lock", "INFO", "watchdog")
    ), found


def test_every_kind_of_report_has_a_log() -> None:
    assert {report[4] for report in LOGS} >= set(REPORTS) - {"mismatch", "reset_required", "memory_subsystem"}


@pytest.mark.parametrize(
    "lines",
    [
        # https://github.com/hhfeuer/nvhda/issues/8: another module's key.
        ("modprobe: ERROR: could not insert 'nvhda': Required key not available",),
        # A kernel that takes the module in spite of its signature only says so.
        ("[   10.1] nvidia: module verification failed: signature and/or required key missing - tainting kernel",),
        ("[   10.1] nvidia: loading out-of-tree module taints kernel.",),
        # https://github.com/hirschmann/nbfc/issues/181: another device's link.
        ("pcieport 0000:00:1c.5: PCIe Bus Error: severity=Corrected, type=Physical Layer, id=00e5(Receiver ID)",) * 200,
        (
            "[ 5.1] pcieport 0000:00:1c.4: AER: Uncorrected (Fatal) error received: 0000:03:00.0",
            "[ 5.2] nvme 0000:03:00.0: PCIe Bus Error: severity=Uncorrected (Fatal), type=Transaction Layer, (Receiver ID)",
        ),
        # A few corrected errors are what a link is made for.
        ("nvidia 0000:09:00.0: AER: PCIe Bus Error: severity=Corrected, type=Data Link Layer",) * 99,
        # What waits for its disk.
        ("[ 1209.1] INFO: task jbd2/sda1-8:233 blocked for more than 122 seconds.",),
        # nouveau had the card, and gave it up.
        (
            "[ 2.1] nouveau 0000:01:00.0: DRM: VRAM: 2048 MiB",
            "[ 9.1] NVRM: loading NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build",
        ),
        # What other programs say in words of the driver's is not the driver's.
        ("[ 5.1] audit: type=1400 name=\"GPU fallen off the bus, GSP Timeout, RmInitAdapter failed\"",),
        ("[ 5.1] nvidia-persistenced: GSP Timeout",),
    ],
)  # fmt: skip
def test_what_is_no_trouble_of_the_card(lines: tuple[str, ...]) -> None:
    assert [found for found in troubles(kernel(*lines)) if found.id.startswith(("gpu.", "drv."))] == []


NOUVEAU = "[ 5.1] NVRM: GPU 0000:01:00.0 is already bound to nouveau."


def test_what_kept_the_driver_from_its_card_counts_only_while_no_card_works() -> None:
    assert [found.id for found in troubles({**kernel(NOUVEAU), "nvidia-smi.xml": v13_blackwell()})] == []
    failed = troubles({**kernel(NOUVEAU), "nvidia-smi.xml": FAILED})
    assert [(found.id, found.cause) for found in failed] == [("drv.module", "other_driver")]
    assert failed[0].summary == "Another driver than NVIDIA's holds the card (nouveau)."
    # Without the log only that no driver answers is known.
    assert [(found.id, found.cause) for found in troubles({"nvidia-smi.xml": FAILED})] == [("drv.module", "no_driver")]


def test_no_vm_is_replaced_over_the_wrong_driver() -> None:
    """A new VM would have the same one: neither a missing card nor a card that does not start asks for it."""
    lines = ("NVRM: installed in this system requires use of the NVIDIA open kernel modules.",)
    more = ("NVRM: GPU 0000:02:00.0: RmInitAdapter failed! (0x22:0x56:884)",)
    found = troubles({**kernel(*lines, *more), "nvidia-smi.xml": "No devices were found"}, pci_gpus=1)
    assert {one.id for one in found} == {"drv.module", "gpu.count"}
    assert {one.ladder for one in found} == {("alert",)} and {one.cause for one in found} == {"open_module_required"}


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        # https://github.com/NVIDIA/nvidia-docker/issues/365
        ("modprobe: FATAL: Module nvidia not found in directory /lib/modules/6.8.0-90-generic", "other_kernel"),
        ("modprobe: ERROR: could not insert 'nvidia': Exec format error", "other_kernel"),
        # https://github.com/lcp/mokutil/issues/61, and where the kernel is locked down.
        ("modprobe: ERROR: could not insert 'nvidia': Operation not permitted", "unsigned_module"),
        ("modprobe: ERROR: could not insert 'nvidia': Required key not available", "unsigned_module"),
        ("", "no_driver"),
    ],
)
def test_what_modprobe_says_comes_before_what_nvidia_smi_makes_of_it(said: str, cause: str) -> None:
    (found,) = troubles({"nvidia-smi.xml": f"{said}\n{FAILED}\n"})
    assert (found.id, found.cause) == ("drv.module", cause)


def test_the_most_telling_reason_is_told() -> None:
    """Two reasons at once: the first of the table, whatever came first."""
    both = kernel(NOUVEAU, "[ 6.1] nvidia: version magic 'a' should be 'b'")
    (found,) = troubles(both)
    assert found.cause == min(("other_kernel", "other_driver"), key=STARTS.index)


# -- the readings ------------------------------------------------------------------------------------------------------------


def smi(**leaves: str) -> dict[str, str]:
    """A document with other leaves; ``max_clocks`` is the highest clock of the processors."""
    text = v13_blackwell().replace(
        "<compute_mode>", "<clocks><sm_clock>2130 MHz</sm_clock></clocks><fan_speed>30 %</fan_speed><compute_mode>"
    )
    highest = leaves.pop("max_clocks", "2130 MHz")
    text = text.replace("<compute_mode>", f"<max_clocks><sm_clock>{highest}</sm_clock></max_clocks><compute_mode>")
    for name, value in leaves.items():
        text, count = re.subn(rf"<{name}>[^<]*<", f"<{name}>{value}<", text, count=1)
        if not count:
            text = text.replace("</clocks_event_reasons>", f"<{name}>{value}</{name}></clocks_event_reasons>")
    return {"nvidia-smi.xml": text}


HEAT = {"clocks_event_reason_sw_thermal_slowdown": "Active"}
MIG = "<mig_mode><current_mig>{}</current_mig><pending_mig>{}</pending_mig></mig_mode>"
PART = "<mig_devices><mig_device><index>0</index></mig_device></mig_devices>"


def divided(current: str, pending: str, parts: str = "<mig_devices>None</mig_devices>") -> dict[str, str]:
    text = v13_blackwell().replace("<compute_mode>", MIG.format(current, pending) + parts + "<compute_mode>")
    return {"nvidia-smi.xml": text}


READINGS: list[tuple[str, dict[str, str], str, str, str, str]] = [
    # Heat, as the driver meets it.
    (
        "https://github.com/rammsguns/llm-rig/issues/100",
        smi(**HEAT, sm_clock="375 MHz", gpu_temp="88 C"),
        *("gpu.throttle", "warn", "sw_thermal_slowdown", "375 of 2130 MHz at 88 C"),
    ),
    (
        "https://github.com/NVIDIA/nvidia-settings/issues/67",
        smi(**HEAT, sm_clock="N/A", gpu_temp="56 C"),
        *("gpu.throttle", "warn", "sw_thermal_slowdown", "2130 MHz at 56 C"),
    ),
    (
        "https://github.com/intel/thermal_daemon/issues/300",
        smi(**HEAT, sm_clock="N/A", max_clocks="N/A"),
        *("gpu.throttle", "warn", "sw_thermal_slowdown", "sw_thermal_slowdown at 36 C"),
    ),
    # Readings that fail: one may do so for a moment.
    (
        "https://github.com/Azure/azhpc-diagnostics/issues/77",
        smi(instant_power_draw="Unknown Error"),
        *("gpu.readings", "warn", "one", "power"),
    ),
    (_OGK + "1193", smi(fan_speed="Unknown Error"), *("gpu.readings", "warn", "one", "fan")),
    (
        "https://github.com/enkore/i3pystatus/pull/850",
        smi(fan_speed="[Unknown Error]", gpu_util="ERR!", gpu_temp="ERR!"),
        *("gpu.readings", "fail", "sick", "load, temperature, fan"),
    ),
    (
        "https://docs.nvidia.com/datacenter/cloud-native/gpu-operator/23.3.1/troubleshooting.html",
        {"nvidia-smi.xml": v13_blackwell() + "WARNING: infoROM is corrupted at gpu 0000:00:02.0\n"},
        *("gpu.readings", "warn", "inforom", "infoROM is corrupted"),
    ),
    # Corrected errors.
    (
        "https://github.com/Azure/azurehpc/pull/649",
        smi(sram_correctable="10001"),
        *("gpu.ecc.cor", "warn", "many", "10001 since boot"),
    ),
    (
        "https://github.com/Azure/azurehpc/pull/617",
        smi(dram_correctable="10000000"),
        *("gpu.ecc.cor", "warn", "storm", "10000000 since boot"),
    ),
    # The link, while the card works: what it is made for, where nothing better was ever seen.
    (
        "https://github.com/local-inference-lab/rtx6kpro/pull/88",
        smi(current_link_width="1x"),
        *("gpu.pcie", "fail", "few_lanes", "generation 4, 1 lanes; made for 16"),
    ),
    (
        "https://github.com/tinygrad/open-gpu-kernel-modules/issues/6",
        smi(current_link_gen="1", gpu_util="99 %"),
        *("gpu.pcie", "warn", "slow", "generation 1, 8 lanes; made for generation 4"),
    ),
    # Division.
    (
        "https://github.com/vllm-project/vllm/issues/6551",
        divided("Enabled", "Enabled", PART),
        *("gpu.mig", "warn", "divided", "1 parts"),
    ),
    (
        "https://github.com/pytorch/pytorch/issues/95784",
        divided("Enabled", "Enabled"),
        *("gpu.mig", "fail", "no_part", ""),
    ),
    (
        "https://github.com/vllm-project/vllm/issues/7211",
        divided("Disabled", "Enabled"),
        *("gpu.mig", "warn", "pending", ""),
    ),
]


@pytest.mark.parametrize(("thread", "files", "check", "severity", "cause", "evidence"), READINGS)
def test_a_reading_tells_the_cause(
    thread: str, files: dict[str, str], check: str, severity: str, cause: str, evidence: str
) -> None:
    found = [(one.id, one.severity, one.cause, one.evidence) for one in troubles(files)]
    assert found == [(check, severity, cause, evidence)], thread


@pytest.mark.parametrize(
    "files",
    [
        # https://github.com/Syllo/nvtop/issues/6 and https://github.com/janhq/jan/issues/183: an idle card's link rests.
        smi(current_link_gen="1", current_link_width="1x", gpu_util="0 %"),
        smi(current_link_gen="1", current_link_width="1x", performance_state="P8"),
        # The driver caps the power of every card, and a clock below the highest is no trouble by itself.
        smi(clocks_event_reason_sw_power_cap="Active", sm_clock="705 MHz"),
        divided("Disabled", "Disabled"),
        divided("N/A", "N/A"),
    ],
)
def test_what_is_no_trouble_of_a_card(files: dict[str, str]) -> None:
    assert troubles(files) == []


# -- lines in every wrapping, and of which boot -------------------------------------------------------------------------------

XID = "NVRM: Xid (PCI:0000:01:00): 79, pid=5, name=x, GPU has fallen off the bus."


@pytest.mark.parametrize(
    ("line", "code", "bus"),
    [
        ("NVRM: Xid PCI:0000:01:00: 43, pid=18, name=cuda, Ch 00000018", 43, "0000:01:00"),
        ("NVRM: Xid 0000:01:00: 43, Ch 00000018", 43, "0000:01:00"),
        ("Xid (PCI:0000:01:00): 31, pid=18, name=cuda", 31, "0000:01:00"),
        ("NVRM: Xid: 79, GPU has fallen off the bus", 79, None),
        ("NVRM: Xid 79", 79, None),
        # https://github.com/NVIDIA/k8s-test-infra/pull/796
        ("kernel: NVRM: Xid (PCI:0000:1a:00): 79", 79, "0000:1a:00"),
    ],
)
def test_an_xid_loses_its_brackets_on_the_way(line: str, code: int, bus: str | None) -> None:
    (found,) = gpu_faults(list(kernel_lines(line)))
    assert (found.kind, found.code, found.bus_id) == ("xid", code, bus)


@pytest.mark.parametrize(
    "line", ["NVRM: Xid (PCI:0000:01:00)", "NVRM: Xid ()", "NVRM: Xid (PCI:x): 79", "SXid: 79", "a Xid 79"]
)
def test_what_is_no_xid(line: str) -> None:
    assert [fault.code for fault in gpu_faults(list(kernel_lines(line))) if fault.code] == []


@pytest.mark.parametrize(
    ("line", "time", "uptime"),
    [
        # https://github.com/leptonai/gpud/pull/500: /dev/kmsg.
        (f"3,1234,269516977,-;{XID}", None, 269.516977),
        # https://github.com/leptonai/gpud/pull/870
        (f"syslog:err   : 2025-02-23T16:24:18,500000+00:00 {XID}", 1740327858.5, None),
        (f"kern: warning: [2025-02-23T16:24:18.500000000Z]: {XID}", 1740327858.5, None),
        (f"192.0.2.19: kern: warning: [2025-02-23T16:24:18.5Z]: {XID}", 1740327858.5, None),
        # journalctl -o short-full, short-unix, short-monotonic, short-precise, and rsyslog's newer format.
        (f"Sun 2025-02-23 16:24:18 UTC gpu kernel: {XID}", 1740327858.0, None),
        (f"1740327858.500000 gpu kernel: {XID}", 1740327858.5, None),
        (f"[  269.516977] gpu kernel: {XID}", None, 269.516977),
        (f"Feb 23 16:24:18.123456 gpu kernel: {XID}", None, None),
        (f"<3>1 2025-02-23T16:24:18.5+00:00 gpu kernel - - - {XID}", 1740327858.5, None),
        # The kernel names the caller, dmesg -H tells the time since the line before, and colours are none of the message.
        (f"[  269.516977][ T1234] {XID}", None, 269.516977),
        (f"[  +0.000844] {XID}", None, None),
        (f"[Feb23 16:24] {XID}", None, None),
        (f"\x1b[32m[  269.516977] \x1b[0m{XID}", None, 269.516977),
        (f"jan. 29 20:50:17 box kernel: {XID}", None, None),
    ],
)
def test_more_wrappings_are_taken_off(line: str, time: float | None, uptime: float | None) -> None:
    (read,) = kernel_lines(line)
    assert (read.message, read.time, read.uptime) == (XID, time, uptime)


# Sat Mar 14 10:00:00 2026, in UTC, and a boot on Friday at noon.
CLOCK, BOOT = 1773482400.0, 1773403200.0
OFF = "gpu.lost"


@pytest.mark.parametrize(
    ("lines", "host", "now"),
    [
        # https://github.com/Azure/azurehpc/pull/648: syslog keeps what an earlier boot said.
        ([f"Jan  2 03:04:05 gpu kernel: {XID}"], {"clock": CLOCK, "boot_time": BOOT}, False),
        ([f"Mar 13 11:59:59 gpu kernel: {XID}"], {"clock": CLOCK, "boot_time": BOOT}, False),
        ([f"Mar 13 12:00:01 gpu kernel: {XID}"], {"clock": CLOCK, "boot_time": BOOT}, True),
        # The year before, as the date is still to come in this one.
        ([f"Dec 31 23:00:00 gpu kernel: {XID}"], {"clock": CLOCK, "boot_time": BOOT}, False),
        ([f"Feb 29 23:00:00 gpu kernel: {XID}"], {"clock": CLOCK, "boot_time": BOOT}, False),
        # Another zone, which the time since the boot gives away: it is this boot, five hours to the west.
        ([f"Mar 13 08:00:00 gpu kernel: [ 3600.5] {XID}"], {"clock": CLOCK, "boot_time": BOOT}, True),
        ([f"Mar 13 08:07:00 gpu kernel: [ 3600.5] {XID}"], {"clock": CLOCK, "boot_time": BOOT}, False),
        # With a year and a zone there is nothing to guess.
        ([f"2026-03-13T11:58:00+00:00 gpu kernel: {XID}"], {"clock": CLOCK, "boot_time": BOOT}, False),
        ([f"2026-03-13T11:59:30+00:00 gpu kernel: {XID}"], {"clock": CLOCK, "boot_time": BOOT}, True),
        ([f"2026-03-13T13:58:00+01:00 gpu kernel: {XID}"], {"clock": CLOCK, "boot_time": BOOT}, True),
        # dmesg knows no boot but this one, whatever zone it prints.
        ([f"[Fri Mar 13 07:00:00 2026] {XID}"], {"clock": CLOCK, "boot_time": BOOT}, True),
        ([f"[  100.5] {XID}"], {"clock": CLOCK, "boot_time": BOOT}, True),
        # The log itself may say where a boot begins.
        ([f"[ 9000.5] {XID}", "[    0.000000] Linux version 6.8.0-90-generic"], {}, False),
        (["[    0.000000] Linux version 6.8.0-90-generic", f"[ 9000.5] {XID}"], {}, True),
        ([f"Mar 13 11:00:00 gpu kernel: {XID}", "-- Reboot --", "Mar 13 12:00:01 gpu kernel: up"], {}, False),
        ([f"Mar 13 11:00:00 gpu kernel: {XID}", f"-- Boot {'0a' * 16} --"], {}, False),
        # Nothing says when it was: it may be now.
        ([f"Jan  2 03:04:05 gpu kernel: {XID}"], {}, True),
        ([f"Jan  2 03:04:05 gpu kernel: {XID}"], {"clock": CLOCK}, True),
        ([f"Jan  2 03:04:05 gpu kernel: {XID}"], {"boot_time": BOOT}, True),
        # A clock and dates that are none.
        ([f"Jan  2 03:04:05 gpu kernel: {XID}"], {"clock": -5.0, "boot_time": BOOT}, True),
        ([f"Jan  2 03:04:05 gpu kernel: {XID}"], {"clock": 1e17, "boot_time": BOOT}, True),
        ([f"Feb 31 99:04:05 gpu kernel: {XID}"], {"clock": CLOCK, "boot_time": BOOT}, True),
    ],
)  # fmt: skip
def test_what_an_earlier_boot_said_is_not_now(lines: list[str], host: dict[str, Any], now: bool) -> None:
    assert (OFF in {found.id for found in troubles(kernel(*lines), **host)}) == now


def test_an_xid_13_says_what_the_program_did_and_blames_the_card_only_for_the_same_place() -> None:
    warp = "NVRM: Xid (PCI:0000:01:00): 13, pid=4, name=x, Graphics SM Warp Exception on (GPC {}, TPC 1, SM 0): {}"
    (once,) = troubles(kernel(f"[ 1.5] {warp.format(1, 'Misaligned Address')}"))
    assert once.summary == "Xid 13: Graphics engine exception, misaligned address."
    again = kernel(*(f"[{at}.5] {warp.format(1, 'Out Of Range Address')}" for at in (1, 900)))
    (twice,) = troubles(again)
    assert (twice.severity, twice.cause) == ("fail", "xid_13_repeats")
    assert twice.summary == (
        "Xid 13: Graphics engine exception, out of range address (the same place on the chip again: the card)."
    )
