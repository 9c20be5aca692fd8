"""Block storage volumes: they outlive the instances they were attached to, and keep costing."""

from __future__ import annotations

from typing import Any

from .envelope import Json, Problems, fail, not_found
from .event_log import entity
from .routing import Call, route
from .sandbox import Sandbox
from .validation import check_label, check_tags, require, whole

_RO, _RW = "volumes:read_only", "volumes:read_write"


def _one(call: Call) -> Json:
    row = call.sandbox.store.table("volume").get(call.number("volumeId"))
    if row is None:
        raise not_found()
    return row


def _event(call: Call, action: str, row: Json) -> None:
    call.sandbox.events.add(
        action, entity("volume", row["id"], row["label"], f"/v4/volumes/{row['id']}"), status="finished"
    )


def _check_unique(problems: Problems, sandbox: Sandbox, label: Any, but: int | None = None) -> None:
    if any(row["label"] == label and row["id"] != but for row in sandbox.store.table("volume").values()):
        problems.add("Label must be unique among your volumes", "label")


@route("GET", "/volumes", _RO, filterable=("id", "label", "tags"), limit="volumes")
def list_volumes(call: Call) -> Json:
    return call.page(list(call.sandbox.store.table("volume").values()))


@route("GET", "/volumes/types", None)
def list_types(call: Call) -> Json:
    price = {"hourly": 0.00015, "monthly": 0.1}
    prices = [
        {"id": "br-gru", "hourly": 0.00021, "monthly": 0.14},
        {"id": "id-cgk", "hourly": 0.00018, "monthly": 0.12},
    ]
    return call.page(
        [{"id": "volume", "label": "Storage Volume", "price": price, "region_prices": prices, "transfer": 0}]
    )


@route("POST", "/volumes", _RW, limit="volumes")
def create_volume(call: Call) -> Json:
    body, sandbox, problems = call.body, call.sandbox, Problems()
    require(problems, body, "label")
    if body.get("label") is not None:
        check_label(problems, body["label"], low=1, high=32, volume=True)
        _check_unique(problems, sandbox, body["label"])
    size = whole(problems, body, "size", low=10, high=16384)
    tags = check_tags(problems, body["tags"], sandbox.tags_in_use()) if body.get("tags") is not None else []
    owner = sandbox.instance(body["linode_id"]) if isinstance(body.get("linode_id"), int) else None
    if body.get("linode_id") is not None and owner is None:
        problems.add("A Linode by that ID was not found", "linode_id")
    region = owner["api"]["region"] if owner else body.get("region")
    if region is None:
        problems.add("Must provide a region or a Linode ID", "region")
    elif str(region) not in sandbox.catalogue.region:
        problems.add("region is not valid", "region")
    if body.get("encryption") not in (None, "enabled", "disabled"):
        problems.add("Must be one of enabled, disabled", "encryption")
    problems.check()
    return _add(
        sandbox,
        {
            "label": body["label"],
            "size": size or 20,
            "linode_id": owner["api"]["id"] if owner else None,
            "linode_label": owner["api"]["label"] if owner else None,
            "region": region,
            "tags": tags,
            "encryption": body.get("encryption") or "enabled",
        },
        "volume_create",
    )


def _add(sandbox: Sandbox, given: Json, action: str) -> Json:
    """A new volume, as the answer shows it: not ready yet."""
    number, now = sandbox.store.next_id("volume"), sandbox.now()
    row: Json = {
        "id": number,
        "status": "creating",
        "label": given["label"],
        "created": now,
        "updated": now,
        "filesystem_path": f"/dev/disk/by-id/scsi-0Linode_Volume_{given['label']}",
        "size": given["size"],
        "linode_id": given["linode_id"],
        "linode_label": given["linode_label"],
        "region": given["region"],
        "tags": given["tags"],
        "hardware_type": "nvme",
        "encryption": given["encryption"],
        "io_ready": False,
        "locks": [],
    }
    sandbox.store.put("volume", number, row)
    sandbox.events.add(action, entity("volume", number, row["label"], f"/v4/volumes/{number}"), status="finished")
    answer = dict(row)

    def ready() -> None:
        if number in sandbox.store.table("volume"):
            row.update(status="active", io_ready=row["linode_id"] is not None)
            sandbox.store.put("volume", number, row)
            sandbox.lifecycle.volumes_changed(row["linode_id"])

    sandbox.lifecycle.later(sandbox.timing["volume"], ready)
    return answer


@route("POST", "/volumes/{volumeId}/clone", _RW, limit="volumes")
def clone_volume(call: Call) -> Json:
    source, problems = _one(call), Problems()
    require(problems, call.body, "label")
    if call.body.get("label") is not None:
        check_label(problems, call.body["label"], low=1, high=32, volume=True)
        _check_unique(problems, call.sandbox, call.body["label"])
    problems.check()
    given = {**source, "label": call.body["label"], "linode_id": None, "linode_label": None}
    return _add(call.sandbox, given, "volume_clone")


@route("GET", "/volumes/{volumeId}", _RO)
def view_volume(call: Call) -> Json:
    return _one(call)


@route("PUT", "/volumes/{volumeId}", _RW)
def update_volume(call: Call) -> Json:
    row, problems = _one(call), Problems()
    if call.body.get("label") is not None:
        check_label(problems, call.body["label"], low=1, high=32, volume=True)
        _check_unique(problems, call.sandbox, call.body["label"], row["id"])
    tags = (
        check_tags(problems, call.body["tags"], call.sandbox.tags_in_use())
        if call.body.get("tags") is not None
        else row["tags"]
    )
    problems.check()
    row.update(label=call.body.get("label") or row["label"], tags=tags, updated=call.sandbox.now())
    call.sandbox.store.put("volume", row["id"], row)
    _event(call, "volume_update", row)
    return row


@route("DELETE", "/volumes/{volumeId}", _RW)
def delete_volume(call: Call) -> Json:
    row = _one(call)
    if row["linode_id"] is not None:
        raise fail("Volume must be detached before it can be deleted.")
    call.sandbox.store.drop("volume", row["id"])
    call.sandbox.lifecycle.volumes_changed(gone=row["id"])
    _event(call, "volume_delete", row)
    return {}


@route("POST", "/volumes/{volumeId}/attach", _RW)
def attach_volume(call: Call) -> Json:
    row, wanted = _one(call), call.body.get("linode_id")
    record = call.sandbox.instance(wanted) if isinstance(wanted, int) else None
    if record is None:
        raise fail("A Linode by that ID was not found", "linode_id")
    if record["api"]["region"] != row["region"]:
        raise fail("The Linode and the volume are in different regions", "linode_id")
    if row["linode_id"] is not None:
        raise fail("Volume is already attached to a Linode")
    row.update(linode_id=record["api"]["id"], linode_label=record["api"]["label"], io_ready=True,
               updated=call.sandbox.now())  # fmt: skip
    call.sandbox.store.put("volume", row["id"], row)
    _event(call, "volume_attach", row)
    damaged = call.sandbox.faults.strike_instance("volume_damaged", row)
    call.sandbox.lifecycle.volumes_changed(row["linode_id"], damaged=row["id"] if damaged else None)
    return row


@route("POST", "/volumes/{volumeId}/detach", _RW)
def detach_volume(call: Call) -> Json:
    row = _one(call)
    before = row["linode_id"]
    row.update(linode_id=None, linode_label=None, io_ready=False, updated=call.sandbox.now())
    call.sandbox.store.put("volume", row["id"], row)
    call.sandbox.lifecycle.volumes_changed(before)
    _event(call, "volume_detach", row)
    return {}


@route("POST", "/volumes/{volumeId}/resize", _RW)
def resize_volume(call: Call) -> Json:
    row, problems = _one(call), Problems()
    require(problems, call.body, "size")
    size = whole(problems, call.body, "size", low=10, high=16384)
    problems.check()
    if size is None or size <= row["size"]:
        raise fail("Storage Volumes can only be resized up", "size")
    row.update(size=size, updated=call.sandbox.now())
    call.sandbox.store.put("volume", row["id"], row)
    _event(call, "volume_resize", row)
    return row
