# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks: what each one looks at, when it warns and fails, and which rungs its failure asks for.

A finding may carry a shorter ladder than its check, where the cause says more than the check alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..core.finding import Finding


class Confirm(NamedTuple):
    """How often, over how many seconds at least, healing has to see a failure before it touches anything.

    A state that has to last before it is a failure at all (minutes without a token, without a margin, on its way) is
    measured by the check itself, from what earlier looks left on the VM and from the provider's events.
    """

    probes: int
    seconds: int


TWICE = Confirm(2, 30)
# A text that explains itself needs only to be still there when somebody looks again.
LOOK_AGAIN = Confirm(2, 0)
THREE_MISSES = Confirm(3, 180)


@dataclass(frozen=True)
class Check:
    id: str
    what: str
    how: str
    passes: str
    warns: str
    fails: str
    unknowns: str
    ladder: tuple[str, ...] = ()
    remedy: str = ""
    confirm: Confirm = TWICE


_ALL = (
    Check(
        "vm.status",
        "State of the VM at the provider",
        "GET instances; its events where it is on its way",
        "running",
        "on its way (booting, rebooting, ...) for less than 10 minutes, or being deleted",
        "offline, or on its way for longer",
        "a state that is not known here",
        ("reboot", "recreate_vm", "alert"),
        "Boot the VM; a powered-off VM is billed all the same.",
        LOOK_AGAIN,
    ),
    Check(
        "vm.ssh",
        "Reachability over SSH",
        "one connection, 10 s",
        "answers",
        "never",
        "does not answer while the provider says running, or shows another host key",
        "nobody tried, or the look itself failed",
        ("reboot", "power_cycle", "recreate_vm"),
        "Check your own network and the session's firewall first; then reboot the VM.",
        THREE_MISSES,
    ),
    Check(
        "vm.boot",
        "Unexpected reboot",
        "boot id against the last one seen",
        "the same boot",
        "another boot than at the last look, for an hour",
        "never",
        "the boot id was not read",
        (),
        "Check that the engine came back after the reboot.",
    ),
    Check(
        "vm.disk",
        "Space and inodes of the root file system",
        "statvfs, mount options",
        "less than 80 % used",
        "80 to 92 % used",
        "92 % or more used, or read-only",
        "df did not answer",
        ("alert",),
        "Remove old images and logs; keep the model that is in use.",
    ),
    Check(
        "vm.clock",
        "Clock of the VM against the control node's",
        "time of day",
        "less than 1 s apart",
        "1 to 10 s apart",
        "more than 10 s apart",
        "there is nothing to compare it with",
        ("alert",),
        "Let the VM synchronise its clock: leases depend on it.",
    ),
    Check(
        "vm.mem",
        "Memory and the kernel's OOM killer",
        "kernel log, OOMKilled of the container",
        "nothing was killed",
        "another process was killed",
        "the engine was killed",
        "the kernel log was not read",
        ("change_parameters", "alert"),
        "Give the engine a shorter context or less CPU swap space, or take a plan with more memory.",
    ),
    Check(
        "drv.module",
        "Kernel module of the driver",
        "exit code and text of nvidia-smi",
        "answers",
        "never",
        "cannot communicate with the driver",
        "nvidia-smi did not answer, or failed for another reason",
        ("reload_driver", "reboot", "recreate_vm"),
        "Load the module, or reboot into the kernel that it was built for.",
        LOOK_AGAIN,
    ),
    Check(
        "drv.mismatch",
        "Driver libraries against the loaded module",
        "text of nvidia-smi, kernel log",
        "equal",
        "never",
        "different versions",
        "nvidia-smi did not answer, or no driver does",
        ("reboot", "recreate_vm"),
        "Reboot: the libraries were upgraded under a loaded module. Hold the driver packages to prevent it.",
        LOOK_AGAIN,
    ),
    Check(
        "gpu.count",
        "Number of GPUs against the plan",
        "nvidia-smi, PCI devices",
        "as many as the plan has",
        "more than the plan has",
        "fewer",
        "nvidia-smi shows no card because it failed",
        ("reboot", "power_cycle", "recreate_vm"),
        "Reboot the VM; when the card stays away, power-cycle it, then replace it.",
    ),
    Check(
        "gpu.model",
        "The plan's card",
        "product name",
        "the plan's card",
        "never",
        "another card",
        "no card, or no name of it, was read",
        ("alert",),
        "Replace the VM if it is new, and tell the provider.",
    ),
    Check(
        "gpu.lost",
        "GPU fallen off the bus",
        "texts of nvidia-smi, Xid 79",
        "no sign of it",
        "never",
        "any sign of it",
        "no card was read",
        ("reboot", "recreate_vm"),
        "Reboot the VM once; when it comes again, replace the VM.",
        LOOK_AGAIN,
    ),
    Check(
        "gpu.recovery",
        "Recovery action that the driver asks for",
        "gpu_recovery_action, Xid 154",
        "none",
        "drain peer-to-peer traffic",
        "reset, reboot, or a word that is not known",
        "it was not read",
        ("reset_gpu", "reboot", "recreate_vm"),
        "Stop the engine and do what the driver asks for.",
        LOOK_AGAIN,
    ),
    Check(
        "gpu.hang",
        "nvidia-smi answers at all",
        "nvidia-smi with a time limit, state of its processes",
        "answers in time",
        "did not answer this time",
        "did not answer in two looks running, or sits in the kernel (state D)",
        "nvidia-smi was not run",
        ("reboot", "power_cycle", "recreate_vm"),
        "Reboot the VM: a GPU that does not answer is rarely reset from inside.",
    ),
    Check(
        "gpu.ecc.unc",
        "Uncorrectable memory errors since boot",
        "volatile ECC counters, Xid 48, 94, 95, 140",
        "none, or ECC is off",
        "contained (Xid 94)",
        "any other",
        "the counters were not read",
        ("restart_container", "reboot", "recreate_vm"),
        "Reboot the VM and look at the remapped rows; replace it when it comes again.",
        LOOK_AGAIN,
    ),
    Check(
        "gpu.ecc.sram",
        "SRAM error threshold",
        "sram_threshold_exceeded",
        "not exceeded",
        "never",
        "exceeded",
        "it was not read",
        ("recreate_vm",),
        "Replace the VM: the card is due for replacement.",
        LOOK_AGAIN,
    ),
    Check(
        "gpu.remap",
        "Row remapping (Ampere and later)",
        "remapped_rows, Xid 63 and 64",
        "nothing pending, no failure",
        "pending",
        "failed",
        "the rows were not read",
        ("recreate_vm",),
        "Pending: reboot when idle. Failed: replace the VM, the card is due for replacement.",
        LOOK_AGAIN,
    ),
    Check(
        "gpu.retired",
        "Page retirement (before Ampere)",
        "retired_pages",
        "fewer than 15 pages for double-bit errors, nothing pending",
        "15 to 59 pages, or pending",
        "60 pages or more",
        "the pages were not read",
        ("recreate_vm",),
        "Pending: reboot when idle. 60 or more: replace the VM.",
        LOOK_AGAIN,
    ),
    Check(
        "gpu.temp",
        "Thermal margin",
        "temperature, its limits, thermal slowdown",
        "more than 5 degrees left",
        "0 to 5 degrees left, or no margin for a moment",
        "no margin in 10 minutes of samples",
        "neither margin nor limits were read",
        ("alert",),
        "Cooling is the provider's: tell them, and replace the VM if it stays slow.",
    ),
    Check(
        "gpu.throttle",
        "Slowed down by the hardware",
        "clock event reasons",
        "no hardware slowdown or power brake",
        "slowed down at this moment",
        "in 60 % of the samples of 10 minutes",
        "the reasons were not read",
        ("alert", "recreate_vm"),
        "Tell the provider; replace the VM if it stays slow.",
    ),
    Check(
        "gpu.pcie",
        "PCIe link under load",
        "link generation and width against the best that the card has shown",
        "as good as it was, or idle, or seen for the first time",
        "a lower generation",
        "a smaller width",
        "the link was not read",
        ("alert", "recreate_vm"),
        "Replace the VM if transfers are slow.",
        Confirm(3, 60),
    ),
    Check(
        "gpu.persist",
        "Persistence mode",
        "persistence_mode",
        "enabled",
        "never",
        "disabled",
        "it was not read",
        ("restart_services",),
        "Start nvidia-persistenced; without it readings of an idle GPU mislead.",
    ),
    Check(
        "gpu.xid",
        "Faults in the kernel log",
        "journalctl -k since the last look",
        "none",
        "an application's fault, or one without harm",
        "as the code's entry in the Xid table says",
        "the kernel log was not read",
        ("restart_container", "reboot", "recreate_vm"),
        "See the code in the Xid table.",
        LOOK_AGAIN,
    ),
    Check(
        "gpu.foreign",
        "Other users of the GPU",
        "processes that nvidia-smi shows",
        "only the engine",
        "a process that is not the engine's",
        "never",
        "no card was read",
        ("alert",),
        "Stop what else uses the GPU.",
    ),
    Check(
        "ctr.engine",
        "Docker Engine",
        "docker version, 10 s",
        "answers",
        "slow",
        "does not answer",
        "docker could not be run",
        ("restart_services", "reboot"),
        "Restart docker.service.",
    ),
    Check(
        "ctr.state",
        "The engine's container",
        "docker inspect (its state, error and exit code), the log's tail",
        "running",
        "restarting",
        "exited, dead, missing, or restarting again and again",
        "the container was not inspected",
        ("restart_container", "recreate_container", "change_parameters", "alert"),
        "Restart the container; what the log says about the cause comes first.",
    ),
    Check(
        "ctr.gpu",
        "GPUs inside the container",
        "docker exec nvidia-smi -L, 15 s",
        "as many as on the VM",
        "never",
        "none or fewer, while the VM sees them",
        "the VM's or the container's GPUs were not read",
        ("recreate_container", "regenerate_cdi", "reboot"),
        "Create the container anew: its access to the devices was rewritten under it.",
        LOOK_AGAIN,
    ),
    Check(
        "ctr.oom",
        "GPU memory exhausted",
        "the engine's log",
        "no",
        "in a request, and the engine lives",
        "at start, or the engine died of it",
        "the log was not read",
        ("change_parameters", "alert"),
        "Give the engine less memory, a shorter context or an fp8 cache, or take a larger plan.",
        LOOK_AGAIN,
    ),
    Check(
        "ctr.cuda",
        "Sticky CUDA error",
        "the engine's log",
        "none",
        "one, and the engine lives",
        "the engine died of it",
        "the log was not read",
        ("restart_container", "recreate_container"),
        "Restart the container; a CUDA context does not recover by itself.",
        LOOK_AGAIN,
    ),
    Check(
        "vllm.health",
        "The engine's own health",
        "GET /health, 5 s",
        "200",
        "starting within its time",
        "another answer or none, not ready when its start should be over, or silent for 5 minutes while it connects the GPUs",
        "nobody asked it (in a bundle)",
        ("restart_container", "recreate_container", "change_parameters", "reboot"),
        "Restart the container.",
        Confirm(3, 60),
    ),
    Check(
        "vllm.gen",
        "A token end to end",
        "POST /v1/completions, 30 s",
        "a token came",
        "slow",
        "no token although /health is fine",
        "the engine is not there, or refused the question",
        ("restart_container", "recreate_container", "reboot"),
        "Restart the container.",
    ),
    Check(
        "vllm.stuck",
        "Requests without progress",
        "metrics of several looks, else what the engine's log counts",
        "tokens flow, or nothing runs",
        "no token for 2 minutes while requests run",
        "no token for 5 minutes while requests run",
        "neither metrics nor log count them",
        ("restart_container", "reboot"),
        "Restart the container; the requests that hang are lost.",
        LOOK_AGAIN,
    ),
    Check(
        "vllm.model",
        "The right model",
        "GET /v1/models",
        "the session's model",
        "never",
        "another model",
        "the engine did not name its model",
        ("recreate_container",),
        "Create the container anew with the session's model.",
    ),
)

CHECKS: dict[str, Check] = {check.id: check for check in _ALL}


def finding(
    name: str,
    severity: str,
    subject: str,
    summary: str,
    evidence: str = "",
    *,
    cause: str | None = None,
    ladder: tuple[str, ...] | None = None,
    remedy: str | None = None,
) -> Finding:
    """A finding of a check; what it does not say comes from the catalogue. Only a failure has the check's ladder."""
    check = CHECKS[name]
    rungs = ladder if ladder is not None else check.ladder if severity == "fail" else ()
    advice = remedy if remedy is not None else check.remedy if severity in ("warn", "fail") else ""
    return Finding(name, severity, subject, summary, evidence[:500], cause, rungs, advice)
