"""The phases of bringing a VM up to its first token: which task belongs to which, and how far each is.

A task belongs to a phase by the file that it stands in and by what it runs, never by its name. Images and weights are fetched in
the background of the VM, side by side with the driver: they end when a module says so, not when the next task comes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard

from ..terminal.phase_lines import Row, State, took

# In the order in which they begin; what each of them waits for.
AFTER: dict[str, tuple[str, ...]] = {
    "vm": (),
    "system": ("vm",),
    "driver": ("system",),
    "image": ("system",),
    "weights": ("system",),
    "engine": ("driver", "image", "weights"),
}
TITLES = {"vm": "VM"}
BACKGROUND = ("image", "weights")

_ROLES = {
    "session_host": "system",
    "warm_volume": "system",
    "dead_man": "system",
    "container_engine": "system",
    "gpu_driver": "driver",
    "vllm": "engine",
}
_ROLE_FILES = {
    ("container_engine", "devices"): "driver",
    ("container_engine", "describe"): "driver",
    # Up to the moment at which something is fetched; where all is there, nothing is.
    ("vllm", "fetch"): "system",
    # In place of what would be fetched.
    ("warm_volume", "read"): "weights",
    ("warm_volume", "wait"): "weights",
    ("warm_volume", "record"): "engine",
}
# Of the playbook itself, by what they run: it has no files to tell them apart.
_UP = {
    "client_key": "vm",
    "linode_firewall": "vm",
    "linode_gpu_instance": "vm",
    "linode_gpu_quote": "vm",
    "linode_gpu_session_tags": "vm",
    "ssh_ready": "vm",
    "host_state": "system",
    "raw": "engine",
    "session_secret": "engine",
    "linode_gpu_instance_info": "engine",
}
# What a role does for a phase of another.
_ANYWHERE = {"model_weights": "weights", "container_image": "image"}
# Order the others, or say what came of them.
BETWEEN = frozenset(
    {
        *("set_fact", "meta", "report", "fail", "add_host", "watchdog_notice", "plain_variables"),
        *("include_tasks", "include_role", "import_tasks", "import_role"),
    }
)
# How a run ends, and what it was at with it.
End = Literal["ok", "failed", "interrupted"]
_FILE = re.compile(
    r"(?:^|/)(?:roles/(?P<role>[^/]+)/(?:tasks|handlers)/|playbooks/(?P<tasks>tasks/)?)(?P<file>[^/]+)\.yml(?::\d+)?$"
)


def phase_of(path: str, action: str) -> str | None:
    """The phase of the task at ``path`` (``.../roles/vllm/tasks/fetch.yml:12``) that runs ``action``; None for one of no phase."""
    found = _FILE.search(path)
    name = action.rpartition(".")[2]
    if found is None or name in BETWEEN:
        return None
    role, file = found["role"], found["file"]
    if role:
        return _ANYWHERE.get(name) or _ROLE_FILES.get((role, file)) or _ROLES.get(role)
    if found["tasks"]:
        return None
    return _UP.get(name) if file == "up" else None


def _is_time(found: Any) -> TypeGuard[float]:
    return isinstance(found, int | float) and not isinstance(found, bool)


@dataclass
class Phase:
    """``started`` and ``ended`` on the monotonic clock. ``done`` of ``total`` are bytes, or layers, of which ``rate`` come in a
    second. ``measured`` is how long it took where somebody looked closer: one in the background ends unseen.
    """

    name: str
    state: State = "waiting"
    started: float | None = None
    ended: float | None = None
    changed: bool = False
    detail: str = ""
    done: int | None = None
    total: int | None = None
    unit: str = "bytes"
    rate: float | None = None
    measured: float | None = None

    def seconds(self, now: float) -> float | None:
        if self.ended is not None and self.measured is not None:
            return self.measured
        return None if self.started is None else (now if self.ended is None else self.ended) - self.started

    def amount(self) -> dict[str, Any]:
        """How far it is, as data."""
        if self.total is None:
            return {}
        return {"done": self.done, "total": self.total, "unit": self.unit, "rate": self.rate}

    def parts(self) -> tuple[str, ...]:
        """How far it is, for people."""
        if self.total is None or self.done is None:
            return (self.detail,) if self.detail else ()
        if self.unit != "bytes":
            return (self.detail or f"{self.done} of {self.total} {self.unit}",)
        size, unit = (1e9, "GB") if self.total >= 1e8 else (1e6, "MB")
        parts = [f"{self.done / size:.1f} of {self.total / size:.1f} {unit}"]
        if self.rate:
            speed = self.rate / 1e6
            parts += [f"{speed:.{0 if speed >= 10 else 1}f} MB/s", f"{took((self.total - self.done) / self.rate)} left"]
        return tuple(parts)


class Phases:
    """All of a run. Each method takes the time and returns the phases whose state it changed."""

    def __init__(self, names: tuple[str, ...] = tuple(AFTER)) -> None:
        self.all = {name: Phase(name) for name in names}
        self.current: str | None = None

    def begin(self, name: str, now: float) -> list[Phase]:
        """A task of the phase works: what has to be over before is over."""
        changed = [phase for other, phase in self.all.items() if self._over(other, name) and self._end(phase, now)]
        phase = self.all[name]
        self.current = name
        if phase.state == "waiting":
            phase.state, phase.started = "running", now
            changed.append(phase)
        return changed

    def _over(self, other: str, name: str) -> bool:
        if name in BACKGROUND:
            # Begun before the driver, and waited for after it.
            return other in ("vm", "system") or (other == "driver" and self.all[other].state == "running")
        order = list(self.all)
        return order.index(other) < order.index(name) and (name == "engine" or other not in BACKGROUND)

    def _end(self, phase: Phase, now: float, how: End = "ok") -> bool:
        if phase.state not in ("waiting", "running"):
            return False
        phase.started = now if phase.started is None else phase.started
        phase.ended = now
        phase.state = how if how != "ok" else "done" if phase.changed else "unchanged"
        return True

    def result(self, name: str, result: dict[str, Any]) -> None:
        """What a module of the phase returned, also while it goes on; it may know how far others are."""
        phase = self.all[name]
        phase.changed = phase.changed or bool(result.get("changed"))
        self._far(phase, result)
        for other, download in self._downloads(result).items():
            also = self.all.get(other)
            if also is not None and also.state == "running":
                self._far(also, download)

    @staticmethod
    def _downloads(result: dict[str, Any]) -> dict[str, Any]:
        found = result.get("downloads")
        return (
            {key: row for key, row in found.items() if key in BACKGROUND and isinstance(row, dict)}
            if isinstance(found, dict)
            else {}
        )

    @staticmethod
    def _far(phase: Phase, said: dict[str, Any]) -> None:
        """Only what has the form of it: a VM said it."""
        if isinstance(said.get("phase"), str):
            phase.detail = said["phase"]
        far = said.get("progress")
        if isinstance(far, dict):
            done, total, rate = far.get("done"), far.get("total"), far.get("rate")
            if isinstance(done, int) and isinstance(total, int) and total > 0:
                phase.done, phase.total = min(done, total), total
                phase.unit = str(far.get("unit") or "bytes")
                phase.rate = float(rate) if isinstance(rate, int | float) and rate > 0 else None
        elif "phase" in said:
            phase.done = phase.total = phase.rate = None

    def arrived(self, name: str, result: dict[str, Any], now: float) -> list[Phase]:
        """A download is complete, for how long it ran by the VM's own clock."""
        phase = self.all[name]
        phase.changed = phase.changed or bool(result.get("changed"))
        rows = result["images"].values() if isinstance(result.get("images"), dict) else [result]
        known = [
            (float(begun), float(done))
            for begun, done in ((row.get("started"), row.get("finished")) for row in rows if isinstance(row, dict))
            if _is_time(begun) and _is_time(done)
        ]
        if phase.changed and known:
            phase.measured = max(0.0, max(done for _begun, done in known) - min(begun for begun, _done in known))
        return [phase] if self._end(phase, now) else []

    def finish(self, now: float, how: End) -> list[Phase]:
        """The run is over. Where it failed or was interrupted, so was what it was at; what goes on in the background stays as it is."""
        if how != "ok":
            phase = self.all[self.current] if self.current else next(iter(self.all.values()))
            return [phase] if self._end(phase, now, how) else []
        return [phase for phase in self.all.values() if self._end(phase, now)]

    def rows(self, now: float) -> list[Row]:
        return [
            Row(
                title(phase.name),
                phase.state,
                phase.seconds(now),
                phase.parts(),
                tuple(
                    title(other)
                    for other in AFTER[phase.name]
                    if other in self.all and self.all[other].state in ("waiting", "running")
                ),
            )
            for phase in self.all.values()
        ]


def title(name: str) -> str:
    return TITLES.get(name, name)
