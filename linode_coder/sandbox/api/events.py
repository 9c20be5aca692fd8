"""The endpoints of the account's event stream, which `event_log` keeps."""

from __future__ import annotations

from collections.abc import Iterable

from .envelope import Json, page_bounds, paginate
from .filters import Filter
from .routing import Call, route

_FILTERABLE = (
    "action", "created", "entity.id", "entity.type", "id", "read", "seen", "status", "username",
    "details.complete_time", "details.description", "details.maintenance_policy_set", "details.not_before",
    "details.source", "details.start_time",
)  # fmt: skip


@route("GET", "/account/events", "events:read_only", filterable=_FILTERABLE, limit="collection")
def list_events(call: Call) -> Json:
    """A disk's events belong to its Linode, and are found by the disk too, which is their second entity (whether other second
    entities are found is unverified)."""
    page, size = page_bounds(call.query)
    wanted = Filter(call.filter_text, call.route.filterable, call.route.orderable)
    rows = call.sandbox.events.rows()
    by_disk = [dict(row, entity=row["secondary_entity"]) for row in rows if _disk(row["secondary_entity"])]
    found = {row["id"] for row in (*wanted.apply(rows), *wanted.apply(by_disk))}
    return paginate(wanted.ordered([row for row in rows if row["id"] in found]), page, size)


def _disk(entity: Json | None) -> bool:
    return entity is not None and entity["type"] == "disk"


def _one(call: Call) -> Json:
    record = call.sandbox.store.table("event").get(call.number("eventId"))
    if record is None:
        call.missing()
    call.sandbox.events.progress()
    return record


@route("GET", "/account/events/{eventId}", "events:read_only")
def view_event(call: Call) -> Json:
    api: Json = _one(call)["api"]
    return api


def _mark(call: Call, records: Iterable[Json], field: str) -> Json:
    for record in records:
        if not record["api"][field]:
            record["api"][field] = True
            call.sandbox.store.put("event", record["api"]["id"], record)
    return {}


def _up_to(call: Call) -> list[Json]:
    last = _one(call)["api"]["id"]
    return [record for record in call.sandbox.store.table("event").values() if record["api"]["id"] <= last]


@route("POST", "/account/events/{eventId}/seen", "events:read_only")
def mark_seen(call: Call) -> Json:
    """Marks this event and every older one."""
    return _mark(call, _up_to(call), "seen")


@route("POST", "/account/events/{eventId}/read", "events:read_only")
def mark_read(call: Call) -> Json:
    return _mark(call, [_one(call)], "read")
