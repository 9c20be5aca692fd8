"""The account's event stream: what happened, what is happening and how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable

from .envelope import Json, stamp
from .store import Store

# Percentages seen in recordings, by action; the last one before 100 stays until the job is done.
_STEPS: dict[str, tuple[int, ...]] = {
    "linode_create": (0, 5, 50, 53, 59, 61),
    "linode_boot": (0, 45, 49),
    "linode_shutdown": (0, 7),
    "linode_reboot": (0, 7, 45, 49),
}
_DEFAULT_STEPS = (0, 25, 50, 75, 90)
_OPEN = ("scheduled", "started")


class Events:
    """Events by id. A record holds the API's object, the instance it keeps busy and when it really began."""

    def __init__(self, store: Store, username: str, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self.username = username
        self._clock = clock
        self._open = {
            record["api"]["id"]: record for record in store.table("event").values() if record["api"]["status"] in _OPEN
        }

    def add(
        self,
        action: str,
        entity: Json | None,
        *,
        secondary: Json | None = None,
        status: str = "notification",
        linode_id: int | None = None,
        job: Json | None = None,
        message: str = "",
    ) -> Json:
        """A new record. ``scheduled`` ones wait for `start`; `job` is what its runner needs after a restart."""
        number = self._store.next_id("event")
        api: Json = {
            "id": number,
            "created": stamp(self._clock()),
            "seen": False,
            "read": False,
            "percent_complete": 0 if status in _OPEN else None,
            "time_remaining": None,
            "rate": None,
            "duration": None if status in _OPEN else 0.0,
            "action": action,
            "username": self.username,
            "entity": entity,
            "status": status,
            "secondary_entity": secondary,
            "message": message,
            "details": {},
        }
        if status == "finished":
            api["percent_complete"] = 100
            api["time_remaining"] = 0
        record: Json = {"api": api, "linode_id": linode_id, "job": job or {}, "began": None, "expected": 0.0}
        self._store.put("event", number, record)
        if status in _OPEN:
            self._open[number] = record
        return record

    def start(self, record: Json, expected: float) -> None:
        """`expected` seconds only shape the progress that is shown."""
        record["api"]["status"] = "started"
        record["began"] = self._clock()
        record["expected"] = expected
        self._store.put("event", record["api"]["id"], record)

    def finish(self, record: Json, *, failed: str | None = None) -> None:
        """Close it: finished, or failed with a message."""
        api = record["api"]
        began = record["began"] if record["began"] is not None else self._clock()
        api["status"] = "finished" if failed is None else "failed"
        api["percent_complete"] = 100
        api["time_remaining"] = 0
        api["duration"] = float(round(self._clock() - began))
        if failed is not None:
            api["message"] = failed
        self._open.pop(api["id"], None)
        self._store.put("event", api["id"], record)

    def busy(self, linode_id: int) -> list[Json]:
        """Unfinished events that keep an instance busy: its own, and that of a clone which it is made by."""
        return [
            record for record in self._open.values() if linode_id in (record["linode_id"], record["job"].get("clone"))
        ]

    def open_for(self, linode_id: int) -> list[Json]:
        """Unfinished events of an instance, oldest first."""
        return [record for record in self._open.values() if record["linode_id"] == linode_id]

    def open(self) -> list[Json]:
        return list(self._open.values())

    def progress(self) -> None:
        """Bring what running events show up to now."""
        for record in self._open.values():
            api = record["api"]
            if api["status"] != "started":
                continue
            spent = self._clock() - record["began"]
            steps = _STEPS.get(api["action"], _DEFAULT_STEPS)
            share = spent / record["expected"] if record["expected"] > 0 else 0.0
            api["percent_complete"] = steps[min(len(steps) - 1, int(share * len(steps)))]
            api["duration"] = round(spent, 6)

    def rows(self) -> list[Json]:
        """All events as the API lists them: newest first."""
        self.progress()
        return [record["api"] for record in reversed(self._store.table("event").values())]


def entity(kind: str, number: int | str, label: str, url: str) -> Json:
    return {"label": label, "id": number, "type": kind, "url": url}


def linode_entity(instance: Json) -> Json:
    return entity("linode", instance["id"], instance["label"], f"/v4/linode/instances/{instance['id']}")
