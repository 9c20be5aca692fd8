"""Says how the phases of a run go: drawn in place at a terminal, one line for each change elsewhere, events as JSON."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ..terminal.console import Console
from ..terminal.phase_lines import about, took
from .phases import AFTER, BACKGROUND, End, Phase, Phases, phase_of, title

# Of the playbooks that go through phases from their first task on; others do when they bring up a VM.
SHOWN = {"up": tuple(AFTER), "switch_model": ("image", "weights", "engine")}
# A task that is over sooner, and did nothing, is no sign that its phase works.
_SETTLED_S = 1.0
_EVENT_S = 5.0


class PhaseReport:
    """Fed with Ansible's events by the runner. ``expected`` are seconds to the end, as was estimated before."""

    def __init__(
        self,
        playbook: str,
        console: Console,
        expected: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.console, self.expected, self.clock = console, expected, clock
        self.began = clock()
        self.phases = Phases(SHOWN[playbook]) if playbook in SHOWN else None
        self._task: tuple[str, float] | None = None
        self._events: dict[str, float] = {}
        if self.phases:
            console.by_phases = True
            if "vm" in self.phases.all:
                self.phases.all["vm"].detail = "starting Ansible"
                self._say(self.phases.begin("vm", self.began))
            self.tick()

    # -- what happens ----------------------------------------------------------------------------------------------

    def task(self, path: str, action: str) -> None:
        """A task begins."""
        name = phase_of(path, action)
        self._task = (name, self.clock()) if name and (name == "vm" or self.phases) else None
        phase = self.phases.all.get(name) if self.phases and name else None
        if phase is not None and phase.state == "running" and phase.total is None:
            phase.detail = ""

    def skipped(self) -> None:
        self._task = None

    def result(self, result: dict[str, Any], action: str, path: str) -> None:
        """Of the task that runs, also of one that is tried again."""
        now = self.clock()
        name = self._work(now)
        if self.phases is None or name is None:
            return
        if result.get("present") is True and action.endswith(("model_weights", "container_image")):
            # Of the images only the last look means all of them.
            if action.endswith("model_weights") or "/files.yml" in path:
                self._say(self.phases.arrived(name, result, now))
            return
        self.phases.result(name, result)

    def told(self, fact: dict[str, Any]) -> None:
        """What a module on this machine said while it went on."""
        name = self._work(self.clock()) if isinstance(fact.get("detail"), str) else None
        if self.phases is not None and name is not None:
            phase = self.phases.all[name]
            phase.detail, phase.total = fact["detail"], None

    def finish(self, how: End) -> None:
        if self.phases is None:
            return
        self._say(self.phases.finish(self.clock(), how))
        if self.console.live:
            self._draw()
            self.console.end_block()

    # -- what is said ----------------------------------------------------------------------------------------------

    def tick(self) -> None:
        if self.phases is None:
            return
        now = self.clock()
        if self._task is not None and now - self._task[1] > _SETTLED_S:
            name = self._task[0]
            # A download begins when a module says so: the task may still turn out to have nothing to do.
            if name not in BACKGROUND or (self.phases.all.get(name) or Phase(name)).state != "waiting":
                self._work(now)
        for phase in self.phases.all.values():
            if phase.state == "running" and now - self._events.get(phase.name, now - _EVENT_S) >= _EVENT_S:
                self._events[phase.name] = now
                self.console.event(
                    "phase_progress",
                    phase=phase.name,
                    detail=phase.detail,
                    seconds=round(phase.seconds(now) or 0.0, 1),
                    **phase.amount(),
                )
        if self.console.live:
            self._draw()
        else:
            self.console.still("; ".join(self._running(now)) or "getting ready")

    def _running(self, now: float) -> list[str]:
        assert self.phases is not None
        return [
            f"{title(phase.name)}{': ' + ', '.join(phase.parts()) if phase.parts() else ''} ({took(phase.seconds(now) or 0)})"
            for phase in self.phases.all.values()
            if phase.state == "running"
        ]

    def _draw(self) -> None:
        assert self.phases is not None
        now = self.clock()
        total = f"in all {took(now - self.began)}"
        if self.expected:
            total += f" of about {about(self.expected)} expected"
        self.console.block(self.phases.rows(now), total)

    def _work(self, now: float) -> str | None:
        """The task that runs has something to do. The name of its phase."""
        if self._task is None:
            return None
        name = self._task[0]
        if self.phases is None:
            # Healing makes a new VM, as `up` does.
            self.phases, self.began, self.console.by_phases = Phases(), now, True
        if name not in self.phases.all:
            return None
        self._say(self.phases.begin(name, now))
        return name

    def _say(self, changed: list[Phase]) -> None:
        now = self.clock()
        for phase in changed:
            if phase.state == "running":
                self._events[phase.name] = now
                self.console.event("phase_started", phase=phase.name, elapsed=round(now - self.began, 1))
                self.console.change(f"begin  {title(phase.name)}")
            else:
                seconds = phase.seconds(now) or 0.0
                word = phase.state if phase.state in ("failed", "interrupted") else "ok"
                self.console.event(
                    "phase_finished",
                    phase=phase.name,
                    outcome=word,
                    changed=phase.changed,
                    seconds=round(seconds, 1),
                )
                more = ", nothing to change" if phase.state == "unchanged" else ""
                self.console.change(f"{word:6} {title(phase.name)} ({took(seconds)}{more})")
