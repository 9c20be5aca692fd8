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

from ..core.failure import Failure
from ..core.rungs import BY_ID

SCHEMA = 2
DAY_S = 24 * 3600
# Pending: reserved, its end not known yet. Cancelled: reserved, but nothing was done.
OUTCOMES = ("pending", "healed", "failed", "cancelled")
# Not "lc:", so that whoever rewrites the session's own tags keeps these.
_TAG = "lc-heal:"
_ID = re.compile(r"([a-z_]+):([0-9a-f]{8}):(\d{1,12}):([0-9a-f]{0,4})")
_BAD_GPU = "lc-bad:"
# The breaker of a VM that could not be reached to write it down there.
BREAKER_TAG = "lc-breaker:open"


def key_of(fingerprint: str) -> str:
    """The short form of a finding's fingerprint, which fits into a tag."""
    return hashlib.sha256(fingerprint.encode()).hexdigest()[:8]


def failure_key(configuration: str, error: str) -> str:
    """The same for a start that fails in the same way with the same configuration."""
    # Knows all causes by heart, which takes a while; who makes a VM reads tags only.
    from ..engine.failed_start import signature

    return hashlib.sha256(f"{configuration}|{signature(error)}".encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Attempt:
    """One rung taken once. ``change`` is ``{"flag", "old", "new"}`` of a changed engine parameter, ``nonce`` tells two
    watchers apart that reserve in the same second, ``failure`` is the ``failure_key`` of the start that it answers, if it is
    one."""

    rung: str
    key: str
    at: int
    nonce: str = ""
    fingerprint: str = ""
    number: int = 1
    evidence: str = ""
    owner: str = ""
    boot_id: str = ""
    change: dict[str, Any] | None = None
    failure: str = ""
    acted: bool = False
    acted_at: int | None = None
    resumed: int = 0
    resumed_at: int | None = None
    outcome: str = "pending"
    ended: int | None = None
    acknowledged: bool = False

    @property
    def id(self) -> str:
        return f"{self.rung}:{self.key}:{self.at}:{self.nonce}"

    @property
    def began(self) -> int:
        """When somebody last set about it."""
        return self.at if self.resumed_at is None else self.resumed_at

    @classmethod
    def from_id(cls, text: str) -> Attempt | None:
        """What an id tells; None when it is none."""
        match = _ID.fullmatch(text)
        return cls(match[1], match[2], int(match[3]), match[4]) if match and match[1] in BY_ID else None

    def as_dict(self) -> dict[str, Any]:
        return {"id": self.id, **asdict(self)}


@dataclass(frozen=True)
class Record:
    """All that is known. ``acknowledged`` is when a person last looked; ``breaker`` is why healing stopped until one does,
    None while it may go on. ``told`` are the failures that a person was told of, ``served`` the engine's configurations that
    healing has seen serve."""

    attempts: tuple[Attempt, ...] = ()
    acknowledged: int = 0
    breaker: str | None = None
    told: frozenset[str] = frozenset()
    served: frozenset[str] = frozenset()

    def since(self, moment: int) -> tuple[Attempt, ...]:
        """What counts: not older than ``moment``, not acknowledged, and really made."""
        return tuple(
            one for one in self.attempts if one.at >= moment and not one.acknowledged and one.outcome != "cancelled"
        )

    def pending(self) -> tuple[Attempt, ...]:
        return tuple(one for one in self.attempts if one.outcome == "pending" and not one.acknowledged)

    def with_tags(self, tags: Iterable[str]) -> Record:
        """With what only the tags know."""
        known = {one.id for one in self.attempts}
        given = list(tags)
        added = [one for one in from_tags(given) if one.id not in known and one.at > self.acknowledged]
        opened = any(tag.lower() == BREAKER_TAG for tag in given)
        return replace(
            self,
            attempts=tuple(sorted((*self.attempts, *added), key=lambda one: one.at)),
            breaker=self.breaker or ("Healing gave up on this VM." if opened else None),
        )


# -- the file ----------------------------------------------------------------------------------------------------------


def whole_lines(text: str) -> str:
    """Without a last line that was cut off: it was being written when the writer died, so what it announces was not done."""
    return text[: text.rfind("\n") + 1]


def line(event: str, at: int, **data: Any) -> str:
    return json.dumps({"schema": SCHEMA, "event": event, "at": at, **data}) + "\n"


def attempt_line(attempt: Attempt) -> str:
    data = asdict(attempt)
    for name in ("at", "acted", "acted_at", "resumed", "resumed_at", "outcome", "ended", "acknowledged"):
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
    told: set[str] = set()
    served: set[str] = set()
    for number, raw in enumerate(whole_lines(text).splitlines(), start=1):
        try:
            data = json.loads(raw)
            schema, event, at = data.pop("schema"), data.pop("event"), int(data.pop("at"))
            if schema > SCHEMA:
                raise _unreadable(number, f"a newer version wrote it (schema {schema}), this one only observes")
            if event == "attempt":
                made = Attempt(at=at, **data)
                if made.rung not in BY_ID:
                    raise ValueError(made.rung)
                attempts[made.id] = made
            elif event in ("acted", "resumed", "outcome"):
                one = attempts[data["id"]]
                if event == "acted":
                    one = replace(one, acted=True, acted_at=at)
                elif event == "resumed":
                    one = replace(one, resumed=one.resumed + 1, resumed_at=at)
                elif data["outcome"] not in OUTCOMES:
                    raise ValueError(data["outcome"])
                elif one.outcome == "pending":  # of two watchers that judge, the first one counts
                    one = replace(one, outcome=data["outcome"], ended=at)
                    served |= {str(data["served"])} if data.get("served") else set()
                attempts[one.id] = one
            elif event == "breaker":
                breaker = str(data["reason"])
            elif event == "told":
                told.add(str(data["failure"]))
            elif event == "ack":
                acknowledged, breaker, told = at, None, set()
                attempts = {name: replace(one, acknowledged=True) for name, one in attempts.items()}
            else:
                raise ValueError(event)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise _unreadable(number, f"{type(error).__name__}: {error}") from error
    return Record(tuple(attempts.values()), acknowledged, breaker, frozenset(told), frozenset(served))


# -- the tags ----------------------------------------------------------------------------------------------------------


def to_tag(attempt: Attempt) -> str:
    """How a rung that the VM may not survive is remembered."""
    return _TAG + attempt.id


def from_tags(tags: Iterable[str]) -> tuple[Attempt, ...]:
    """The attempts in a Linode's tags. How they ended is not there: they count as made."""
    texts = (str(tag).lower() for tag in tags)
    found = (Attempt.from_id(text.removeprefix(_TAG)) for text in texts if text.startswith(_TAG))
    return tuple(one for one in found if one is not None)


def bad_gpu_tags(uuids: Iterable[str]) -> list[str]:
    return [_BAD_GPU + uuid.lower() for uuid in sorted(uuids)]


def bad_gpus(tags: Iterable[str]) -> frozenset[str]:
    """UUIDs of the cards that earlier VMs of the session were given up for."""
    return frozenset(tag.lower()[len(_BAD_GPU) :] for tag in tags if tag.lower().startswith(_BAD_GPU))


def is_attempt_tag(tag: str) -> bool:
    """What an acknowledgement forgets."""
    return tag.lower().startswith((_TAG, BREAKER_TAG))


def is_healing_tag(tag: str) -> bool:
    return tag.lower().startswith((_TAG, BREAKER_TAG, _BAD_GPU))
