# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of healing attempts: lines in a file on the VM, and tags of the Linode for what the VM cannot keep.

An attempt is written before it is made. What cannot be read is a Failure and never an empty record, since budgets are
counted from it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from .failure import Failure

SCHEMA = 1
DAY_S = 24 * 3600
# Pending: reserved, its end not known yet. Cancelled: reserved, but nothing was done.
OUTCOMES = ("pending", "healed", "failed", "cancelled")
# Not "lc:", so that whoever rewrites the session's own tags keeps these.
_TAG = re.compile(r"lc-heal:([a-z_]+):([0-9a-f]{8}):(\d{1,12})")
_BAD_GPU = "lc-bad:"


def key_of(fingerprint: str) -> str:
    """The short form of a finding's fingerprint, which fits into a tag."""
    return hashlib.sha256(fingerprint.encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Attempt:
    """One rung taken once. ``change`` is ``{"flag", "old", "new"}`` of a changed engine parameter."""

    rung: str
    key: str
    at: int
    fingerprint: str = ""
    number: int = 1
    evidence: str = ""
    owner: str = ""
    boot_id: str = ""
    change: dict[str, Any] | None = None
    acted: bool = False
    resumed: int = 0
    outcome: str = "pending"
    ended: int | None = None

    @property
    def id(self) -> str:
        return f"{self.rung}:{self.key}:{self.at}"

    def as_dict(self) -> dict[str, Any]:
        return {"id": self.id, **asdict(self)}


@dataclass(frozen=True)
class Record:
    """All that is known. ``breaker`` is why healing stopped until a person acknowledges it; None while it may go on."""

    attempts: tuple[Attempt, ...] = ()
    acknowledged: int = 0
    breaker: str | None = None

    def since(self, moment: int) -> tuple[Attempt, ...]:
        """What counts: not older than ``moment`` or than the last acknowledgement, and really made."""
        start = max(moment, self.acknowledged)
        return tuple(one for one in self.attempts if one.at >= start and one.outcome != "cancelled")

    def pending(self) -> tuple[Attempt, ...]:
        return tuple(one for one in self.attempts if one.outcome == "pending" and one.at >= self.acknowledged)

    def with_tags(self, found: Iterable[Attempt]) -> Record:
        """With the attempts that only the tags know."""
        known = {one.id for one in self.attempts}
        added = [one for one in found if one.id not in known and one.at >= self.acknowledged]
        return replace(self, attempts=tuple(sorted((*self.attempts, *added), key=lambda one: one.at)))


# -- the file ----------------------------------------------------------------------------------------------------------


def whole_lines(text: str) -> str:
    """Without a last line that was cut off: it was being written when the writer died, so what it announces was not done."""
    return text[: text.rfind("\n") + 1]


def line(event: str, at: int, **data: Any) -> str:
    return json.dumps({"schema": SCHEMA, "event": event, "at": at, **data}, sort_keys=True) + "\n"


def attempt_line(attempt: Attempt) -> str:
    data = asdict(attempt)
    for name in ("at", "acted", "resumed", "outcome", "ended"):
        del data[name]
    return line("attempt", attempt.at, **data)


def _unreadable(number: int, why: str) -> Failure:
    return Failure(
        "unhealthy",
        f"Line {number} of the record of healing attempts cannot be read: {why}.",
        remedy="Nothing is healed until it is readable. Look at /var/lib/linode-coder/attempts.jsonl on the VM, and move "
        "it away if nothing in it matters.",
    )


def parse(text: str) -> Record:
    """The record that the file's ``text`` is; Failure(unhealthy) when any whole line of it makes no sense."""
    attempts: dict[str, Attempt] = {}
    acknowledged, breaker = 0, None
    for number, raw in enumerate(whole_lines(text).splitlines(), start=1):
        try:
            data = json.loads(raw)
            schema, event, at = data.pop("schema"), data.pop("event"), int(data.pop("at"))
            if schema > SCHEMA:
                raise _unreadable(number, f"a newer version wrote it (schema {schema}), this one only observes")
            if event == "attempt":
                made = Attempt(at=at, **data)
                attempts[made.id] = made
            elif event in ("acted", "resumed", "outcome"):
                one = attempts[data["id"]]
                if event == "acted":
                    one = replace(one, acted=True)
                elif event == "resumed":
                    one = replace(one, resumed=one.resumed + 1)
                elif data["outcome"] not in OUTCOMES:
                    raise ValueError(data["outcome"])
                elif one.outcome == "pending":  # of two watchers that judge, the first one counts
                    one = replace(one, outcome=data["outcome"], ended=at)
                attempts[one.id] = one
            elif event == "breaker":
                breaker = str(data["reason"])
            elif event == "ack":
                acknowledged, breaker = at, None
            else:
                raise ValueError(event)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise _unreadable(number, f"{type(error).__name__}: {error}") from error
    return Record(tuple(attempts.values()), acknowledged, breaker)


# -- the tags ----------------------------------------------------------------------------------------------------------


def to_tag(attempt: Attempt) -> str:
    """How a rung that the VM may not survive is remembered."""
    return f"lc-heal:{attempt.rung}:{attempt.key}:{attempt.at}"


def from_tags(tags: Iterable[str]) -> tuple[Attempt, ...]:
    """The attempts in a Linode's tags. How they ended is not there: they count as made."""
    matches = (_TAG.fullmatch(str(tag).lower()) for tag in tags)
    return tuple(Attempt(match[1], match[2], int(match[3])) for match in matches if match)


def bad_gpu_tags(uuids: Iterable[str]) -> list[str]:
    return [_BAD_GPU + uuid.lower() for uuid in sorted(uuids)]


def bad_gpus(tags: Iterable[str]) -> frozenset[str]:
    """UUIDs of the cards that earlier VMs of the session were given up for."""
    return frozenset(tag.lower()[len(_BAD_GPU) :] for tag in tags if tag.lower().startswith(_BAD_GPU))


def is_healing_tag(tag: str) -> bool:
    return tag.lower().startswith(("lc-heal:", _BAD_GPU))
