"""Images: the public ones of the catalogue, and private ones made from disks."""

from __future__ import annotations

from .envelope import Json, Problems, fail, not_found
from .event_log import entity, linode_entity
from .routing import Call, route
from .validation import check_tags, require

_FIELDS = (
    "deprecated", "id", "is_public", "is_shared", "label", "size", "status", "tags", "type", "vendor", "created_by",
)  # fmt: skip
_RW = "images:read_write"


def _one(call: Call) -> Json:
    image = call.sandbox.image(call.params["imageId"])
    if image is None:
        raise not_found()
    return image


def _own(call: Call) -> Json:
    """A private image; the public ones belong to somebody else."""
    image = _one(call)
    if image["is_public"]:
        raise fail("Unauthorized", status=403)
    return image


def _check_text(problems: Problems, body: Json) -> None:
    label, description = body.get("label"), body.get("description")
    if label is not None and (not isinstance(label, str) or not 1 <= len(label) <= 50):
        problems.add("Length must be 1-50 characters", "label")
    if description is not None and (not isinstance(description, str) or len(description) > 65_000):
        problems.add("Length must be 0-65000 characters", "description")


@route("GET", "/images", None, filterable=_FIELDS, limit="images")
def list_images(call: Call) -> Json:
    private = list(call.sandbox.store.table("image").values()) if call.caller.may("images:read_only") else []
    found = call.page([*call.sandbox.catalogue.images, *private])
    # The only list that was recorded to have no page when it is empty.
    return found if found["results"] else {**found, "page": 0, "pages": 0}


@route("POST", "/images", _RW, limit="images")
def create_image(call: Call) -> Json:
    """Copies a disk; the instance is busy meanwhile."""
    body, sandbox, problems = call.body, call.sandbox, Problems()
    require(problems, body, "disk_id")
    row = sandbox.store.table("disk").get(body["disk_id"]) if isinstance(body.get("disk_id"), int) else None
    if body.get("disk_id") is not None and row is None:
        problems.add("Disk not found or not accessible", "disk_id")
    _check_text(problems, body)
    tags = check_tags(problems, body["tags"], sandbox.tags_in_use()) if body.get("tags") is not None else []
    problems.check()
    record = sandbox.instance(row["linode_id"]) if row is not None else None
    if row is None or record is None:
        raise not_found()
    linode_id = record["api"]["id"]
    sandbox.lifecycle.check_free(linode_id)
    source = sandbox.image(record["api"]["image"] or "")
    number, now, disk = sandbox.store.next_id("image"), sandbox.now(), row["api"]
    image: Json = {
        "id": f"private/{number}",
        "label": body.get("label") or disk["label"][:50],
        "deprecated": False,
        "size": disk["size"],
        "created": now,
        "updated": now,
        "description": body.get("description") or "",
        "created_by": sandbox.events.username,
        "type": "manual",
        "is_public": False,
        "vendor": None,
        "expiry": None,
        "eol": None,
        "status": "creating",
        "capabilities": list(source["capabilities"]) if source else [],
        "tags": tags,
        "total_size": disk["size"],
        "regions": [],
        "is_shared": False,
        "image_sharing": None,
    }
    sandbox.store.put("image", image["id"], image)
    about = entity("image", image["id"], image["label"], f"/v4/images/{image['id']}")
    sandbox.events.add(
        "disk_imagize", linode_entity(record["api"]), secondary=about, status="scheduled", linode_id=linode_id,
        job={"image_id": image["id"]},
    )  # fmt: skip
    sandbox.lifecycle.begin(linode_id)
    return dict(image)


@route("GET", "/images/{imageId...}", None)
def view_image(call: Call) -> Json:
    image = _one(call)
    if not image["is_public"] and not call.caller.may("images:read_only"):
        raise not_found()
    return image


@route("PUT", "/images/{imageId...}", _RW)
def update_image(call: Call) -> Json:
    image, problems = _own(call), Problems()
    _check_text(problems, call.body)
    tags = (
        check_tags(problems, call.body["tags"], call.sandbox.tags_in_use())
        if call.body.get("tags") is not None
        else image["tags"]
    )
    problems.check()
    given = {key: call.body[key] for key in ("label", "description") if call.body.get(key) is not None}
    image.update(given, tags=tags, updated=call.sandbox.now())
    call.sandbox.store.put("image", image["id"], image)
    _event(call, "image_update", image)
    return image


@route("DELETE", "/images/{imageId...}", _RW)
def delete_image(call: Call) -> Json:
    image = _own(call)
    if image["status"] == "creating":
        raise fail("Cannot delete an image that is being created")
    call.sandbox.store.drop("image", image["id"])
    _event(call, "image_delete", image)
    return {}


def _event(call: Call, action: str, image: Json) -> None:
    call.sandbox.events.add(action, entity("image", image["id"], image["label"], f"/v4/images/{image['id']}"))
