# SPDX-License-Identifier: GPL-3.0-or-later
"""What the sandbox can break and which findings that makes: for the test that does it, and for the page that says so.

A finding is (check, severity, subject, first rung). ``gpu:N`` is the Nth card of the plan.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.health.catalogue import CHECKS, Check

Found = tuple[str, str, str, str | None]
Fault = dict[str, Any]

_CUDA = "torch.AcceleratorError: CUDA error: an illegal memory access was encountered"

# Faults of a host that one look sees at once. What is armed together must not hide one another.
BATCHES: dict[str, list[tuple[Fault, list[Found]]]] = {
    "broken cards": [
        (
            {"kind": "gpu_lost", "gpu": "0"},
            [
                ("gpu.lost", "fail", "gpu:0", "reboot"),
                ("gpu.xid", "fail", "gpu:0", "reboot"),
                # Nothing else is known of a card that is gone.
                *((name, "unknown", "gpu:0", None) for name in ("gpu.remap", "gpu.pcie")),
            ],
        ),
        (
            {"kind": "gpu_requires_reset", "gpu": "1"},
            [("gpu.recovery", "fail", "gpu:1", "reset_gpu"), ("gpu.remap", "pass", "gpu:1", None)],
        ),
        ({"kind": "ecc_uncorrectable", "gpu": "2"}, [("gpu.ecc.unc", "fail", "gpu:2", "reboot")]),
        ({"kind": "readings_fail", "gpu": "2"}, [("gpu.readings", "fail", "gpu:2", "reset_gpu")]),
        ({"kind": "mig_on", "gpu": "1"}, [("gpu.mig", "fail", "gpu:1", "alert")]),
        ({"kind": "row_remap_failure", "gpu": "3"}, [("gpu.remap", "fail", "gpu:3", "recreate_vm")]),
        ({"kind": "disk_full"}, [("vm.disk", "fail", "vm", "alert")]),
        ({"kind": "oom_kill"}, [("vm.mem", "fail", "vm", "change_parameters")]),
        ({"kind": "clock_skew"}, [("vm.clock", "fail", "vm", "alert")]),
    ],
    "worn cards": [
        ({"kind": "row_remap_pending", "gpu": "0"}, [("gpu.remap", "warn", "gpu:0", "reboot_when_idle")]),
        ({"kind": "thermal", "gpu": "1"}, [("gpu.temp", "warn", "gpu:1", None)]),
        ({"kind": "throttle", "gpu": "2"}, [("gpu.throttle", "warn", "gpu:2", None)]),
        ({"kind": "pages_retired", "gpu": "3"}, [("gpu.retired", "fail", "gpu:3", "recreate_vm")]),
        ({"kind": "persistence_off"}, [("gpu.persist", "fail", "gpu:0", "restart_services")]),
        ({"kind": "gpu_foreign"}, [("gpu.foreign", "warn", "vm", None)]),
        ({"kind": "xid", "gpu": "1", "code": "94"}, [("gpu.ecc.unc", "warn", "gpu:1", "restart_container")]),
        ({"kind": "xid", "gpu": "2", "code": "13"}, [("gpu.xid", "warn", "gpu:2", "restart_container")]),
        (
            {"kind": "xid", "gpu": "3", "code": "64"},
            [("gpu.xid", "fail", "gpu:3", "recreate_vm"), ("gpu.remap", "fail", "gpu:3", "recreate_vm")],
        ),
    ],
    "a little worn": [
        ({"kind": "gpu_requires_reset", "gpu": "0", "text": "Drain P2P"}, [("gpu.recovery", "warn", "gpu:0", "alert")]),
        ({"kind": "pages_retired", "gpu": "1", "code": "20"}, [("gpu.retired", "warn", "gpu:1", None)]),
        ({"kind": "gpu_added"}, [("gpu.count", "warn", "vm", None)]),
        ({"kind": "ecc_corrected", "gpu": "2"}, [("gpu.ecc.cor", "warn", "gpu:2", "recreate_when_idle")]),
        ({"kind": "readings_fail", "gpu": "3", "code": "1"}, [("gpu.readings", "warn", "gpu:3", None)]),
        ({"kind": "mig_on", "gpu": "0", "code": "2"}, [("gpu.mig", "warn", "gpu:0", None)]),
        ({"kind": "throttle", "gpu": "1", "text": "sw_thermal_slowdown"}, [("gpu.throttle", "warn", "gpu:1", None)]),
        ({"kind": "disk_full", "code": "85"}, [("vm.disk", "warn", "vm", None)]),
        ({"kind": "oom_kill", "text": "node"}, [("vm.mem", "warn", "vm", None)]),
        ({"kind": "clock_skew", "seconds": "5"}, [("vm.clock", "warn", "vm", None)]),
        ({"kind": "docker_slow", "delay": 6}, [("ctr.engine", "warn", "vm", None)]),
        ({"kind": "engine_slow", "delay": 12}, [("vllm.gen", "warn", "engine", None)]),
        ({"kind": "engine_other_model"}, [("vllm.model", "fail", "engine", "recreate_container")]),
        ({"kind": "engine_complains"}, [("ctr.oom", "warn", "engine", None)]),
    ],
    "wrong cards": [
        ({"kind": "wrong_card", "gpu": "0"}, [("gpu.model", "fail", "gpu:0", "alert")]),
        ({"kind": "sram_threshold", "gpu": "1"}, [("gpu.ecc.sram", "fail", "gpu:1", "recreate_vm")]),
        ({"kind": "pcie_degraded", "gpu": "2"}, [("gpu.pcie", "fail", "gpu:2", "alert")]),
        ({"kind": "pcie_slow", "gpu": "1"}, [("gpu.pcie", "warn", "gpu:1", None)]),
        ({"kind": "fewer_gpus", "gpu": "3"}, [("gpu.count", "fail", "vm", "power_cycle")]),
        ({"kind": "container_gpu_lost"}, [("ctr.gpu", "fail", "container", "recreate_container")]),
        ({"kind": "engine_complains", "text": _CUDA}, [("ctr.cuda", "warn", "engine", None)]),
    ],
    "no driver": [
        (
            {"kind": "driver_not_loaded"},
            [
                ("drv.module", "fail", "vm", "reload_driver"),
                ("drv.mismatch", "unknown", "vm", None),
                ("gpu.count", "unknown", "vm", None),
                ("gpu.lost", "unknown", "vm", None),
            ],
        )
    ],
    "nouveau": [
        (
            {"kind": "driver_not_loaded", "text": "NVRM: GPU 0000:00:02.0 is already bound to nouveau."},
            [("drv.module", "fail", "vm", "reboot"), ("gpu.count", "unknown", "vm", None)],
        )
    ],
    "mismatch": [({"kind": "version_mismatch"}, [("drv.mismatch", "fail", "vm", "reboot")])],
    "no devices": [
        ({"kind": "no_devices"}, [("gpu.count", "fail", "vm", "reboot"), ("drv.module", "pass", "vm", None)])
    ],
    "programs fail": [
        (
            {"kind": "program_fails", "text": "df,dmesg,journalctl,nvidia-smi,docker"},
            [
                ("vm.disk", "unknown", "vm", None),
                ("vm.mem", "unknown", "vm", None),
                ("drv.module", "unknown", "vm", None),
                ("gpu.xid", "unknown", "vm", None),
                ("ctr.engine", "unknown", "vm", None),
                ("ctr.state", "unknown", "container", None),
            ],
        )
    ],
    "no Docker": [
        (
            {"kind": "docker_down"},
            [
                ("ctr.engine", "fail", "vm", "restart_services"),
                ("ctr.state", "unknown", "container", None),
                ("ctr.gpu", "unknown", "container", None),
                ("ctr.oom", "unknown", "engine", None),
                ("ctr.cuda", "unknown", "engine", None),
            ],
        )
    ],
    "hang": [
        (
            {"kind": "hang", "delay": 90},
            [
                ("gpu.hang", "warn", "vm", None),
                *(
                    (name, "unknown", "vm", None)
                    for name in CHECKS
                    if name.startswith(("drv.", "gpu.")) and name not in ("gpu.hang", "gpu.xid")
                ),
            ],
        )
    ],
    "another host key": [({"kind": "wrong_host_key"}, [("vm.ssh", "fail", "vm", "alert")])],
    "no SSH": [({"kind": "ssh_down"}, [("vm.ssh", "fail", "vm", "reboot")])],
}

# Faults of the engine that show when its container is started again; the last of them leaves it as it was.
STARTS: dict[str, tuple[Fault, list[Found]]] = {
    "slow": ({"kind": "engine_slow_start", "delay": 3600}, [("vllm.health", "warn", "engine", None)]),
    "restarting": (
        {"kind": "restart_late", "delay": 3600},
        [("ctr.state", "warn", "container", None), ("vllm.gen", "unknown", "engine", None)],
    ),
    "out of memory": (
        {"kind": "engine_start_fails", "cause": "oom_capture"},
        [
            ("ctr.oom", "fail", "engine", "change_parameters"),
            ("ctr.state", "fail", "container", "change_parameters"),
            ("vllm.health", "fail", "engine", "restart_container"),
            ("vllm.stuck", "unknown", "engine", None),
            ("vllm.model", "unknown", "engine", None),
        ],
    ),
    "broken": (
        {"kind": "engine_start_fails", "text": _CUDA},
        [("ctr.cuda", "fail", "engine", "restart_container")],
    ),
    "hung": ({"kind": "engine_hang"}, [("vllm.gen", "fail", "engine", "restart_container")]),
}

# What takes more than a fault, in the words of the page.
DEEDS: dict[str, list[Found]] = {
    "`thermal` for 10 minutes": [("gpu.temp", "fail", "gpu:1", "alert")],
    "`throttle` for 10 minutes": [("gpu.throttle", "fail", "gpu:2", "alert")],
    "`hang` twice": [("gpu.hang", "fail", "vm", "reboot")],
    "`engine_slow --delay 3600` and a request, for 2 minutes": [("vllm.stuck", "warn", "engine", None)],
    "`engine_slow --delay 3600` and a request, for 5 minutes": [("vllm.stuck", "fail", "engine", "restart_container")],
    "tags without the host key": [("vm.ssh", "unknown", "vm", None)],
    "a shutdown": [("vm.status", "fail", "vm", "reboot")],
    "`slow_boot` and a boot": [("vm.status", "warn", "vm", None)],
    "another boot": [("vm.boot", "warn", "vm", None)],
}

# A bundle without some of its parts, or of one part only.
BUNDLES: dict[str, list[Found]] = {
    "a bundle of `kernel.log` alone": [
        (name, "unknown", subject, None)
        for name, subject in (
            ("vm.clock", "vm"),
            ("vm.disk", "vm"),
            ("gpu.hang", "vm"),
            ("ctr.engine", "vm"),
            ("vllm.health", "engine"),
        )
    ],
    "a bundle without the boot id": [("vm.boot", "unknown", "vm", None)],
}

# Findings that nothing in the sandbox makes.
NOWHERE = {
    ("vm.status", "unknown"): "the sandbox knows the states that the API documents, and no other",
}


def all_found() -> dict[tuple[str, str], list[str]]:
    """For each check and severity what makes it, in the words of the page."""
    made: dict[tuple[str, str], list[str]] = {}
    rows = [(words(fault), found) for batch in BATCHES.values() for fault, found in batch]
    rows += [(words(fault), found) for fault, found in STARTS.values()]
    for how, found in [*rows, *DEEDS.items(), *BUNDLES.items()]:
        for name, severity, _subject, _rung in found:
            ways = made.setdefault((name, severity), [])
            if how not in ways:
                ways.append(how)
    return made


def words(fault: Fault) -> str:
    """As one gives it to `sandbox fault add`, without the card."""
    options = [
        f" --delay {value}" if name == "delay" else f" --set {name}={value if ' ' not in value else repr(value)}"
        for name, value in fault.items()
        if name not in ("kind", "gpu")
    ]
    return f"`{fault['kind']}{''.join(options)}`"


def severities(check: Check) -> list[str]:
    """Those that a check has, besides pass."""
    texts = {"warn": check.warns, "fail": check.fails, "unknown": check.unknowns}
    return [severity for severity, text in texts.items() if text != "never"]
