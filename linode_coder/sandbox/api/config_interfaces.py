"""Interfaces of a configuration profile: the older generation's, which belong to the profile and not to the instance."""

from __future__ import annotations

from typing import Any

from .disks import config_of, instance_of
from .envelope import Json, Problems, fail, not_found
from .interfaces import PURPOSES, legacy_interface
from .routing import Call, route
from .validation import check_legacy

_PATH = "/linode/instances/{linodeId}/configs/{configId}/interfaces"
_RO, _RW = "linodes:read_only", "linodes:read_write"


def _keep(call: Call, row: Json, interfaces: list[Json]) -> None:
    row["api"].update(interfaces=interfaces, updated=call.sandbox.now())
    call.sandbox.store.put("config", row["api"]["id"], row)


def _one(call: Call) -> tuple[Json, Json]:
    row, number = config_of(call), call.number("interfaceId")
    for interface in row["api"]["interfaces"]:
        if interface["id"] == number:
            return row, interface
    raise not_found()


def _check_primary(problems: Problems, body: Json) -> None:
    if body.get("primary") and body.get("purpose") == "vlan":
        problems.add("A VLAN interface cannot be the primary interface", "primary")


@route("GET", _PATH, _RO)
def list_config_interfaces(call: Call) -> list[Json]:
    """A bare array, without an envelope."""
    interfaces: list[Json] = config_of(call)["api"]["interfaces"]
    return interfaces


@route("POST", _PATH, _RW)
def create_config_interface(call: Call) -> Json:
    row, body, problems = config_of(call), call.body, Problems()
    check_legacy(instance_of(call), "An interface of a configuration profile")
    purpose = body.get("purpose")
    if purpose not in PURPOSES:
        problems.add(f"Must be one of {', '.join(PURPOSES)}", "purpose")
    elif purpose == "vlan" and not body.get("label"):
        problems.add("label is required", "label")
    elif purpose == "vpc":
        problems.add("A subnet by that ID was not found", "subnet_id")
    _check_primary(problems, body)
    problems.check()
    interfaces = row["api"]["interfaces"]
    if len(interfaces) >= 3:
        raise fail("At most 3 interfaces are allowed")
    if purpose == "public" and any(other["purpose"] == "public" for other in interfaces):
        raise fail("Only one public interface is allowed", "purpose")
    interface = legacy_interface(call.sandbox, body)
    _keep(call, row, [*interfaces, interface])
    return interface


@route("POST", _PATH + "/order", _RW)
def order_config_interfaces(call: Call) -> Json:
    row, wanted = config_of(call), call.body.get("ids")
    by_id: dict[Any, Json] = {interface["id"]: interface for interface in row["api"]["interfaces"]}
    if not isinstance(wanted, list) or len(wanted) != len(by_id) or set(wanted) != set(by_id):
        raise fail("Must name every interface of the config exactly once", "ids")
    _keep(call, row, [by_id[number] for number in wanted])
    return {}


@route("GET", _PATH + "/{interfaceId}", _RO)
def view_config_interface(call: Call) -> Json:
    return _one(call)[1]


@route("PUT", _PATH + "/{interfaceId}", _RW)
def update_config_interface(call: Call) -> Json:
    row, interface = _one(call)
    problems = Problems()
    _check_primary(problems, {**interface, **call.body})
    if "primary" in call.body and not isinstance(call.body["primary"], bool):
        problems.add("Must be a boolean", "primary")
    problems.check()
    if "primary" in call.body:
        interface["primary"] = call.body["primary"]
        if interface["primary"]:
            for other in row["api"]["interfaces"]:
                other["primary"] = other is interface
    _keep(call, row, row["api"]["interfaces"])
    return interface


@route("DELETE", _PATH + "/{interfaceId}", _RW)
def delete_config_interface(call: Call) -> Json:
    row, interface = _one(call)
    _keep(call, row, [other for other in row["api"]["interfaces"] if other is not interface])
    return {}
