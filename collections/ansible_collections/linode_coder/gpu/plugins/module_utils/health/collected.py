# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one look at a host brought, read, and how a check turns it into a finding."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from ..core.bounded import newest
from ..core.docker_time import parse_docker_time
from ..engine.cause import Diagnosis
from ..engine.diagnosis import diagnose, explain
from ..engine.failed_start import FailedStart, failed_start
from ..engine.log_text import has_served
from ..engine.vllm_metrics import activity
from .kernel_log import KernelLine, OomKill, kernel_lines, of_this_boot, oom_kills
from .nvidia_smi import SmiReading, read_nvidia_smi
from .xid import GpuFault, gpu_faults

FILES = ("nvidia-smi.xml", "kernel.log", "engine.log", "metrics.txt", "container.json", "host.json", "models.json")
# Two looks that are further apart say nothing about the time between them: three passes of a watcher.
CONTINUED_S = 900.0
# What is older than this many characters is left out of an engine's log, and that many faults of a kernel's.
_LONGEST, _FAULTS = 1_000_000, 500
# As `docker logs --timestamps` begins its lines.
_STAMPED = re.compile(r"^(\S{20,35}) ", re.MULTILINE)


def section(data: Any, *keys: str) -> Any:
    """A value deep inside untrusted JSON; None where something else is in the way."""
    for key in keys:
        if not isinstance(data, dict):
            return None
        data = data.get(key)
    return data


def _table(value: Any) -> dict[str, Any]:
    """Empty where something else is."""
    return value if isinstance(value, dict) else {}


def number(value: Any) -> float | None:
    """A finite number and not a flag."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if abs(value) < 1e18 else None


def _json(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


@dataclass(frozen=True)
class Look:
    """One look at a host: the texts that were collected, and what they say.

    :param expected: what the session should have: gpus, card, model, start_budget, control_time, pcie.
    :param previous: the facts of an earlier look, or what ``look_memory`` kept of them.
    :param log: what the engine said since its process began; all that it said where the lines have no times.
    :param diagnoses: why it fails, or why the run before failed where the restart policy began this one.
    :param restarted: whether the run before had served: then this start is another try and not another failure.
    :param failed_start: how the newest start that ended did so, when it did before it served.
    """

    texts: dict[str, str]
    expected: dict[str, Any]
    previous: dict[str, Any]
    host: dict[str, Any] = field(default_factory=dict)
    smi: SmiReading | None = None
    kernel: list[KernelLine] | None = None
    faults: list[GpuFault] = field(default_factory=list)
    kills: list[OomKill] = field(default_factory=list)
    container: dict[str, Any] | None = None
    models: Any = None
    log: str = ""
    diagnoses: list[Diagnosis] = field(default_factory=list)
    restarted: bool = False
    failed_start: FailedStart | None = None
    activity: dict[str, Any] = field(default_factory=dict)

    def probe(self, name: str) -> dict[str, Any]:
        """How the collecting of one text went: rc, timed_out, stuck."""
        entry = section(self.host, "probes", name)
        return entry if isinstance(entry, dict) else {}

    @property
    def now(self) -> float | None:
        return number(self.host.get("clock"))

    @property
    def boot_time(self) -> float | None:
        return number(self.host.get("boot_time"))

    @property
    def before(self) -> dict[str, Any]:
        """The earlier look, where it was so short ago that this one goes on from it."""
        then = number(self.previous.get("clock"))
        if self.now is None or then is None:
            return self.previous
        return self.previous if 0 <= self.now - then <= CONTINUED_S else {}

    def epoch(self, time: float | None) -> float | None:
        """A log's time as seconds since the epoch; a time since boot needs the boot's."""
        if time is None or time > 1e8:
            return time
        return None if self.boot_time is None else self.boot_time + time


def _runs(log: str, container: Any) -> tuple[str, str]:
    """What earlier processes of the container said, and what the present one did, by the times of the lines.

    Docker keeps one log over all restarts, and an engine that was started again says nothing for a while.
    """
    started, stamped = parse_docker_time(section(container, "State", "StartedAt")), False
    for line in _STAMPED.finditer(log):
        said = parse_docker_time(line[1])
        stamped = stamped or said is not None
        if started is not None and said is not None and said >= started:
            return log[: line.start()], log[line.start() :]
    return (log, "") if started is not None and stamped else ("", log)


def _failed(before: str, log: str, container: Any, told: bool) -> FailedStart | None:
    """Of the present process where it has ended or says why it will (``told``), else of the one before it."""
    restarts = int(number(section(container, "RestartCount")) or 0)
    if section(container, "State", "Status") != "running" or told:
        return failed_start(log, before, restarts + 1)
    return failed_start(before, "", restarts)


def _containers(text: str) -> dict[str, Any] | None:
    """``docker inspect`` as a list, an object, or one object a line; an empty list is a container that is not there."""
    data = _json(text)
    if isinstance(data, list):
        data = data[0] if data else {}
    return data if isinstance(data, dict) else None


def state_of(container: Any) -> str | None:
    """Whether it runs, in Docker's word; None when that was not read."""
    status = section(container, "State", "Status")
    if isinstance(status, str):
        return status
    running = section(container, "State", "Running")
    return None if running is None else "running" if running is True else "exited"


def of_engine(kill: OomKill) -> bool:
    return "vllm" in kill.name.lower() or kill.name.startswith("python")


def _killed(kills: list[OomKill], since: float | None, boot_time: float | None) -> str | None:
    """What the kernel said when it killed a process of the engine for want of memory, since the engine was started."""
    for kill in reversed(kills):
        at = kill.time if kill.time is None or kill.time > 1e8 else None if boot_time is None else boot_time + kill.time
        if of_engine(kill) and (at is None or since is None or at >= since):
            return kill.message
    return None


def read(texts: dict[str, str], expected: dict[str, Any] | None, previous: dict[str, Any] | None) -> Look:
    """Read everything that was collected; what is missing stays None."""
    host = _table(_json(texts.get("host.json")))
    known, remembered = _table(host.get("expected")), _table(host.get("previous"))
    smi = None
    if "nvidia-smi.xml" in texts:
        code = number(section(host, "probes", "nvidia_smi", "rc"))
        smi = read_nvidia_smi(texts["nvidia-smi.xml"], None if code is None else int(code))
    kernel = None
    if texts.get("kernel.log") is not None:
        booted, now = number(host.get("boot_time")), number(host.get("clock"))
        kernel = of_this_boot(list(kernel_lines(texts["kernel.log"])), host.get("boot_id"), booted, now)
    container = _containers(texts["container.json"]) if "container.json" in texts else None
    kills = oom_kills(kernel or [])
    before, log = _runs(newest(texts.get("engine.log") or "", _LONGEST), container)
    diagnoses = diagnose(log)
    failed = _failed(before, log, container, bool(diagnoses))
    again = not diagnoses and bool(number(section(container, "RestartCount"))) and not has_served(log)
    if again:
        diagnoses = diagnose(before)
    state = section(container, "State")
    status, since = state_of(container), parse_docker_time(section(state, "StartedAt"))
    if status != "running" and (status or diagnoses):
        diagnoses = explain(diagnoses, state, _killed(kills, since, number(host.get("boot_time"))))
    return Look(
        texts=texts,
        expected={**known, **{key: value for key, value in (expected or {}).items() if value is not None}},
        previous=previous or remembered,
        host=host,
        smi=smi,
        kernel=kernel,
        faults=gpu_faults(kernel or [])[-_FAULTS:],
        kills=kills,
        container=container,
        models=_json(texts.get("models.json")),
        log=log,
        diagnoses=diagnoses,
        restarted=again and has_served(before),
        failed_start=failed,
        activity=activity(texts.get("metrics.txt") or ""),
    )
