# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long an engine has been idle, from samples of its counters.

The clock lies on the VM and counts only time between two readable samples of the same boot in which no counter moved.
So it does not matter who samples, how often, how many do, or whether one of them was restarted. It stands still while
the engine cannot be read, and does not start before the engine has served its first token.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from ..engine.start_limits import START_BUDGET_S

SCHEMA = 1
# Queued or running requests without a token for longer than this are a hang, which is not use.
HANG_S = 300


@dataclass(frozen=True)
class Sample:
    """One look at the engine. ``uptime`` is seconds since the boot ``boot_id``, so a change of the date does no harm.

    The counters are without the tokens of our own checks. ``served`` is whether the engine has produced any token at
    all, theirs included.
    """

    boot_id: str
    uptime: float
    at: int  # seconds since the epoch
    readable: bool
    prompt_tokens: int = 0
    generation_tokens: int = 0
    requests: int = 0
    running: int = 0
    waiting: int = 0
    process_start: float | None = None
    served: bool = False

    @property
    def counters(self) -> tuple[int, int, int]:
        return (self.prompt_tokens, self.generation_tokens, self.requests)


@dataclass(frozen=True)
class IdleClock:
    """What is kept on the VM. The counters are those of the last readable sample."""

    started: bool = False
    idle_s: float = 0.0
    last_active: int | None = None
    stuck_s: float = 0.0  # how long requests have been waiting without a token
    boot_id: str = ""
    uptime: float = 0.0
    at: int = 0
    readable: bool = False
    prompt_tokens: int = 0
    generation_tokens: int = 0
    requests: int = 0
    process_start: float | None = None

    @property
    def counters(self) -> tuple[int, int, int]:
        return (self.prompt_tokens, self.generation_tokens, self.requests)

    @property
    def hung(self) -> bool:
        return self.stuck_s > HANG_S

    def use(self) -> dict[str, Any] | None:
        """The tokens of the engine, counted since ``process_start``, at the last sample; None when that was not readable."""
        if not self.readable:
            return None
        names = ("prompt_tokens", "generation_tokens", "process_start", "at")
        return {name: getattr(self, name) for name in names}

    def as_dict(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def from_dict(cls, data: object) -> IdleClock:
        """What was kept; ValueError when it is not a clock of this schema."""
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise ValueError("not an idle clock of schema 1")
        numbers = ("idle_s", "stuck_s", "uptime", "at", "prompt_tokens", "generation_tokens", "requests")
        for name in numbers:
            if isinstance(data.get(name), bool) or not isinstance(data.get(name), int | float) or data[name] < 0:
                raise ValueError(f"{name} of the idle clock is not a number")
        return cls(
            started=data.get("started") is True,
            idle_s=float(data["idle_s"]),
            last_active=data["last_active"] if isinstance(data.get("last_active"), int) else None,
            stuck_s=float(data["stuck_s"]),
            boot_id=str(data.get("boot_id") or ""),
            uptime=float(data["uptime"]),
            at=int(data["at"]),
            readable=data.get("readable") is True,
            prompt_tokens=int(data["prompt_tokens"]),
            generation_tokens=int(data["generation_tokens"]),
            requests=int(data["requests"]),
            process_start=data["process_start"] if isinstance(data.get("process_start"), int | float) else None,
        )


def advance(clock: IdleClock, sample: Sample) -> IdleClock:
    """The clock after ``sample``."""
    same_boot = clock.boot_id == sample.boot_id
    passed = sample.uptime - clock.uptime  # which means something within one boot only
    if same_boot and passed <= 0:
        return clock  # taken before what is already counted: another watcher was faster
    seen = replace(clock, boot_id=sample.boot_id, uptime=sample.uptime, at=sample.at, readable=sample.readable)
    if not sample.readable:
        return seen
    seen = replace(
        seen,
        prompt_tokens=sample.prompt_tokens,
        generation_tokens=sample.generation_tokens,
        requests=sample.requests,
        process_start=clock.process_start if sample.process_start is None else sample.process_start,
    )
    if not clock.started:
        if not sample.served:
            return seen
        return replace(seen, started=True, idle_s=0.0, stuck_s=0.0, last_active=sample.at)
    restarted = not same_boot or (
        None not in (sample.process_start, clock.process_start) and sample.process_start != clock.process_start
    )
    if restarted or sample.counters != clock.counters:
        return replace(seen, idle_s=0.0, stuck_s=0.0, last_active=sample.at)
    known = passed if clock.readable else 0.0
    if sample.running or sample.waiting:
        stuck = clock.stuck_s + known
        counted = max(0.0, stuck - max(HANG_S, clock.stuck_s))
        return replace(seen, stuck_s=stuck, idle_s=clock.idle_s + counted)
    return replace(seen, stuck_s=0.0, idle_s=clock.idle_s + known)


def start_overdue(created: int, now: int, clock: IdleClock | None) -> bool:
    """Whether the first token is overdue, boot, download and load included: a matter for healing, not a reason to call the VM idle or busy."""
    return (clock is None or not clock.started) and now - created > START_BUDGET_S


def settled(created: int, now: int, clock: IdleClock | None) -> bool:
    """Whether the VM serves, or should have served long ago: then what fails is to be healed."""
    return start_overdue(created, now, clock) or (clock is not None and clock.started)
