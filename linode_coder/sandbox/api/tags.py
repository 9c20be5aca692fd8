"""Tags: the ones in use plus the ones made by hand."""

from __future__ import annotations

from collections.abc import Iterator

from .envelope import Json, Problems, fail, not_found
from .event_log import entity
from .firewalls import show as show_firewall
from .instances import show as show_instance
from .routing import Call, route
from .validation import require, unlike_in_case

_RO, _RW = "account:read_only", "account:read_write"


def _tagged(call: Call) -> Iterator[tuple[str, Json, Json]]:
    """(kind, the object that holds ``tags``, the record to store) of everything that can be tagged."""
    for record in call.sandbox.instances():
        yield "linode", record["api"], record
    for volume in call.sandbox.store.table("volume").values():
        yield "volume", volume, volume
    for firewall in call.sandbox.store.table("firewall").values():
        yield "firewall", firewall, firewall


def _labels(call: Call) -> list[str]:
    return unlike_in_case(call.sandbox.tags_in_use())


def _among(label: object, tags: list[str]) -> bool:
    """Tags are equal whatever their case."""
    return str(label).lower() in [tag.lower() for tag in tags]


@route("GET", "/tags", _RO)
def list_tags(call: Call) -> Json:
    return call.page([{"label": label} for label in _labels(call)])


@route("POST", "/tags", _RW)
def create_tag(call: Call) -> Json:
    body, problems = call.body, Problems()
    require(problems, body, "label")
    label = body.get("label")
    if label is not None and not (isinstance(label, str) and 3 <= len(label) <= 50):
        problems.add("Length must be 3-50 characters", "label")
    wanted = set()
    for field, kind in (("linodes", "linode"), ("volumes", "volume")):
        numbers = body.get(field) or []
        if isinstance(numbers, list) and all(isinstance(number, int) for number in numbers):
            wanted |= {(kind, number) for number in numbers}
        else:
            problems.add("Must be a list of integers", field)
    found = [(kind, api, row) for kind, api, row in _tagged(call) if (kind, api["id"]) in wanted]
    if len(found) < len(wanted):
        problems.add("One of the objects to tag was not found", "linodes")
    problems.check()
    if _among(label, _labels(call)):
        raise fail("Tag already exists", "label")
    call.sandbox.store.put("tag", str(label), {"label": label})
    for kind, api, row in found:
        api["tags"] = [*api["tags"], label]
        call.sandbox.store.put("instance" if kind == "linode" else kind, api["id"], row)
    call.sandbox.events.add("tag_create", entity("tag", str(label), str(label), f"/v4/tags/{label}"))
    return {"label": label}


@route("GET", "/tags/{tagLabel}", _RO)
def tagged_objects(call: Call) -> Json:
    label = call.params["tagLabel"]
    if not _among(label, _labels(call)):
        raise not_found()
    rows: list[Json] = []
    for kind, api, row in _tagged(call):
        if _among(label, api["tags"]):
            data = api
            if kind == "linode":
                data = show_instance(call, row)
            elif kind == "firewall":
                data = show_firewall(call.sandbox, row)
            rows.append({"type": kind, "data": data})
    return call.page(rows)


@route("DELETE", "/tags/{tagLabel}", _RW)
def delete_tag(call: Call) -> Json:
    label = call.params["tagLabel"]
    if not _among(label, _labels(call)):
        raise not_found()
    for kind, api, row in list(_tagged(call)):
        if _among(label, api["tags"]):
            api["tags"] = [tag for tag in api["tags"] if tag.lower() != label.lower()]
            call.sandbox.store.put("instance" if kind == "linode" else kind, api["id"], row)
    for key in [key for key in call.sandbox.store.table("tag") if _among(key, [label])]:
        call.sandbox.store.drop("tag", key)
    call.sandbox.events.add("tag_delete", entity("tag", label, label, f"/v4/tags/{label}"))
    return {}
