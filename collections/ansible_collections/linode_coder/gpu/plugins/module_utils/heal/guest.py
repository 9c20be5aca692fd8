# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking a rung on the VM: decided anew under the lock, written down before it is done, done, written down again."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from ..core.failure import Failure
from ..core.finding import Finding
from ..core.rungs import BY_ID
from ..engine import state as engine_state
from ..engine.config_file import parse as parse_flags
from .attempts import Attempt, Record, attempt_line, key_of, line, parse, whole_lines
from .changes import with_flag
from .ladder import Policy, Step, Stop, World, next_step, verdict

# A holder that shows no sign of life for so long has died or hangs. Longer than any rung takes.
LOCK_S = 900
_EVIDENCE = 500


class Guest(Protocol):
    """The VM as the healer sees it. Everything that it reads or changes goes through here."""

    def now(self) -> int: ...

    def boot_id(self) -> str: ...

    def read_record(self) -> str:
        """The file's text, empty when there is none."""

    def write_record(self, text: str, keep: int) -> None:
        """Append ``text`` after the first ``keep`` bytes, and return when it is on the disk."""

    def swap_lock(self, change: Callable[[str], str | None]) -> None:
        """Replace the lock's text by what ``change`` makes of it, None to leave it; atomic among processes."""

    def alive(self, holder: dict[str, Any]) -> bool:
        """Whether the process that wrote the lock still runs."""

    def identity(self) -> dict[str, Any]:
        """This process, for ``alive``."""

    def read_config(self) -> str | None: ...

    def write_config(self, text: str) -> None: ...

    def engine_state(self) -> dict[str, Any]:
        """What engine.json remembers, as engine/state.py describes it."""

    def set_record_aside(self) -> None:
        """Keep a record that nobody can read under another name."""

    def run(self, argv: Sequence[str], timeout: float) -> tuple[int, str]:
        """Exit code and output; 124 when it took too long, 127 when there is no such program."""


class Healer:
    """One pass of one watcher over one VM."""

    def __init__(self, guest: Guest, owner: str, token: str, directory: str) -> None:
        self.guest = guest
        self.owner = owner
        self.token = token
        self.directory = directory

    # -- the lock

    def take_lock(self) -> str | None:
        """None when it is ours now, else who has it."""
        holder: list[str] = []

        def change(text: str) -> str | None:
            now = self.guest.now()
            try:
                other = json.loads(text) if text else None
            except ValueError:
                other = None  # cut off by a crash: nobody holds it
            if isinstance(other, dict) and other.get("token") != self.token:
                current = other.get("boot_id") == self.guest.boot_id() and now < int(other.get("expires", 0))
                if current and self.guest.alive(other):
                    holder.append(str(other.get("owner")))
                    return None
            mine = {"token": self.token, "owner": self.owner, "boot_id": self.guest.boot_id(), "started": now}
            return json.dumps({**mine, **self.guest.identity(), "expires": now + LOCK_S})

        self.guest.swap_lock(change)
        return holder[0] if holder else None

    def still_mine(self) -> None:
        """Fencing: whoever lost the lock does nothing any more."""
        lost: list[bool] = []

        def change(text: str) -> str | None:
            try:
                held = json.loads(text)
            except ValueError:
                held = {}
            if held.get("token") != self.token or self.guest.now() >= held["expires"]:
                lost.append(True)
                return None
            return json.dumps({**held, "expires": self.guest.now() + LOCK_S})

        self.guest.swap_lock(change)
        if lost:
            raise Failure(
                "conflict", "Another watcher took over the lock.", remedy="Nothing more was done. Look again."
            )

    def drop_lock(self) -> None:
        self.guest.swap_lock(lambda text: "" if self.token in text else None)

    # -- the record

    def read(self) -> Record:
        return parse(self.guest.read_record())

    def write(self, text: str) -> None:
        """Append, over a last line that a crash cut off."""
        self.guest.write_record(text, len(whole_lines(self.guest.read_record()).encode()))

    def settle(self, record: Record, findings: Sequence[Finding]) -> Record:
        """Judge what nobody judged: over and proven so, or made long ago and still there."""
        now = self.guest.now()
        for attempt in record.pending():
            outcome = verdict(attempt.fingerprint, findings) if attempt.fingerprint else None
            if outcome == "failed" and not (attempt.acted and now >= attempt.at + BY_ID[attempt.rung].pending_s):
                outcome = None
            if outcome is not None:
                self.still_mine()
                self.write(self.outcome(attempt.id, outcome))
        return self.read()

    def outcome(self, attempt_id: str, outcome: str) -> str:
        """The line that says how an attempt ended, and which configuration has served by it."""
        served = self.configuration() if outcome == "healed" else ""
        return line(
            "outcome", self.guest.now(), id=attempt_id, outcome=outcome, **({"served": served} if served else {})
        )

    # -- a pass

    def heal(
        self, findings: Sequence[Finding], world: World, policy: Policy, tags: Sequence[str], dry: bool
    ) -> tuple[Step | Stop, Attempt | None]:
        """Decide, and unless ``dry`` take the step: a rung of the VM is done, one of the provider only reserved."""
        if dry:
            return self.decide(findings, world, policy, tags), None
        holder = self.take_lock()
        if holder is not None:
            return Stop("busy", f"Another watcher is healing this VM: {holder}.", until=self.guest.now() + 30), None
        try:
            try:
                self.settle(self.read(), findings)
            except Failure as failure:
                if failure.kind != "unhealthy":
                    raise
            decided = self.decide(findings, world, policy, tags)
            if isinstance(decided, Stop):
                if decided.trips:
                    self.still_mine()
                    self.write(line("breaker", self.guest.now(), reason=decided.message))
                elif decided.tells:
                    self.still_mine()
                    self.write(line("told", self.guest.now(), failure=decided.failure, by=self.owner))
                return decided, None
            return decided, self.take(decided)
        finally:
            self.drop_lock()

    def decide(self, findings: Sequence[Finding], world: World, policy: Policy, tags: Sequence[str]) -> Step | Stop:
        try:
            record: Record | None = self.read().with_tags(tags)
        except Failure as failure:
            if failure.kind != "unhealthy":
                raise
            record = None
        return next_step(findings, record, world, policy, self.guest.now())

    def take(self, step: Step) -> Attempt:
        self.still_mine()
        if step.resume is not None:
            attempt = next((one for one in self.read().attempts if one.id == step.resume), None)
            if attempt is not None:
                self.write(line("resumed", self.guest.now(), id=attempt.id))
        else:
            attempt = None
        if attempt is None:
            reserved = Attempt.from_id(step.resume) if step.resume else None  # that only the tags know
            attempt = replace(
                reserved or Attempt(step.rung, key_of(step.fingerprint), self.guest.now(), self.token[:4]),
                fingerprint=step.fingerprint,
                number=step.number,
                evidence=step.evidence[-_EVIDENCE:],
                owner=self.owner,
                boot_id=self.guest.boot_id(),
                change=step.change.as_dict() if step.change else None,
                failure=step.failure,
            )
            self.write(attempt_line(attempt))
        if step.scope == "api":
            return attempt
        self.still_mine()
        complaint = self.perform(attempt)
        self.still_mine()
        done = line("acted", self.guest.now(), id=attempt.id)
        if complaint:
            done += line("outcome", self.guest.now(), id=attempt.id, outcome="failed", reason=complaint)
        self.write(done)
        return replace(attempt, acted=True, outcome="failed" if complaint else "pending")

    def perform(self, attempt: Attempt) -> str:
        """Do it. What could not be done, in the words of the programs; empty when all of it was."""
        if attempt.change is not None:
            text = self.guest.read_config()
            if text is None:
                return "the engine's configuration is gone"
            self.guest.write_config(with_flag(text, attempt.change["flag"], attempt.change["new"]))
        failed: list[str] = []
        commands = BY_ID[attempt.rung].run
        if commands is None:
            raise ValueError(f"{attempt.rung} is not taken on the VM")
        for command in commands(self.directory, attempt.fingerprint):
            code, output = self.guest.run(command.argv, command.timeout)
            if code and not command.best_effort:
                failed.append(f"{' '.join(command.argv)}: {output.strip()[-300:] or code}")
        return "; ".join(failed)

    # -- what is written afterwards

    def _locked(self, text: Callable[[], str]) -> None:
        holder = self.take_lock()
        if holder is not None:
            raise Failure("conflict", f"Another watcher is healing this VM: {holder}.", remedy="Wait until it is done.")
        try:
            added = text()
            self.still_mine()
            self.write(added)
        finally:
            self.drop_lock()

    def judge(self, attempt_id: str, outcome: str, acted: bool, fingerprint: str = "", evidence: str = "") -> None:
        """Write down how an attempt ended. The first judgement counts, so a second one does no harm.

        An attempt that was made while the VM could not be asked, or on the VM before this one, is written down with it.
        """
        made = Attempt.from_id(attempt_id)
        if made is None:
            raise Failure("not_found", f"There is no attempt {attempt_id}.", field="attempt", value=attempt_id)

        def text() -> str:
            now = self.guest.now()
            done = line("acted", now, id=attempt_id) if acted else ""
            if all(one.id != attempt_id for one in self.read().attempts):
                told = evidence[-_EVIDENCE:]
                late = replace(made, fingerprint=fingerprint, evidence=told, owner=self.owner)
                done = attempt_line(late) + done
            return done + self.outcome(attempt_id, outcome)

        self._locked(text)

    def acknowledge(self, who: str) -> None:
        """A person looked: budgets start anew. Also over a record that cannot be read, which is kept aside."""

        def text() -> str:
            try:
                self.read()
            except Failure:
                self.guest.set_record_aside()
            return line("ack", self.guest.now(), by=who)

        self._locked(text)

    # -- what the VM knows of the world

    def flags(self) -> dict[str, Any] | None:
        """What the engine is set to; None when that is not there or cannot be read."""
        config = self.guest.read_config()
        try:
            return None if config is None else parse_flags(config)
        except Failure:
            return None

    def in_effect(self) -> dict[str, Any] | None:
        """The engine as it starts by now; None when that cannot be read."""
        flags = self.flags()
        return None if flags is None else engine_state.in_effect(self.guest.engine_state(), flags)

    def configuration(self) -> str:
        """The same for the same engine with the same flags; empty when they cannot be read."""
        spec = self.in_effect()
        return "" if spec is None else hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:12]

    def engine(self) -> dict[str, Any] | None:
        """What goes on with a VM that replaces this one: the engine that was asked for, and the flags that it has by now."""
        wanted = self.guest.engine_state()["wanted"]
        flags = self.flags()
        same = wanted is not None and flags is not None and flags.get("model") == wanted["model"]
        return {"wanted": wanted, "config": self.guest.read_config()} if same else None

    def look(self, findings: Sequence[Finding], world: World) -> World:
        """``world`` with what only the VM knows: which engine has served, and what a change of parameters is decided by, when
        one may come up."""
        good, spec = self.guest.engine_state()["last_good"], self.in_effect()
        served = good is not None and good == spec
        world = replace(world, set_up=good is not None, served=served, configuration=self.configuration())
        if not any("change_parameters" in one.ladder for one in findings if one.severity == "fail"):
            return world
        flags = self.flags()
        if flags is None:
            return replace(world, suggested=None)  # nothing is changed in a file that is not there or cannot be read
        code, output = self.guest.run(("nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"), 25)
        cards = [float(word) for word in output.split() if re.fullmatch(r"\d+\.\d+", word)] if code == 0 else []
        return replace(world, flags=flags, compute_capability=min(cards, default=None))
