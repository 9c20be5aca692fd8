"""Resource locks (v4beta): somebody protected an instance from deletion on purpose."""

from __future__ import annotations

from .envelope import Json, Problems, fail, not_found
from .routing import Call, route
from .validation import require

_TYPES = ("cannot_delete", "cannot_delete_with_subresources")
_FILTERABLE = ("entity.id", "entity.type", "id", "lock_type")


@route("GET", "/locks", "account:read_only", filterable=_FILTERABLE, beta_only=True)
def list_locks(call: Call) -> Json:
    return call.page([row["api"] for row in call.sandbox.store.table("lock").values()])


@route("POST", "/locks", "account:read_write", beta_only=True)
def create_lock(call: Call) -> Json:
    body, sandbox, problems = call.body, call.sandbox, Problems()
    require(problems, body, "entity_id", "entity_type", "lock_type")
    if body.get("lock_type") is not None and body["lock_type"] not in _TYPES:
        problems.add(f"Must be one of {', '.join(_TYPES)}", "lock_type")
    if body.get("entity_type") is not None and body["entity_type"] != "linode":
        problems.add("Must be linode", "entity_type")
    problems.check()
    record = sandbox.instance(body["entity_id"]) if isinstance(body["entity_id"], int) else None
    if record is None:
        raise fail("A Linode by that ID was not found", "entity_id")
    api = record["api"]
    if record["locks"]:
        raise fail("The entity already has a lock", "entity_id")
    number = sandbox.store.next_id("lock")
    about = {"id": api["id"], "type": "linode", "label": api["label"], "url": f"/v4/linode/instances/{api['id']}"}
    row = {"id": number, "lock_type": body["lock_type"], "entity": about}
    sandbox.store.put("lock", number, {"api": row, "linode_id": api["id"]})
    record["locks"] = [body["lock_type"]]
    sandbox.touch(record)
    return row


def _one(call: Call) -> Json:
    row = call.sandbox.store.table("lock").get(call.number("lockId"))
    if row is None:
        raise not_found()
    return row


@route("GET", "/locks/{lockId}", "account:read_only", beta_only=True)
def view_lock(call: Call) -> Json:
    api: Json = _one(call)["api"]
    return api


@route("DELETE", "/locks/{lockId}", "account:read_write", beta_only=True)
def delete_lock(call: Call) -> Json:
    row = _one(call)
    record = call.sandbox.instance(row["linode_id"])
    if record is not None:
        record["locks"] = []
        call.sandbox.touch(record)
    call.sandbox.store.drop("lock", row["api"]["id"])
    return {}
