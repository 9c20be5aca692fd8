# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to do next about what the checks found: one rung of the remedy ladder, or why not.

A function of the present state only: whoever looks comes to the same answer, so a watcher that dies leaves nothing
that the next one would not do by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..core.finding import Finding
from ..core.rungs import ALERT, API_RUNGS, BY_ID, CAPS, FOR_WARNINGS, GUEST_RUNGS, ORDER, WHEN_IDLE, sharing
from ..engine.failed_start import FailedStart
from ..health.catalogue import CHECKS, TWICE
from ..health.outside import UNKNOWN_KEY
from .attempts import DAY_S, Attempt, Record, failure_key, key_of
from .changes import Change, next_change

ACCOUNT_RECREATIONS = 2

# What others do to a VM is left alone for so many seconds.
_OTHERS_S = 1200
# So long after its creation a VM boots for the first time at the latest.
_CREATION_S = 600
MAX_RESUMES = 2
# Observations older than this say nothing about now.
OBSERVATION_S = 900
_BUSY_S = 60
# When what nobody knows of happened: no reason to wait.
_LONG_AGO = 0

POWER_EVENTS = ("linode_reboot", "linode_boot", "linode_shutdown", "lassie_reboot", "host_reboot")
MAINTENANCE_EVENTS = (
    "host_reboot",
    "lassie_reboot",
    "linode_migrate",
    "linode_migrate_datacenter",
    "linode_mutate",
    "linode_rebuild",
    "linode_resize",
    "backups_restore",
)
OPEN_EVENT = ("scheduled", "started")

# From the root of a trouble to its symptoms: while something fails at one level, what fails below it follows from that.
_LEVELS = (
    ("vm.status", "vm.ssh"),
    tuple(name for name in CHECKS if name.startswith(("drv.", "gpu."))),
    ("ctr.engine",),
    ("ctr.gpu",),
    ("vm.mem", "ctr.state", "ctr.oom", "ctr.cuda"),
    tuple(name for name in CHECKS if name.startswith("vllm.")),
)
_ENGINE_LEVEL = 4
# The checks that fail because the engine does not start.
_STARTS = ("ctr.state", "vllm.health")
# What is seen from another side and says the same: then one look is enough.
_WITNESSES = {
    "ctr.state": ("vllm.health",),
    "vllm.health": ("ctr.cuda", "gpu.xid", "gpu.lost"),
    "vllm.gen": ("vllm.stuck", "ctr.cuda", "gpu.xid", "gpu.lost"),
    "gpu.count": ("gpu.xid", "gpu.lost"),
    "gpu.hang": ("gpu.xid", "gpu.lost"),
}


@dataclass(frozen=True)
class Event:
    """One of the Linode's events, whoever caused it."""

    id: int
    action: str
    status: str
    at: int
    user: str | None = None


@dataclass(frozen=True)
class Observation:
    at: int
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class World:
    """What is true now, read from the provider and the VM. None means that it could not be read.

    ``container_started`` is when somebody last started the container on purpose: a crash loop starts it all the time.
    ``suggested`` are the engine flags that the diagnosis of its log points to. ``successor`` is the label of the VM that
    was made to replace this one. ``seen_at`` is when the findings were made, by the VM's clock. ``failed_start`` is how the
    engine's newest start ended, if it did before it served; ``configuration`` is what it starts with, the same for the same;
    ``served`` is whether that has served, ``set_up`` whether any engine has on this VM.
    """

    status: str | None = "running"
    reachable: bool = True
    created: int | None = None
    boot_time: int | None = None
    boot_id: str = ""
    container_started: int | None = None
    running: float | None = None
    waiting: float | None = None
    idle_seconds: int | None = None
    events: tuple[Event, ...] | None = ()
    earlier: tuple[Observation, ...] = ()
    paused_until: int | None = None
    flags: Mapping[str, Any] = field(default_factory=dict)
    suggested: Mapping[str, Any] | None = None
    compute_capability: float | None = None
    gpus: frozenset[str] = frozenset()
    bad_gpus: frozenset[str] = frozenset()
    account_recreations: int = 0
    successor: str | None = None
    seen_at: int | None = None
    failed_start: FailedStart | None = None
    configuration: str = ""
    served: bool = False
    set_up: bool = False


@dataclass(frozen=True)
class Policy:
    """``cap`` is the highest group of rungs that may be taken, or the highest rung; ``patience`` is a factor on every
    waiting time; ``now``: a person insists on not waiting for what others did, a boot, a start or requests a moment ago."""

    cap: str = "vm"
    patience: float = 1.0
    now: bool = False


@dataclass(frozen=True)
class Step:
    """Take ``rung``. ``resume`` is the id of an attempt that was reserved before and never made, ``failure`` the key of the
    failed start that it answers, ``pushed`` what it would have waited for if nobody had insisted."""

    rung: str
    reason: str
    fingerprint: str
    number: int
    when: int
    evidence: str = ""
    change: Change | None = None
    resume: str | None = None
    failure: str = ""
    pushed: str = ""

    @property
    def scope(self) -> str:
        return BY_ID[self.rung].scope

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "scope": self.scope}


@dataclass(frozen=True)
class Stop:
    """Do nothing. ``reason`` is one of nothing, confirm, pending, busy, cooldown, paused, blind, policy, config_error,
    start_error, budget, needs_human. ``trips``: only a person may start healing again. ``tells``: nobody was told of this
    ``failure`` yet. ``until``: when to look again. ``waits``: a person may insist on not waiting."""

    reason: str
    message: str
    remedy: str = ""
    until: int | None = None
    fingerprint: str | None = None
    trips: bool = False
    failure: str = ""
    tells: bool = False
    waits: bool = False

    @property
    def needs_person(self) -> bool:
        return self.reason in ("config_error", "start_error", "budget", "needs_human", "policy")

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "needs_person": self.needs_person}


# -- which trouble -----------------------------------------------------------------------------------------------------


def _level(finding: Finding) -> int:
    return next((level for level, ids in enumerate(_LEVELS) if finding.id in ids), len(_LEVELS))


def _catalogue_order(finding: Finding) -> int:
    return list(CHECKS).index(finding.id) if finding.id in CHECKS else len(CHECKS)


def _rank(finding: Finding) -> tuple[int, int]:
    """Of several at one level, what asks for most goes first; then the catalogue's order."""
    first = WHEN_IDLE.get(finding.ladder[0], finding.ladder[0])
    return (-ORDER.index(first), _catalogue_order(finding))


def _actionable(finding: Finding) -> bool:
    return bool(finding.ladder) and finding.ladder[0] != ALERT


def root_of(fails: Sequence[Finding]) -> Finding | None:
    """The failure that explains the others; None when none of them can be acted on."""
    for level in sorted({_level(finding) for finding in fails}):
        here = [finding for finding in fails if _level(finding) == level]
        if level >= _ENGINE_LEVEL:
            explained = [finding for finding in here if finding.cause and not _actionable(finding)]
            if explained:
                return explained[0]
        actionable = [finding for finding in here if _actionable(finding)]
        if actionable:
            return min(actionable, key=_rank)
    return None


# -- what to do ---------------------------------------------------------------------------------------------------------


def _happened(attempt: Attempt, world: World) -> bool:
    """Whether what the attempt announced was done, as far as the world shows it."""
    if attempt.acted:
        return True
    if attempt.rung not in API_RUNGS:
        return False
    if attempt.rung == "recreate_vm":
        # On the VM that is to go nothing shows it, whatever boots in the meantime; the new one is younger than it.
        return world.created is not None and world.created >= attempt.at
    if world.boot_time is not None and world.boot_time > attempt.at:
        return True
    # A power cycle that was cut short has shut down and not booted.
    done = POWER_EVENTS if attempt.rung != "power_cycle" else tuple(set(POWER_EVENTS) - {"linode_shutdown"})
    return any(event.action in done and event.at >= attempt.at - 1 for event in world.events or ())


def foreign_events(record: Record, events: Sequence[Event], created: int | None) -> list[Event]:
    """Power events that neither one of our attempts nor the VM's own creation explains."""
    ours = [one for one in record.attempts if one.rung in API_RUNGS]
    boots = [event for event in events if event.action == "linode_boot" and _at_creation(event.at, created)]
    first = min(boots, key=lambda event: event.at, default=None)
    return [
        event
        for event in events
        if event.action in POWER_EVENTS
        and event is not first
        and not any(one.at - 5 <= event.at <= one.at + BY_ID[one.rung].pending_s for one in ours)
    ]


def _at_creation(at: int, created: int | None) -> bool:
    """Whether a boot is that of the creation: a session's VM is made by us, and boots by itself then."""
    return created is not None and created - 5 <= at <= created + _CREATION_S


@dataclass(frozen=True)
class _Incident:
    """One trouble and all that bears on what to do about it."""

    finding: Finding
    findings: Sequence[Finding]
    record: Record
    world: World
    policy: Policy
    now: int

    # -- whether now

    def later(self, reason: str, message: str, until: float, waits: bool = False) -> Stop:
        return Stop(reason, message, until=round(until), fingerprint=self.finding.fingerprint, waits=waits)

    def unconfirmed(self) -> Stop | None:
        """Look again before it counts; None when it counts."""
        rule = CHECKS[self.finding.id].confirm if self.finding.id in CHECKS else TWICE
        witnesses = _WITNESSES.get(self.finding.id, ())
        if any(other.severity == "fail" and other.id in witnesses for other in self.findings):
            return None
        seen = [self.now]
        for past in sorted(self.world.earlier, key=lambda one: -one.at):
            same = (one for one in past.findings if one.fingerprint == self.finding.fingerprint)
            if self.now - past.at > OBSERVATION_S or not any(one.severity == "fail" for one in same):
                break
            seen.append(past.at)
        span = rule.seconds * self.policy.patience
        if len(seen) >= rule.probes and self.now - seen[-1] >= span:
            return None
        message = f"{self.finding.summary} It has to be seen again before anything is touched."
        return self.later("confirm", message, self.now + max(1, round(span / (rule.probes - 1))))

    def served(self) -> bool:
        return any(one.id == "vllm.gen" and one.severity == "pass" for one in self.findings)

    def waits(self, rung: str) -> Iterator[Stop]:
        """What ``rung`` would have to wait for."""
        row = BY_ID[rung]
        cooldown = row.cooldown.seconds * self.policy.patience
        if row.cooldown.since == "started":
            yield from self.cooling(
                "The container was started a moment ago.", (self.world.container_started or _LONG_AGO) + cooldown
            )
            return
        if (self.world.running or self.world.waiting) and self.served():
            message = "Requests are running, and the engine serves them."
            yield self.later("busy", message, self.now + _BUSY_S, waits=True)
        if row.cooldown.since == "taken":
            before = [one.at for one in self.record.attempts if one.rung == rung and one.outcome != "cancelled"]
            yield from self.cooling(f"{rung} was tried a moment ago.", max(before, default=_LONG_AGO) + cooldown)
        else:
            yield from self.waits_for_provider(rung)

    def cooling(self, message: str, until: float) -> Iterator[Stop]:
        if self.now < until:
            yield self.later("cooldown", message, until, waits=True)

    def waits_for_provider(self, rung: str) -> Iterator[Stop]:
        world, now = self.world, self.now
        if world.events is None:
            message = "The account's events cannot be read, so what others do to the VM is not known."
            yield self.later("blind", message, now + 300)
            return
        window = _OTHERS_S * self.policy.patience
        for event in world.events:
            if event.status in OPEN_EVENT:
                yield self.later("busy", f"Linode is working on it: {event.action} is {event.status}.", now + 15)
            elif event.action in MAINTENANCE_EVENTS:
                yield from self.cooling(f"Linode did {event.action} a moment ago.", event.at + window)
        foreign = foreign_events(self.record, world.events, world.created)
        if foreign:
            newest = max(foreign, key=lambda event: event.at)
            who = f" by {newest.user}" if newest.user else ""
            yield from self.cooling(f"Somebody else acted: {newest.action}{who}.", newest.at + window)
        yield from self.young(rung)

    def young(self, rung: str) -> Iterator[Stop]:
        """A VM that was made or booted a moment ago is left its time."""
        world, cooldown = self.world, BY_ID[rung].cooldown
        created, wait = world.created or _LONG_AGO, cooldown.seconds * self.policy.patience
        if cooldown.since == "created":
            yield from self.cooling("The VM is new.", created + wait)
        elif any(one.rung != rung and BY_ID[one.rung].cooldown.since == "booted" for one in self.tried()):
            return  # climbing
        elif world.boot_time is not None and not _at_creation(world.boot_time, world.created):
            yield from self.cooling("The VM booted a moment ago.", world.boot_time + wait)
        elif not world.set_up:
            yield from self.cooling("The VM was made a moment ago, and may still be being set up.", created + wait)

    def wait(self, stops: Iterable[Stop]) -> tuple[Stop | None, str]:
        """The first reason to wait that is not insisted on, and those that are, in words."""
        found = list(stops)
        pushed = [one for one in found if one.waits and self.policy.now]
        first = next((one for one in found if one not in pushed), None)
        return first, " ".join(one.message for one in pushed)

    def overtaken(self) -> Stop | None:
        """Look again, since something was done after the findings were made: a watcher may have slept in between."""
        since = self.world.seen_at
        counted = self.record.since(self.now - DAY_S)
        done = [one.rung for one in counted if since is not None and max(one.began, one.acted_at or _LONG_AGO) > since]
        if not done:
            return None
        return self.later("pending", f"{done[-1]} was done after this was seen.", self.now + 1)

    # -- a start that fails again

    @property
    def failure(self) -> str:
        """The key of the failed start that this trouble is; empty when it is none, or its configuration has served before, or
        is not known."""
        failed, configuration = self.world.failed_start, self.world.configuration
        served = self.world.served or configuration in self.record.served
        if failed is None or served or not configuration or self.finding.id not in _STARTS:
            return ""
        # A cause that is known may ask for more than another start.
        plain = all(rung == ALERT or BY_ID[rung].repeats or self.in_vain(rung) for rung in self.finding.ladder)
        return failure_key(configuration, failed.error) if plain or not failed.known else ""

    def in_vain(self, rung: str) -> bool:
        return rung == "change_parameters" and self.change() is None

    def starts_in_vain(self) -> Stop | None:
        """The same error at two starts, whoever began them, and the configuration has never served: a person is told of it,
        and nothing is repeated."""
        failed, failure = self.world.failed_start, self.failure
        if failed is None or not failure:
            return None
        tried = any(one.failure == failure and one.acted and not one.acknowledged for one in self.record.attempts)
        if failed.times < 2 and not tried:
            return None
        return Stop(
            "start_error",
            "The engine has never served as it is set up now, and ends at each start with the same error: "
            f"{failed.error.rstrip('.')}. Another start would end like that.",
            f"{self.finding.remedy} Then change the model, the image or a flag: linode-coder up.",
            fingerprint=self.finding.fingerprint,
            failure=failure,
            tells=failure not in self.record.told,
        )

    # -- which rung

    def tried(self) -> list[Attempt]:
        key = key_of(self.finding.fingerprint)
        return [one for one in self.record.since(self.now - DAY_S) if one.key == key]

    def spent(self, rung: str) -> str | None:
        """Which budget is used up for ``rung``."""
        budget = BY_ID[rung].budget
        rungs = sharing(budget)
        made = sum(one.rung in rungs for one in self.record.since(self.now - DAY_S))
        if made >= budget.allowed:
            return f"{' and '.join(rungs)}: {made} of {budget.allowed} in 24 hours"
        recreated = self.world.account_recreations
        if rung == "recreate_vm" and recreated >= ACCOUNT_RECREATIONS:
            return f"recreate_vm: {recreated} of {ACCOUNT_RECREATIONS} in 24 hours in the whole account"
        return None

    def give_up(self, why: str, reason: str = "needs_human") -> Stop:
        if self.finding.severity == "warn":
            return Stop("nothing", f"{self.finding.summary} {why}", self.finding.remedy)
        message = f"{self.finding.summary} {why}"
        return Stop(reason, message, self.finding.remedy, fingerprint=self.finding.fingerprint, trips=True)

    def allowed(self, rung: str) -> bool:
        if self.policy.cap in ORDER:
            return ORDER.index(rung) <= ORDER.index(self.policy.cap)
        return CAPS.index(self.policy.cap) >= CAPS.index(BY_ID[rung].cap)

    def change(self) -> Change | None:
        made = [one.change for one in self.record.attempts if one.change]
        return next_change(self.world.suggested, self.world.flags, made, self.world.compute_capability)

    def climb(self, idle: bool) -> Step | Stop:
        """The first rung above what was tried that can do something, or why it is not taken."""
        tried = self.tried()
        ladder = [WHEN_IDLE.get(rung, rung) for rung in self.finding.ladder]
        taken = {one.rung for one in tried}
        reached = max((position for position, rung in enumerate(ladder) if rung in taken), default=-1)
        # Another parameter is another attempt, not a repetition.
        start = reached if reached >= 0 and ladder[reached] == "change_parameters" else reached + 1
        for position in range(start, len(ladder)):
            rung = ladder[position]
            if rung == ALERT or (self.finding.severity == "warn" and self.finding.ladder[position] not in FOR_WARNINGS):
                break
            change = self.change() if rung == "change_parameters" else None
            if rung == "change_parameters" and change is None:
                continue
            refused = self.refuse(rung, self.finding.ladder[position] in WHEN_IDLE and not idle)
            if refused is not None:
                return refused
            waiting, pushed = self.wait(self.waits(rung))
            if waiting is not None:
                return waiting
            spent = self.spent(rung)
            if spent is not None:
                return self.give_up(f"The budget is used up ({spent}).", "budget")
            why = self.finding.summary if not tried else f"{self.finding.summary} {tried[-1].rung} did not last."
            fingerprint, evidence = self.finding.fingerprint, self.finding.evidence
            failure = self.failure
            number = len(tried) + 1
            return Step(rung, why, fingerprint, number, self.now, evidence, change, None, failure, pushed)
        what = ", ".join(dict.fromkeys(one.rung for one in tried)) or "nothing"
        return self.give_up(f"No rung is left; tried: {what}.")

    def refuse(self, rung: str, in_use: bool) -> Stop | None:
        """Why ``rung``, whose turn it is, is not taken, however long one waits."""
        if not self.allowed(rung):
            message = (
                f"{self.finding.summary} The next rung is {rung}, which the policy {self.policy.cap!r} does not allow."
            )
            return Stop("policy", message, self.finding.remedy, fingerprint=self.finding.fingerprint)
        if rung in GUEST_RUNGS and not self.world.reachable:
            message = "The VM cannot be reached, so nothing can be done inside it."
            return self.later("blind", message, self.now + 60)
        if in_use:
            return self.later("busy", f"{rung} waits until nobody uses the engine.", self.now + _BUSY_S)
        again = self.world.gpus & self.world.bad_gpus
        if rung == "recreate_vm" and again:
            return self.give_up(f"The VM has the card that its predecessor was replaced for ({min(again)}).")
        return None

    def resume(self, pending: Attempt) -> Step | Stop | None:
        """The same attempt again, when it was reserved and nothing came of it."""
        mine = pending.key == key_of(self.finding.fingerprint) and (pending.rung in API_RUNGS or self.world.reachable)
        if (
            not mine
            or pending.resumed >= MAX_RESUMES
            or _happened(pending, self.world)
            or not self.allowed(pending.rung)
        ):
            return None
        pushed = ""
        if pending.rung in API_RUNGS:
            waiting, pushed = self.wait(self.waits_for_provider(pending.rung))
            if waiting is not None:
                return waiting
        change = Change(**pending.change) if pending.change else None
        why = f"{self.finding.summary} The attempt before was interrupted."
        return self.again(pending, why, change, pushed)

    def again(self, pending: Attempt, why: str, change: Change | None = None, pushed: str = "") -> Step:
        fingerprint, evidence = self.finding.fingerprint, self.finding.evidence
        told = (pending.number, self.now, evidence, change, pending.id, pending.failure, pushed)
        return Step(pending.rung, why, fingerprint, *told)

    def finish(self, begun: Attempt) -> Step | Stop:
        """Two VMs bill until a replacement that was begun has come to its end, whatever fails by now."""
        if not self.allowed(begun.rung):
            message = f"{self.finding.summary} The policy {self.policy.cap!r} does not allow to finish it."
            return Stop("policy", message, self.finding.remedy, fingerprint=self.finding.fingerprint)
        if begun.resumed >= MAX_RESUMES:
            return self.give_up("It does not serve, and both VMs bill.")
        return self.again(begun, f"{self.finding.summary} That was interrupted.")


def _is_idle(world: World, policy: Policy) -> bool:
    """Certainly unused: what cannot be read is not idle."""
    if world.running is None or world.waiting is None or world.running or world.waiting:
        return False
    return world.idle_seconds is None or world.idle_seconds >= 300 * policy.patience


def _nothing_fails(findings: Sequence[Finding], now: int) -> Stop:
    if all(finding.severity == "unknown" for finding in findings):
        return Stop("blind", "Nothing could be read.", until=now + 60)
    unread = [finding.id for finding in findings if finding.severity == "unknown"]
    if not unread:
        return Stop("nothing", "Nothing fails.")
    starting = next((one for one in findings if one.severity == "warn" and one.cause == "starting"), None)
    if starting is not None:
        return Stop("busy", starting.summary, starting.remedy, until=now + _BUSY_S)
    what = ", ".join(dict.fromkeys(unread))
    if any(finding.id == "vllm.gen" and finding.severity == "pass" for finding in findings):
        return Stop("nothing", f"The engine generates tokens. What could not be read: {what}.")
    return Stop("blind", f"Nothing that could be read fails. What could not be read: {what}.", until=now + 60)


def _replacing(world: World) -> Finding:
    return Finding(
        "vm.status",
        "fail",
        "vm",
        f"{world.successor} was made to replace this VM.",
        cause="replaced",
        ladder=("recreate_vm",),
        remedy="Look at both VMs: linode-coder list. Finish it: linode-coder heal.",
    )


def next_step(
    findings: Sequence[Finding], record: Record | None, world: World, policy: Policy, now: int
) -> Step | Stop:
    """The next rung, or why none is taken.

    :param findings: the newest observation; ``world.earlier`` holds those before it.
    :param record: what was tried; None when it could not be read, which is not the same as nothing.
    """
    fails = [finding for finding in findings if finding.severity == "fail"]
    warned = [one for one in findings if one.severity == "warn" and one.ladder and one.ladder[0] in FOR_WARNINGS]
    idle = _is_idle(world, policy)
    if world.status == "deleting":
        return Stop("nothing", "The VM is being deleted.")
    stranger = next((one for one in findings if one.cause == UNKNOWN_KEY), None)
    if stranger is not None:
        # Whoever sees nothing of a VM that answers touches nothing, not even what others have begun.
        return Stop("blind", stranger.summary, stranger.remedy, until=now + _BUSY_S, fingerprint=stranger.fingerprint)
    pending = max(record.pending(), key=lambda one: one.began, default=None) if record else None
    begun = pending if pending and pending.rung == "recreate_vm" and world.successor else None
    if not fails and (not warned or not idle) and not begun:
        return _nothing_fails(findings, now)
    if world.paused_until is not None and now < world.paused_until:
        return Stop("paused", "Healing is paused for this session.", until=world.paused_until)
    if record is None:
        message = "The record of healing attempts cannot be read, so budgets cannot be counted."
        return Stop("needs_human", message, "See /var/lib/linode-coder/attempts.jsonl on the VM.")
    finding = _replacing(world) if begun else root_of(fails) if fails else min(warned, key=_rank)
    if finding is not None and not _actionable(finding):
        return Stop("config_error", finding.summary, finding.remedy, fingerprint=finding.fingerprint)
    if record.breaker is not None:
        return Stop("needs_human", record.breaker, "When it is looked after: linode-coder heal --ack.")
    if finding is None:
        told = min(fails, key=_catalogue_order)
        return Stop("needs_human", told.summary, told.remedy, fingerprint=told.fingerprint)
    if policy.cap in ("off", "alert"):
        message = f"{finding.summary} Healing is switched off ({policy.cap})."
        return Stop("policy", message, finding.remedy, fingerprint=finding.fingerprint)
    incident = _Incident(finding, findings, record, world, policy, now)
    if pending is not None:
        limit = pending.began + BY_ID[pending.rung].pending_s * policy.patience
        if now < limit:
            return incident.later("pending", f"{pending.rung} was begun and is not judged yet.", limit)
    if begun:
        return incident.finish(begun)
    late = incident.overtaken()
    if late is not None:
        return late
    in_vain = incident.starts_in_vain()
    if in_vain is not None:
        return in_vain
    if fails:
        unconfirmed = incident.unconfirmed()
        if unconfirmed is not None:
            return unconfirmed
    resumed = incident.resume(pending) if pending is not None else None
    return resumed if resumed is not None else incident.climb(idle)


def verdict(before: str, findings: Sequence[Finding]) -> str | None:
    """Whether the trouble with fingerprint ``before`` is over: healed, failed, or None while it cannot be said.

    Healed needs the end-to-end proof, a token, not only the absence of the complaint.
    """
    if any(finding.severity == "fail" and finding.fingerprint == before for finding in findings):
        return "failed"
    by_id = {finding.id: finding.severity for finding in findings}
    if by_id.get("vllm.gen") == "pass":
        return "healed"
    if any(finding.severity == "fail" and finding.id in _LEVELS[-1] for finding in findings):
        return "failed"
    return None
