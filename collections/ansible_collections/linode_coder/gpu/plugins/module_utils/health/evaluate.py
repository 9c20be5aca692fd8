# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what was collected on a host to findings. A text that is missing makes its checks unknown, never failed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..core.docker_time import parse_docker_time
from ..core.finding import Finding, worst
from ..engine.phases import progress_of
from ..engine.vllm_metrics import gauges
from .collected import Look, number, read, section
from .engine import check_engine, flat_since
from .gpu import best_links, check_gpus, history, sample
from .nvidia_smi import gpu_facts
from .vm import check_vm, rebooted


@dataclass(frozen=True)
class Health:
    findings: list[Finding]
    activity: dict[str, Any]
    facts: dict[str, Any]

    @property
    def severity(self) -> str:
        return worst(self.findings)


def evaluate(
    texts: dict[str, str], expected: dict[str, Any] | None = None, previous: dict[str, Any] | None = None
) -> Health:
    """Findings of one look.

    :param texts: by file name, see ``health_subject.FILES``; any of them may be missing.
    :param expected: what the session should have; see ``health_subject.Look``.
    :param previous: ``facts`` of an earlier look, for what only two looks can show.
    """
    look = read(texts, expected, previous)
    started = parse_docker_time(section(look.container, "State", "StartedAt"))
    if started is not None:
        look.host["container_started"] = started
    findings = [*check_vm(look), *check_gpus(look), *check_engine(look)]
    return Health(findings, _activity(look), _facts(look))


def _activity(look: Look) -> dict[str, Any]:
    """The engine's use without the token that we asked for."""
    measured = section(look.host, "engine", "activity")
    return measured if isinstance(measured, dict) else look.activity


def _facts(look: Look) -> dict[str, Any]:
    smi, state = look.smi, section(look.container, "State")
    state = state if isinstance(state, dict) else {}
    hung = look.probe("nvidia_smi").get("timed_out") is True
    gpus = list(smi.gpus) if smi else []
    progress = progress_of(look.log)
    samples = history(look.previous, look.now)
    if look.now is not None and gpus:
        samples = [*samples, {"time": look.now, "gpus": {gpu.subject: sample(gpu) for gpu in gpus}}]
    return {
        "boot_id": look.host.get("boot_id"),
        "boot_time": look.boot_time,
        "rebooted": rebooted(look),
        "clock": look.now,
        "hangs": 1 + int(number(look.before.get("hangs")) or 0) if hung else 0,
        "driver": smi.driver if smi else None,
        "cuda": smi.cuda if smi else None,
        "smi_state": smi.state if smi else None,
        "gpus": [gpu_facts(gpu) for gpu in gpus],
        "pci_gpus": look.host.get("pci_gpus"),
        "container": {
            "status": state.get("Status"),
            "exit_code": state.get("ExitCode"),
            "oom_killed": state.get("OOMKilled"),
            "started_at": parse_docker_time(state.get("StartedAt")),
            "restarts": section(look.container, "RestartCount"),
            "image": section(look.container, "Config", "Image"),
        },
        "engine": {
            "phase": progress.phase,
            "progress": progress.fraction,
            "causes": [
                {
                    "slug": found.slug,
                    "sentence": found.sentence,
                    "parameters": found.parameters,
                    "healable": found.healable,
                    "restart_helps": found.restart_helps,
                    "fetch": found.fetch,
                }
                for found in look.diagnoses
            ],
            "failed_start": None if look.failed_start is None else asdict(look.failed_start),
            **gauges(look.texts.get("metrics.txt") or ""),
        },
        "faults": [
            {
                "kind": fault.kind,
                "code": fault.code,
                "bus_id": fault.bus_id,
                "uuid": fault.uuid,
                "process": fault.process,
                "pid": fault.pid,
                "count": fault.count,
                "time": look.epoch(fault.time),
                "message": fault.message[:300],
            }
            for fault in look.faults[-50:]
        ],
        "disk": look.host.get("disk"),
        "memory": look.host.get("memory"),
        "activity": look.activity,
        "flat_since": flat_since(look),
        "history": samples[-40:],
        "pcie": best_links(look) or look.previous.get("pcie"),
    }
