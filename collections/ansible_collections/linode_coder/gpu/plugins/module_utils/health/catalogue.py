# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks: what each one looks at, when it warns and fails, and which rungs its failure asks for.

A row carries its thresholds as numbers with a unit. The code reads them with ``limit``, the page and the other tables
with ``Check.said``, and ``tests/unit/health/test_thresholds.py`` tries each from both of its sides: nothing else knows
them. A finding may carry a shorter ladder than its check, where the cause says more than the check alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from ..core.finding import Finding
from ..engine.start_limits import LOOP_RESTARTS, START_BUDGET_S


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


class Limit(NamedTuple):
    """A threshold. Units are s, %, and whatever is counted; a count without a unit is what the text says it is."""

    value: float
    unit: str = ""

    def __str__(self) -> str:
        """As the page says it, and different for every value: no rounding hides a change."""
        if self.unit == "s":
            for size, one, many in ((3600, "an hour", "hours"), (60, "a minute", "minutes")):
                if self.value % size == 0 and self.value:
                    return one if self.value == size else f"{self.value / size:g} {many}"
        return f"{self.value:,.10g} {self.unit}".rstrip().replace(",", " ")


@dataclass(frozen=True)
class Check:
    """One row. ``how``, ``passes``, ``warns``, ``fails`` and ``unknowns`` name its limits in braces: see ``said``."""

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
    limits: dict[str, Limit] = field(default_factory=dict)

    def said(self, text: str) -> str:
        """One of its texts with the limits in it."""
        return text.format_map(self.limits)


# What a state has to last for to be a failure: most of the samples of a while, of which there have to be some, and
# over some time.
_LASTING = {
    "share": Limit(60, "%"),
    "window": Limit(660, "s"),
    "samples": Limit(3, "looks"),
    "span": Limit(480, "s"),
}

_ALL = (
    Check(
        "vm.status",
        "State of the VM at the provider",
        "GET instances; its events where it is on its way",
        "running",
        "on its way (booting, rebooting, ...) for less than {starting}, or being deleted",
        "offline, or on its way for longer",
        "a state that is not known here",
        ("reboot", "recreate_vm", "alert"),
        "Boot the VM: a powered-off VM is still billed.",
        LOOK_AGAIN,
        limits={"starting": Limit(600, "s")},
    ),
    Check(
        "vm.ssh",
        "Reachability over SSH",
        "one connection, {answer}",
        "answers",
        "never",
        "does not answer while the provider says running, or shows another host key",
        "nobody tried, or the look itself failed",
        ("reboot", "power_cycle", "recreate_vm"),
        "Check your own network and the session's firewall first; then reboot the VM.",
        THREE_MISSES,
        limits={"answer": Limit(10, "s")},
    ),
    Check(
        "vm.boot",
        "Unexpected reboot",
        "boot id against the last one seen",
        "the same boot",
        "another boot than at the last look, for {told}",
        "never",
        "the boot id was not read",
        (),
        "Check that the engine came back after the reboot.",
        limits={"told": Limit(3600, "s")},
    ),
    Check(
        "vm.disk",
        "Space and inodes of the root file system",
        "statvfs, mount options, the kernel's log",
        "less than {filling} used",
        "{filling} to {full} used",
        "{full} used or more, read-only, or made so by the kernel after an error",
        "df did not answer",
        ("alert",),
        "Remove old images and logs; keep the model that is in use.",
        limits={"filling": Limit(80, "%"), "full": Limit(92, "%")},
    ),
    Check(
        "vm.clock",
        "Clock of the VM against the control node's",
        "time of day; the VM may be up to {transfer} ahead, which is the look's own time",
        "less than {off} apart",
        "{off} to {wrong} apart",
        "more than {wrong} apart",
        "there is nothing to compare it with",
        ("alert",),
        "Let the VM synchronise its clock: leases depend on it.",
        limits={"off": Limit(1, "s"), "wrong": Limit(10, "s"), "transfer": Limit(30, "s")},
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
        "Reboot the VM once; if it happens again, replace the VM.",
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
        "nvidia-smi, {answer}, state of its processes",
        "answers in time",
        "did not answer this time",
        "did not answer in {misses} running, or sits in the kernel (state D)",
        "nvidia-smi was not run",
        ("reboot", "power_cycle", "recreate_vm"),
        "Reboot the VM: a GPU that does not answer is rarely reset from inside.",
        limits={"answer": Limit(25, "s"), "misses": Limit(2, "looks")},
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
        "Reboot the VM and look at the remapped rows; replace it if it happens again.",
        LOOK_AGAIN,
    ),
    Check(
        "gpu.ecc.cor",
        "Corrected memory errors since boot",
        "volatile ECC counters",
        "fewer than {many}, or ECC is off",
        "{many} or more; from {storm} on the VM is replaced at an idle moment",
        "never",
        "the counters were not read",
        ("recreate_when_idle",),
        "Each was corrected, but so many come from memory that wears out: watch the count, tell the provider, and replace "
        "the VM at a moment when it is idle if it goes on rising.",
        limits={"many": Limit(1000, "errors"), "storm": Limit(100000, "errors")},
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
        "fewer than {some} for double-bit errors, nothing pending",
        "{some} or more, or pending",
        "{many} or more",
        "the pages were not read",
        ("recreate_vm",),
        "Pending: reboot when idle. Too many: replace the VM.",
        LOOK_AGAIN,
        limits={"some": Limit(15, "pages"), "many": Limit(60, "pages")},
    ),
    Check(
        "gpu.readings",
        "Readings that a sick card does not give",
        "ERR! and Unknown Error in state, load, temperature, fan, power, clock and memory",
        "all are there, or the card has none of that kind",
        "one failed, or the InfoROM is corrupt",
        "{sick} or more failed at once",
        "no card was read",
        ("reset_gpu", "reboot", "alert"),
        "Reset the GPU or reboot the VM; replace the VM if it happens again.",
        Confirm(3, 60),
        limits={"sick": Limit(2, "readings")},
    ),
    Check(
        "gpu.mig",
        "Division of the card (MIG)",
        "mig_mode, mig_devices",
        "off, or the card has none",
        "on, or about to be: the engine gets one part of the card at most",
        "on, and no part is made: nothing can compute on the card",
        "the mode was not read",
        ("alert",),
        "Stop the engine, switch it off (nvidia-smi -mig 0) and reboot the VM: the plan's fit counts on whole cards.",
    ),
    Check(
        "gpu.temp",
        "Thermal margin",
        "temperature, its limits, thermal slowdown",
        "more than {warm} left",
        "no more than {warm} left, or {hot} for a moment",
        "{hot} left in {share} of the samples of {window}, {samples} over {span} at least",
        "neither margin nor limits were read",
        ("alert",),
        "Cooling is the provider's: tell them, and replace the VM if it stays slow.",
        limits={"warm": Limit(5, "degrees"), "hot": Limit(0, "degrees"), **_LASTING},
    ),
    Check(
        "gpu.throttle",
        "Slowed down by the hardware, or by the driver for heat",
        "clock event reasons",
        "no hardware slowdown, no power brake, no thermal slowdown of the driver",
        "slowed down at this moment",
        "in {share} of the samples of {window}, {samples} over {span} at least; by the driver, below {clock} of the highest clock",
        "the reasons were not read",
        ("alert", "recreate_vm"),
        "Tell the provider; replace the VM if it stays slow.",
        limits={"clock": Limit(75, "%"), **_LASTING},
    ),
    Check(
        "gpu.pcie",
        "PCIe link under load",
        "link generation and width against the best that the card has shown, and against what it is made for",
        "as good as it was, or idle, or seen for the first time with no less than {lanes}",
        "a lower generation, or generation {first} of a card that is made for more",
        "a smaller width, or fewer than {lanes} of a card that is made for more",
        "the link was not read",
        ("alert", "recreate_vm"),
        "Replace the VM if transfers are slow.",
        Confirm(3, 60),
        limits={"lanes": Limit(4, "lanes"), "first": Limit(1)},
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
        "journalctl -k, this boot; reports closer than {burst} are one",
        "none within {told}, and fewer than {corrected} of PCIe",
        "an application's fault, or one without harm",
        "as the code's entry in the Xid table says, or a report without a code; {repeats} of the same hang or place ask for more",
        "the kernel log was not read",
        ("restart_container", "reboot", "recreate_vm"),
        "See the code in the Xid table.",
        LOOK_AGAIN,
        limits={
            "told": Limit(86400, "s"),
            "burst": Limit(180, "s"),
            "repeats": Limit(2, "reports"),
            "corrected": Limit(100, "corrected errors"),
        },
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
        "docker version, {answer}",
        "answers",
        "takes more than {slow}",
        "does not answer",
        "docker could not be run",
        ("restart_services", "reboot"),
        "Restart docker.service.",
        limits={"answer": Limit(10, "s"), "slow": Limit(5, "s")},
    ),
    Check(
        "ctr.state",
        "The engine's container",
        "docker inspect (its state, error and exit code), the log's tail",
        "running",
        "restarting",
        "exited, dead, missing, or younger than {young} and restarted {loop} or more, {deaths} where it had served",
        "the container was not inspected",
        ("restart_container", "recreate_container", "change_parameters", "alert"),
        "Restart the container; what the log says about the cause comes first.",
        limits={"loop": Limit(LOOP_RESTARTS, "times"), "deaths": Limit(3, "times"), "young": Limit(600, "s")},
    ),
    Check(
        "ctr.gpu",
        "GPUs inside the container",
        "docker exec nvidia-smi -L, {answer}",
        "as many as on the VM",
        "never",
        "none or fewer, while the VM sees them",
        "the VM's or the container's GPUs were not read",
        ("recreate_container", "regenerate_cdi", "reboot"),
        "Recreate the container: its access to the devices was rewritten under it.",
        LOOK_AGAIN,
        limits={"answer": Limit(15, "s")},
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
        "GET /health, {answer}",
        "200",
        "starting within its time, which is {start} unless the session says another",
        "another answer or none, not ready when its start should be over, or silent for {quiet} while it connects the GPUs",
        "nobody asked it (in a bundle)",
        ("restart_container", "recreate_container", "change_parameters", "reboot"),
        "Restart the container.",
        Confirm(3, 60),
        limits={"answer": Limit(5, "s"), "start": Limit(START_BUDGET_S, "s"), "quiet": Limit(300, "s")},
    ),
    Check(
        "vllm.gen",
        "A token end to end",
        "POST /v1/completions, {answer}",
        "a token came",
        "it took {slow} or more",
        "no token although /health is fine",
        "the engine is not there, or refused the question",
        ("restart_container", "recreate_container", "reboot"),
        "Restart the container.",
        limits={"answer": Limit(30, "s"), "slow": Limit(10, "s")},
    ),
    Check(
        "vllm.stuck",
        "Requests without progress",
        "metrics of several looks, else what the engine's log counts",
        "tokens flow, or nothing runs",
        "no token for {slow} while requests run",
        "no token for {stuck} while requests run",
        "neither metrics nor log count them",
        ("restart_container", "reboot"),
        "Restart the container; the requests that hang are lost.",
        LOOK_AGAIN,
        limits={"slow": Limit(120, "s"), "stuck": Limit(300, "s")},
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
        "Recreate the container with the session's model.",
    ),
)

CHECKS: dict[str, Check] = {check.id: check for check in _ALL}


def limit(name: str, which: str) -> float:
    """A threshold of a check, in the unit of its row."""
    return CHECKS[name].limits[which].value


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
