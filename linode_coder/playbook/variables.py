"""What each playbook takes from its command, typed: one class for each playbook, one field for each of its variables.

The fields have the playbook's own names, so an option can be followed from the command to the playbook's task by its name. None
leaves a variable out. A test holds each field against what the playbook reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar


@dataclass(frozen=True, kw_only=True)
class Variables:
    """``playbook`` is the playbook's name."""

    playbook: ClassVar[str]

    def given(self) -> dict[str, Any]:
        """By name, as plain data, without those that are None."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values if value is not None}


@dataclass(frozen=True, kw_only=True)
class Spends(Variables):
    """``budget`` in dollars for this month; ``budget_records`` are what this machine remembers of sessions that are gone."""

    budget: float | None = None
    budget_records: Sequence[dict[str, Any]] | None = None


@dataclass(frozen=True, kw_only=True)
class Adjust(Spends):
    """What of a session changes without its VM. ``lease``, ``cap`` and ``idle`` are durations, ``max_cost`` dollars."""

    playbook: ClassVar[str] = "adjust"
    session: str
    owner: str
    lease: str | None = None
    cap: str | None = None
    idle: str | None = None
    max_cost: float | None = None
    ssh_from: Sequence[str] | None = None


@dataclass(frozen=True, kw_only=True)
class Up(Adjust):
    """``plan`` and ``region`` are tried in this order.

    ``engine_only``: all of the VM but the engine is known to be as the last run left it.
    """

    playbook: ClassVar[str] = "up"
    model: str | None = None
    variant: str | None = None
    context: str | int | None = None
    tensor_parallel: int | None = None
    alias: Sequence[str] | None = None
    traces: str | None = None
    plan: Sequence[str] | None = None
    region: Sequence[str] | None = None
    near: str | None = None
    group: str | None = None
    authorized_keys: Sequence[str] | None = None
    dead_man: bool | None = None
    webui: bool | None = None
    engine_only: bool | None = None
    wait_for_capacity: str | None = None
    keep_warm: bool | None = None


@dataclass(frozen=True, kw_only=True)
class SwitchModel(Spends):
    playbook: ClassVar[str] = "switch_model"
    session: str
    model: str
    variant: str | None = None
    context: str | int | None = None
    tensor_parallel: int | None = None
    alias: Sequence[str] | None = None


@dataclass(frozen=True, kw_only=True)
class Extend(Spends):
    """``until`` is an absolute time, so that an attempt whose answer was lost can be repeated."""

    playbook: ClassVar[str] = "extend"
    session: str
    until: str


@dataclass(frozen=True, kw_only=True)
class Pause(Variables):
    """``pause`` is a duration, or ``clear``."""

    playbook: ClassVar[str] = "pause"
    session: str
    pause: str


@dataclass(frozen=True, kw_only=True)
class Down(Variables):
    """``account`` is the one that the session was made in, by this machine's history."""

    playbook: ClassVar[str] = "down"
    session: str
    account: str | None = None


@dataclass(frozen=True, kw_only=True)
class Check(Variables):
    """Without ``session``: all of the account."""

    playbook: ClassVar[str] = "check"
    session: str | None = None


@dataclass(frozen=True, kw_only=True)
class ValidatePerf(Variables):
    """``concurrency`` and ``tokens`` are for the profile quick only."""

    playbook: ClassVar[str] = "validate_perf"
    session: str
    profile: str
    concurrency: Sequence[int] | None = None
    tokens: int | None = None
    progress: str | None = None
    fail_when_slow: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Collect(Variables):
    """``output`` is the path of the archive."""

    playbook: ClassVar[str] = "collect"
    session: str
    output: str


@dataclass(frozen=True, kw_only=True)
class LetIn(Variables):
    playbook: ClassVar[str] = "let_in"
    session: str


@dataclass(frozen=True, kw_only=True)
class Keys(Variables):
    """``keys_present`` are public keys, ``keys_absent`` fingerprints or comments."""

    playbook: ClassVar[str] = "keys"
    session: str
    keys_present: Sequence[str] | None = None
    keys_absent: Sequence[str] | None = None
    keys_lock_out: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Cleanup(Variables):
    """``remove`` are labels."""

    playbook: ClassVar[str] = "cleanup"
    remove: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class WarmDrop(Variables):
    """``volume`` is a label."""

    playbook: ClassVar[str] = "warm_drop"
    volume: str


@dataclass(frozen=True, kw_only=True)
class Heal(Spends):
    """``heal_policy`` is the highest rung; ``heal_patience`` multiplies every wait, ``heal_now`` leaves those out that only
    time settles; ``watcher`` says who asks."""

    playbook: ClassVar[str] = "heal"
    session: str
    watcher: str
    heal_policy: str
    heal_patience: float = 1.0
    heal_ack: bool | None = None
    heal_now: bool | None = None
    heal_dry_run: bool | None = None
    heal_give_up: bool | None = None
    heal_observations: Sequence[dict[str, Any]] | None = None
    authorized_keys: Sequence[str] | None = None


@dataclass(frozen=True, kw_only=True)
class Watchdog(Spends):
    """``interval`` is in seconds; ``one_off``: no other pass is promised; ``heal`` is the highest rung."""

    playbook: ClassVar[str] = "watchdog"
    watcher: str
    interval: int
    one_off: bool
    heal: str
    heal_patience: float = 1.0
    max_deletions: int | None = None
    budget_action: str | None = None
