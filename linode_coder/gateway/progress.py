"""How far a session is that is being started: read from the events of `up --json`, which say what VMs and programs said."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ..playbook.phases import AFTER, title
from ..terminal.escapes import cut, one_line
from ..terminal.phase_lines import about, took

# Characters of what is waited for.
_WHAT = 200


def _seconds(value: Any) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e7
    return float(value) if known else None


class Progress:
    """``accepted``: `up` has decided that it may be made; ``made``: its VM is there, and bills."""

    def __init__(self, session: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.session, self._clock, self._began = session, clock, clock()
        self.accepted = self.made = False
        self.phase: str | None = None
        self.what = ""
        self.expected: float | None = None
        self._over: set[str] = set()

    def take(self, event: Any) -> str | None:
        """One event; a line for people when a phase begins."""
        if not isinstance(event, dict):
            return None
        kind, phase = event.get("event"), event.get("phase")
        if kind == "plan":
            self.accepted = True
            estimate = event.get("estimate")
            self.expected = _seconds(estimate.get("seconds")) if isinstance(estimate, dict) else None
        elif kind == "phase_started" and phase in AFTER:
            self.phase, self.what = phase, ""
            self.made = self.made or phase != "vm"
            return f"{self.session}: {title(phase)} ({self.summary()})"
        elif kind == "phase_progress" and phase in AFTER:
            self.waits_for(event.get("detail"))
        elif kind == "phase_finished" and phase in AFTER:
            self._over.add(phase)
        elif kind in ("waiting", "step_started"):
            self.waits_for(event.get("step"))
        return None

    def waits_for(self, what: Any) -> None:
        self.what = cut(one_line(what), _WHAT) if isinstance(what, str) else ""

    @property
    def seconds(self) -> float:
        return self._clock() - self._began

    @property
    def share(self) -> float:
        """From 0 to 1: by the time that was expected, else by the phases that are over."""
        far = self.seconds / self.expected if self.expected else len(self._over) / len(AFTER)
        return round(min(far, 0.99), 2)

    @property
    def left(self) -> float | None:
        """Seconds until it serves, where that was estimated."""
        return None if self.expected is None else max(0.0, self.expected - self.seconds)

    def summary(self) -> str:
        left = f", about {about(self.left)} to go" if self.left else ""
        return f"{took(self.seconds)} so far{left}"

    def sentence(self) -> str:
        if not self.accepted:
            return f"{self.session} is looked for ({self.summary()})"
        phase = title(self.phase) if self.phase else "getting ready"
        return f"{self.session} is being started: {phase} ({self.summary()})"

    def as_dict(self) -> dict[str, Any]:
        return {
            "phase": self.phase,
            "share": self.share,
            "seconds": round(self.seconds, 1),
            "expected_seconds": self.expected,
            "waits_for": self.what or None,
        }
