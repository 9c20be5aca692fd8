# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pass of the watchdog tells people, and what of it they were told before.

What happens once (a mark, a deletion, a rung that helped) is told by the watcher that did it. What lasts (a lock, a request
that fails, a trouble that waits for a person) is seen by every pass, and told by the first one of each control node.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

# Something that comes and goes within this time is the same thing.
SAME_S = 3600
# A message that could not be sent for so long says nothing any more.
WAIT_S = 86400


@dataclass(frozen=True)
class Notice:
    """``key`` is the same for the same incident. ``lasting``: the next pass sees it too."""

    key: str
    kind: str  # marked, restored, deleted, healed, failed, blocked, needs_person, tags, budget, capacity
    label: str
    text: str
    lasting: bool = False

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Told:
    """What a control node remembers of one way to reach people: keys with the time they were last seen, and what waits."""

    keys: dict[str, int] = field(default_factory=dict)
    waiting: tuple[tuple[int, Notice], ...] = ()

    @classmethod
    def from_dict(cls, data: Any) -> Told:
        """ValueError for anything else."""
        try:
            keys = {str(key): int(at) for key, at in data["keys"].items()}
            return cls(keys, tuple((int(row["at"]), Notice(**row["notice"])) for row in data["waiting"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"this is no record of what was told: {error}") from error

    def as_dict(self) -> dict[str, Any]:
        return {"keys": self.keys, "waiting": [{"at": at, "notice": one.as_dict()} for at, one in self.waiting]}

    def due(self, notices: Iterable[Notice]) -> list[Notice]:
        """What has to be said now: what waits, then what is new."""
        found = {one.key: one for one in (*(one for _at, one in self.waiting), *notices) if one.key not in self.keys}
        return list(found.values())

    def after(self, notices: list[Notice], said: bool, now: int) -> Told:
        """``said``: whether people were reached with everything that was due."""
        due = self.due(notices)
        keys = {key: at for key, at in self.keys.items() if now - at < SAME_S}
        keys.update((one.key, now) for one in notices if one.key in self.keys)
        if said:
            keys.update((one.key, now) for one in due)
            return Told(keys)
        known = {one.key for _at, one in self.waiting}
        new = [(now, one) for one in due if not one.lasting and one.key not in known]
        return Told(keys, tuple((at, one) for at, one in (*self.waiting, *new) if now - at < WAIT_S))


def of_waiting(session: str, since: int, vm: dict[str, Any] | None, why: str | None) -> Notice:
    """What came of waiting for capacity since then (Unix seconds): the VM's view, or why there is none."""
    if vm is None:
        text = f"{session}: no VM. {why or 'There was no capacity.'}"
    else:
        price = f" at ${vm['hourly']:.2f}/h" if vm.get("hourly") else ""
        text = f"{session}: there was capacity. {vm['label']} ({vm['plan']} in {vm['region']}) runs and bills{price}."
    return Notice(f"capacity:{session}:{since}", "capacity", session, text)


def _healing(label: str, report: dict[str, Any]) -> Notice | None:
    attempt, stop = report.get("attempt"), report.get("stop") or {}
    if attempt and report.get("outcome") == "healed":
        said = f" ({report['message']})" if report.get("message") else ""
        why = (report.get("step") or {}).get("reason") or "something failed"
        return Notice(
            f"healed:{label}:{attempt['id']}", "healed", label, f"{label}: {attempt['rung']} helped{said}: {why}"
        )
    # What is written down on the VM is told by who wrote it: an open breaker, and a start that fails in the same way again.
    noted = bool(stop.get("trips") or stop.get("tells"))
    lasts = not report.get("breaker") and not stop.get("failure")
    if stop.get("needs_person") and (noted or lasts):
        key = f"person:{label}:{stop.get('failure') or stop.get('fingerprint') or stop['reason']}"
        text = f"{label} needs a person: {stop['message']} {stop.get('remedy') or ''}".strip()
        return Notice(key, "needs_person", label, text, lasting=not noted)
    return None


def notices_of(report: dict[str, Any]) -> list[Notice]:
    """What is worth a message in the report of a pass."""
    dooms = {row["label"]: row["decision"]["doom"] for row in report.get("sessions") or []}
    found = [
        Notice(f"marked:{label}:{dooms.get(label)}", "marked", label, text)
        for label, text in (report.get("marked") or {}).items()
    ]
    for label, text in (report.get("blocked") or {}).items():
        found.append(Notice(f"blocked:{label}", "blocked", label, text, lasting=True))
    for row in report.get("sessions") or []:
        for doubt in row.get("doubts") or []:
            text = f"{row['label']}: somebody changed its tags: {doubt}."
            found.append(Notice(f"tags:{row['label']}:{doubt}", "tags", row["label"], text, lasting=True))
    budget = report.get("budget") or {}
    if budget.get("state") in ("foreseen", "reached"):
        key = f"budget:{budget['since']}:{budget['budget']:g}:{budget['state']}"
        found.append(Notice(key, "budget", "budget", budget["sentence"], lasting=True))
    for label, text in (report.get("restored") or {}).items():
        found.append(Notice(f"restored:{label}", "restored", label, text))
    for label, healing in (report.get("healing") or {}).items():
        notice = _healing(label, healing)
        if notice:
            found.append(notice)
    for label, failure in (report.get("failures") or {}).items():
        text = " ".join(part for part in (failure["message"], *(failure.get("billing") or ())) if part)
        found.append(Notice(f"failed:{label}:{failure['kind']}", "failed", label, text, lasting=True))
    found += [
        Notice(f"deleted:{row['linode_id']}", "deleted", row["label"], row["sentence"])
        for row in report.get("deleted") or []
    ]
    return found


def body_of(notices: list[Notice]) -> dict[str, Any]:
    """The JSON document of a message: ``text`` for Slack, Mattermost and ntfy's templates, ``content`` for Discord."""
    text = "\n".join(one.text for one in notices)
    return {
        "text": text,
        "content": text[:1900],  # Discord refuses more than 2000 characters
        "source": "linode-coder watchdog",
        "notices": [{"kind": one.kind, "label": one.label, "text": one.text} for one in notices],
    }
