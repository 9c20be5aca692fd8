# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rungs that only the provider can take: reboot and power cycle, with several watchers that know nothing of each other.

The API has no lock. What keeps two reboots apart: a reservation in the tags that is read back after a while, the event
feed that shows what anybody did since the decision, and the API itself, which does one job of a Linode at a time. A
request whose answer was lost is looked for and never repeated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from ..core.cost import parse_time
from ..core.failure import Failure
from ..core.retry import pause_s
from ..core.rungs import API_RUNGS, BY_ID
from ..offer.budget import refuse_beyond, replacement_adds
from ..offer.budget_look import look
from ..offer.offers import build_offers, shortlist
from ..session.tags import MARKER, decode, folded
from .attempts import BREAKER_TAG, DAY_S, Attempt, from_tags, is_attempt_tag, is_healing_tag, to_tag
from .ladder import MAINTENANCE_EVENTS, OPEN_EVENT, POWER_EVENTS, Event
from .situation import event_of

# Seconds between a reservation and its reading back: whoever read the tags before has written them by then.
SETTLE_S = 5.0
# A request is only sent while the look that allows it is this young.
FRESH_S = 5.0
# How long the trace of a request whose answer was lost is looked for.
RECONCILE_S = 60.0
_POLL_S = 2.0
_WRITES = 3
_GONE = "The VM is gone."


class Api(Protocol):
    def get(self, path: str, x_filter: dict[str, Any] | None = None) -> dict[str, Any]: ...

    def list(self, path: str, x_filter: dict[str, Any] | None = None) -> list[dict[str, Any]]: ...

    def post(self, path: str, data: dict[str, Any] | None = None) -> dict[str, Any]: ...

    def put(self, path: str, data: dict[str, Any]) -> dict[str, Any]: ...


class Clock(Protocol):
    def now(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


@dataclass(frozen=True)
class Taken:
    """``outcome`` is acted, stood_down (nothing was done), unclear (asked for, no trace of it) or failed. ``offers`` are the
    places for a VM that is to replace this one."""

    outcome: str
    message: str
    offers: tuple[dict[str, Any], ...] = ()


class Provider:
    """One session's VM at the provider."""

    def __init__(
        self,
        api: Api,
        clock: Clock,
        session: str,
        wait_timeout: float = 600,
        settle: float = SETTLE_S,
        linode_id: int | None = None,
        budget: float | None = None,
        records: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """``linode_id`` is the VM that is meant when the session has two; without it the older one. ``budget`` are the
        dollars that all sessions of a month may cost, ``records`` what this control node remembers of them.
        """
        self.api = api
        self.clock = clock
        self.session = session
        self.linode_id = linode_id
        self.wait_timeout = wait_timeout
        self.settle = settle
        self.budget = budget
        self.records = records
        self.instance: dict[str, Any] = {}

    # -- looking

    def instances(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The session's Linodes, the newest generation last, and all that are ours."""
        ours = [row for row in self.api.list("linode/instances", {"tags": MARKER}) if row["status"] != "deleting"]
        mine = [row for row in ours if decode(row["tags"]).session == self.session]
        return sorted(mine, key=lambda row: decode(row["tags"]).generation or 0), ours

    def events(self, linode_id: int) -> list[Event] | None:
        """Its newest events, the newest first; None when the token may not read them."""
        wanted = {"entity.id": linode_id, "entity.type": "linode", "+order_by": "created", "+order": "desc"}
        try:
            rows = self.api.get("account/events?page_size=50", wanted)["data"]
        except Failure as failure:
            if failure.kind in ("scope", "auth"):
                return None
            raise
        return [event_of(row) for row in rows]

    def look(self) -> dict[str, Any]:
        """What healing has to know, as plain data. ``successor`` is the VM that is to replace this one, if there is one."""
        mine, ours = self.instances()
        meant = [row for row in mine if self.linode_id in (None, row["id"])]
        if not meant:
            raise Failure(
                "not_found",
                f"Session {self.session!r} has no VM.",
                remedy="See all sessions: linode-coder list.",
                field="session",
                value=self.session,
            )
        self.instance = current = meant[0]
        events = self.events(current["id"])
        tags = decode(current["tags"])
        day = self.clock.now() - DAY_S
        recreated = sum((decode(row["tags"]).generation or 1) > 1 and parse_time(row["created"]) > day for row in ours)
        return {
            "linode_id": current["id"],
            "label": current["label"],
            "generation": tags.generation,
            "status": current["status"],
            "plan": current["type"],
            "region": current["region"],
            "hourly": tags.hourly_micros / 1_000_000 if tags.hourly_micros else None,
            "created": parse_time(current["created"]),
            "events": None if events is None else [asdict(event) for event in events],
            "tags": [tag for tag in folded(current["tags"]) if is_healing_tag(tag)],
            "paused_until": tags.pause,
            "account_recreations": recreated,
            "successor": mine[-1]["label"] if current["id"] != mine[-1]["id"] else None,
        }

    # -- reserving

    def _write_tags(self, linode_id: int, add: Sequence[str], drop: Sequence[str] = ()) -> list[str]:
        """Our part of the tags changed, everybody else's kept; what they are now."""
        row: Mapping[str, Any] = {}
        for _write in range(_WRITES):
            row = self.api.get(f"linode/instances/{linode_id}")
            ours = folded((*add, *drop))
            kept = [tag for tag in row["tags"] if tag.lower() not in ours and not self._stale(tag)]
            wanted = [*kept, *add]
            if sorted(folded(wanted)) == sorted(folded(row["tags"])):
                return wanted
            try:
                self.api.put(f"linode/instances/{linode_id}", {"tags": wanted})
            except Failure as failure:
                if failure.kind not in ("ambiguous", "rate_limited", "busy"):
                    raise
                self.clock.sleep(pause_s(_POLL_S, failure))
            else:
                return wanted
        return list(row["tags"])

    def _stale(self, tag: str) -> bool:
        return any(one.at < self.clock.now() - 2 * DAY_S for one in from_tags([tag]))

    def forget(self, linode_id: int) -> bool:
        """Take the attempts out of the tags: a person looked. Whether there were any."""
        tags = self.api.get(f"linode/instances/{linode_id}")["tags"]
        made = [tag for tag in tags if is_attempt_tag(tag)]
        if made:
            self._write_tags(linode_id, (), made)
        return bool(made)

    def open_breaker(self, linode_id: int) -> None:
        self._write_tags(linode_id, [BREAKER_TAG])

    def reserve(self, provider: Mapping[str, Any], attempt: Attempt) -> Taken | None:
        """None when the attempt is ours to make. Two that reserve at once both see it, and the earlier one goes on."""
        number, mine = int(provider["linode_id"]), to_tag(attempt)
        if mine in provider["tags"]:
            return None  # reserved by a pass that died: whoever resumed it owns it
        known = set(provider["tags"])
        self._write_tags(number, [mine])
        self.clock.sleep(self.settle)
        row = self.api.get(f"linode/instances/{number}")
        now = folded(row["tags"])
        if mine not in now:
            return Taken("stood_down", "Another watcher wrote the tags at the same moment.")
        rivals = [
            one
            for one in from_tags(tag for tag in now if tag not in known and tag != mine)
            if one.rung in API_RUNGS and self.clock.now() - one.at < BY_ID[one.rung].pending_s
        ]
        if any((one.at, one.nonce) < (attempt.at, attempt.nonce) for one in rivals):
            self._write_tags(number, (), [mine])
            return Taken("stood_down", "Another watcher reserved it first.")
        return None

    # -- acting

    def _guard(self, linode_id: int, seen: int, allowed: Sequence[str]) -> str | Mapping[str, Any]:
        """The Linode when nobody did anything to it since event ``seen``, else why we stand down."""
        try:
            row: Mapping[str, Any] = self.api.get(f"linode/instances/{linode_id}")
        except Failure as failure:
            if failure.kind != "not_found":
                raise
            return _GONE
        events = self.events(linode_id)
        if events is None:
            return "The account's events cannot be read."
        for event in events:
            if event.status in OPEN_EVENT:
                return f"Linode is working on it: {event.action} is {event.status}."
            if event.id > seen and event.action in (*POWER_EVENTS, *MAINTENANCE_EVENTS):
                return f"Somebody else acted: {event.action}."
        return row if row["status"] in allowed else f"The VM is {row['status']}."

    def _traces(self, linode_id: int, seen: int) -> bool:
        """Whether something happened to the VM since event ``seen``."""
        row = self.api.get(f"linode/instances/{linode_id}")
        events = self.events(linode_id) or []
        return row["status"] not in ("running", "offline") or any(
            event.id > seen and event.action in POWER_EVENTS for event in events
        )

    def ask(self, linode_id: int, action: str, seen: int, allowed: Sequence[str]) -> Taken:
        """POST ``action`` once, if nobody acted since ``seen``; an unclear answer is looked for."""
        for _try in range(_WRITES):
            looked = self.clock.now()
            found = self._guard(linode_id, seen, allowed)
            if isinstance(found, str):
                return Taken("stood_down", found)
            if self.clock.now() - looked > FRESH_S:
                continue
            try:
                self.api.post(f"linode/instances/{linode_id}/{action}")
            except Failure as failure:
                if failure.kind == "rate_limited":
                    self.clock.sleep(pause_s(_POLL_S, failure))
                    continue
                if failure.kind == "busy":
                    return Taken("stood_down", "Linode is busy with another job.")
                if failure.kind != "ambiguous":
                    return Taken("failed", f"{failure.message} {failure.cause or ''}".strip())
                return self._reconcile(linode_id, action, seen)
            return Taken("acted", f"{action} was asked for.")
        return Taken("stood_down", "The API is too slow or too busy to be sure that nobody else acts.")

    def _reconcile(self, linode_id: int, action: str, seen: int) -> Taken:
        deadline = self.clock.now() + pause_s(RECONCILE_S)
        while self.clock.now() < deadline:
            self.clock.sleep(pause_s(_POLL_S))
            if self._traces(linode_id, seen):
                return Taken("acted", f"{action} was asked for; the answer was lost, and it happened.")
        return Taken("unclear", f"{action} was asked for; the answer was lost, and nothing shows that it happened.")

    def _until(self, linode_id: int, wanted: str, seen: int) -> str | None:
        """Wait for a status; what went wrong, or None."""
        deadline = self.clock.now() + self.wait_timeout
        while True:
            status = self.api.get(f"linode/instances/{linode_id}")["status"]
            events = self.events(linode_id) or []
            is_open = any(event.status in OPEN_EVENT for event in events)
            if status == wanted and not is_open:
                return None
            for event in events:
                if event.id > seen and event.status == "failed" and event.action in POWER_EVENTS:
                    return f"Linode reports that {event.action} failed."
            if wanted == "running" and status == "offline" and not is_open:
                return "The VM is offline and nobody is booting it."
            if self.clock.now() > deadline:
                return f"The VM is still {status}."
            self.clock.sleep(pause_s(_POLL_S))

    @staticmethod
    def newest(provider: Mapping[str, Any]) -> int:
        """The newest event that the decision knew of."""
        return max((int(event["id"]) for event in provider["events"] or ()), default=0)

    def take(self, provider: Mapping[str, Any], attempt: Attempt) -> Taken:
        """Reboot or power-cycle the VM that ``provider`` describes, allow its replacement, or stand down."""
        try:
            return self._take(provider, attempt)
        except Failure as failure:
            if failure.kind != "not_found":
                raise
            return Taken("stood_down", _GONE)

    def _take(self, provider: Mapping[str, Any], attempt: Attempt) -> Taken:
        number, seen = int(provider["linode_id"]), self.newest(provider)
        refused = self.reserve(provider, attempt)
        if refused is not None:
            return refused
        if attempt.rung == "recreate_vm":
            taken = self._allow_replacement(provider, seen)
        elif attempt.rung == "reboot":
            taken = self._reboot(number, seen)
        else:
            taken = self._power_cycle(number, seen)
        if taken.outcome == "stood_down":
            self._write_tags(number, (), [to_tag(attempt)])
        if taken.outcome != "acted" or attempt.rung == "recreate_vm":
            return taken
        complaint = self._until(number, "running", seen)
        return taken if complaint is None else Taken("failed", complaint)

    def _reboot(self, number: int, seen: int) -> Taken:
        status = self.api.get(f"linode/instances/{number}")["status"]
        return self.ask(number, "boot" if status == "offline" else "reboot", seen, ("running", "offline"))

    def _power_cycle(self, number: int, seen: int) -> Taken:
        """Shut down, then boot. A VM that is found off was shut down by an attempt that was cut short."""
        if self.api.get(f"linode/instances/{number}")["status"] != "offline":
            taken = self.ask(number, "shutdown", seen, ("running",))
            if taken.outcome != "acted":
                return taken
            complaint = self._until(number, "offline", seen)
            if complaint is not None:
                return Taken("failed", complaint)
            seen = max((event.id for event in self.events(number) or ()), default=seen)
        return self.ask(number, "boot", seen, ("offline",))

    # -- replacing

    def _allow_replacement(self, provider: Mapping[str, Any], seen: int) -> Taken:
        """The label of the next generation is taken by one VM only, so two watchers come to the same one."""
        found = self._guard(int(provider["linode_id"]), seen, ("running", "offline"))
        if isinstance(found, str):
            return Taken("stood_down", found)
        places = self.offers(provider)
        if not places:
            plan, hourly = provider["plan"], provider["hourly"]
            return Taken("failed", f"No region has {plan} for ${hourly}/h or less; {provider['label']} stays as it is.")
        refused = self.beyond_budget(provider, found, max(place["hourly"] for place in places))
        if refused is not None:
            return refused
        return Taken("acted", f"{provider['label']} is to be replaced.", tuple(places))

    def beyond_budget(self, provider: Mapping[str, Any], row: Mapping[str, Any], hourly: float) -> Taken | None:
        """Why the month's budget does not pay a second VM beside this one; None when it does, or there is none."""
        if self.budget is None:
            return None
        mine, ours = self.instances()
        if len(mine) > 1:
            return None  # both exist already: a replacement that was cut short goes on, so that one of them can go
        now = int(self.clock.now())
        seen = look(self.api, now, ours, self.records, hourly)
        tags = decode(list(row["tags"]))
        end = min((one for one in (tags.lease_end, tags.hard_cap) if one is not None), default=now)
        adds = replacement_adds(now, int(provider["created"]), end, provider["hourly"] or hourly, hourly)
        try:
            refuse_beyond(seen, self.budget, adds, hourly, f"a VM in place of {provider['label']}")
        except Failure as failure:
            return Taken("stood_down", f"{failure.message} {failure.remedy}")
        return None

    def offers(self, provider: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Where to put the replacement: the same plan, elsewhere first, since the same region may give the same card.

        Nowhere at a higher price than somebody agreed to.
        """
        built = build_offers(
            self.api.list("linode/types"),
            self.api.list("regions"),
            self.api.list("regions/availability"),
            [str(provider["plan"])],
            [],
            0,
        )
        agreed = [offer for offer in built if provider["hourly"] is None or offer.hourly <= provider["hourly"]]
        here = [offer for offer in agreed if offer.region == provider["region"]]
        elsewhere = [offer for offer in agreed if offer.region != provider["region"]]
        tried = shortlist([*elsewhere, *here])
        return [{"plan": one.plan, "region": one.region, "hourly": one.hourly} for one in tried]
