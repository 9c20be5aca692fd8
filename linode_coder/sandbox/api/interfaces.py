"""Network interfaces of instances, in both generations, and which firewall is in front of them."""

from __future__ import annotations

from typing import Any

from . import firewalls
from .envelope import Json, Problems, fail, not_found
from .event_log import entity, linode_entity
from .routing import Call, route
from .sandbox import Sandbox
from .validation import whole

DEFAULT_SETTING = "legacy_config_default_but_linode_allowed"
PURPOSES = ("public", "vlan", "vpc")
_KINDS = ("public", "vlan", "vpc", "rdma_vpc")


def generation(problems: Problems, sandbox: Sandbox, body: Json) -> str:
    """``legacy_config`` or ``linode``: what was asked for, or what the account's settings make of a new instance."""
    setting = sandbox.setting("account_settings").get("interfaces_for_new_linodes", DEFAULT_SETTING)
    default = "linode" if setting.startswith("linode") else "legacy_config"
    wanted = body.get("interface_generation")
    if wanted is None:
        return default
    if wanted not in ("legacy_config", "linode"):
        problems.add("Must be one of legacy_config, linode", "interface_generation")
        return default
    if setting == f"{'legacy_config' if wanted == 'linode' else 'linode'}_only":
        problems.add(f"{wanted} interfaces are not allowed by the account's setting {setting}", "interface_generation")
    return str(wanted)


def check_create(problems: Problems, sandbox: Sandbox, body: Json, kind: str) -> list[Json]:
    """What to attach after the create: ``{body, firewall_id}`` per interface, checked against the generation."""
    wanted = body.get("interfaces")
    if wanted is None:
        wanted = []
    if not isinstance(wanted, list) or not all(isinstance(item, dict) for item in wanted):
        problems.add("Must be a list of objects", "interfaces")
        wanted = []
    firewall_id = whole(problems, body, "firewall_id", low=1)
    if firewall_id is not None:
        _check_firewall(problems, sandbox, firewall_id, "firewall_id")
        if kind == "linode":
            problems.add("firewall_id is only valid for legacy_config; set it on each interface", "firewall_id")
    if len(wanted) > 3:
        problems.add("At most 3 interfaces are allowed", "interfaces")
    if kind == "legacy_config":
        for position, item in enumerate(wanted):
            if item.get("purpose") not in PURPOSES:
                problems.add(f"Must be one of {', '.join(PURPOSES)}", f"interfaces[{position}].purpose")
        return [{"body": item, "firewall_id": firewall_id} for item in wanted] or [
            {"body": None, "firewall_id": firewall_id}
        ]
    default = firewalls.default_ids(sandbox)["public_interface"]
    if not wanted:
        return [{"body": {"public": {}}, "firewall_id": default}]
    checked = []
    for position, item in enumerate(wanted):
        checked.append(check_interface(problems, sandbox, item, f"interfaces[{position}]"))
    return checked


def check_interface(problems: Problems, sandbox: Sandbox, item: Json, field: str) -> Json:
    """One interface of the new generation; its firewall is the given one, none for null, else the account's default."""
    kinds = [kind for kind in _KINDS if item.get(kind) is not None]
    if len(kinds) != 1:
        problems.add("Exactly one of public, vlan, vpc or rdma_vpc is required", field)
        return {"body": item, "firewall_id": None}
    if kinds[0] == "vlan":
        if item.get("firewall_id") is not None:
            problems.add("A firewall cannot be assigned to a VLAN interface", f"{field}.firewall_id")
        return {"body": item, "firewall_id": None}
    if kinds[0] != "public":
        problems.add("A subnet by that ID was not found", f"{field}.{kinds[0]}.subnet_id")
    if "firewall_id" in item:
        if item["firewall_id"] is not None:
            _check_firewall(problems, sandbox, item["firewall_id"], f"{field}.firewall_id")
        return {"body": item, "firewall_id": item["firewall_id"]}
    default = firewalls.default_ids(sandbox)[f"{'vpc' if 'vpc' in kinds[0] else 'public'}_interface"]
    if default is None:
        problems.add("firewall_id is required: the account has no default firewall", f"{field}.firewall_id")
    return {"body": item, "firewall_id": default}


def _check_firewall(problems: Problems, sandbox: Sandbox, firewall_id: Any, field: str) -> None:
    if not isinstance(firewall_id, int) or firewall_id not in sandbox.store.table("firewall"):
        problems.add("A firewall by that ID was not found", field)


def attach(sandbox: Sandbox, record: Json, wanted: list[Json]) -> None:
    """Give a new instance what `check_create` returned."""
    api = record["api"]
    if api["interface_generation"] == "legacy_config":
        configs = [row for row in sandbox.store.table("config").values() if row["linode_id"] == api["id"]]
        for config in configs:
            config["api"]["interfaces"] = [
                legacy_interface(sandbox, item["body"]) for item in wanted if item["body"] is not None
            ]
        if wanted and wanted[0]["firewall_id"] is not None:
            firewalls.add_device(sandbox, wanted[0]["firewall_id"], "linode", api["id"], api["label"], api["id"])
        return
    for item in wanted:
        add_interface(sandbox, record, item)


def legacy_interface(sandbox: Sandbox, item: Json) -> Json:
    vlan = item["purpose"] == "vlan"
    return {
        "id": sandbox.store.next_id("interface"),
        "purpose": item["purpose"],
        "primary": bool(item.get("primary", False)),
        "active": True,
        "ipam_address": item.get("ipam_address") or "" if vlan else None,
        "label": item.get("label") or "" if vlan else None,
        "vpc_id": None,
        "subnet_id": item.get("subnet_id"),
        "ipv4": item.get("ipv4"),
        "ipv6": None,
        "ip_ranges": item.get("ip_ranges"),
    }


def add_interface(sandbox: Sandbox, record: Json, item: Json) -> Json:
    """One interface of the new generation; returns the API's object."""
    number = sandbox.store.next_id("interface")
    api, body, now = record["api"], item["body"], sandbox.now()
    public = vlan = None
    if body.get("public") is not None:
        slaac = api["ipv6"].split("/")[0]
        public = {
            "ipv4": {"addresses": [{"address": api["ipv4"][0], "primary": True}], "shared": []},
            "ipv6": {"ranges": [], "shared": [], "slaac": [{"address": slaac, "prefix": 64}]},
        }
    elif body.get("vlan") is not None:
        vlan = {"vlan_label": body["vlan"].get("vlan_label"), "ipam_address": body["vlan"].get("ipam_address")}
    row: Json = {
        "id": number,
        "mac_address": ":".join(("22", "00", *(f"{number >> shift & 255:02x}" for shift in (24, 16, 8, 0)))),
        "created": now,
        "updated": now,
        "default_route": {"ipv4": True, "ipv6": True} if public else {},
        "version": 1,
        "public": public,
        "vlan": vlan,
        "vpc": None,
    }
    sandbox.store.put("interface", number, {"api": row, "linode_id": api["id"]})
    if item["firewall_id"] is not None:
        firewalls.add_device(
            sandbox, item["firewall_id"], "linode_interface", number, f"{api['label']}-{number}", api["id"]
        )
    return row


def _instance(call: Call) -> Json:
    record = call.sandbox.instance(call.number("linodeId"))
    if record is None:
        raise not_found()
    return record


def _new_generation(call: Call) -> Json:
    record = _instance(call)
    if record["api"]["interface_generation"] != "linode":
        raise fail("Linode interfaces are only available for Linodes whose interface_generation is linode")
    return record


def _interface(call: Call) -> Json:
    record = _new_generation(call)
    row = call.sandbox.store.table("interface").get(call.number("interfaceId"))
    if row is None or row["linode_id"] != record["api"]["id"]:
        raise not_found()
    return row


@route("GET", "/linode/instances/{linodeId}/interfaces", "linodes:read_only")
def list_interfaces(call: Call) -> Json:
    record = _new_generation(call)
    table = call.sandbox.store.table("interface").values()
    return {"interfaces": [row["api"] for row in table if row["linode_id"] == record["api"]["id"]]}


@route("POST", "/linode/instances/{linodeId}/interfaces", "linodes:read_write")
def create_interface(call: Call) -> Json:
    record = _new_generation(call)
    if record["api"]["status"] != "offline":
        raise fail("The Linode must be powered off to change its interfaces")
    problems = Problems()
    item = check_interface(problems, call.sandbox, call.body, "interface")
    problems.check()
    row = add_interface(call.sandbox, record, item)
    about = entity(
        "interface", row["id"], str(row["id"]), f"/v4/linode/instances/{record['api']['id']}/interfaces/{row['id']}"
    )
    call.sandbox.events.add("interface_create", linode_entity(record["api"]), secondary=about)
    return row


@route("GET", "/linode/instances/{linodeId}/interfaces/settings", "linodes:read_only")
def interface_settings(call: Call) -> Json:
    record = _new_generation(call)
    table = call.sandbox.store.table("interface").values()
    own = [row["api"] for row in table if row["linode_id"] == record["api"]["id"] and row["api"]["public"]]
    first = own[0]["id"] if own else None
    eligible = [row["id"] for row in own]
    route_of = {"ipv4_interface_id": first, "ipv4_eligible_interface_ids": eligible,
                "ipv6_interface_id": first, "ipv6_eligible_interface_ids": eligible}  # fmt: skip
    return {"network_helper": True, "default_route": route_of}


@route("GET", "/linode/instances/{linodeId}/interfaces/{interfaceId}", "linodes:read_only")
def view_interface(call: Call) -> Json:
    api: Json = _interface(call)["api"]
    return api


@route("GET", "/linode/instances/{linodeId}/interfaces/{interfaceId}/firewalls", "linodes:read_only")
def interface_firewalls(call: Call) -> Json:
    number = _interface(call)["api"]["id"]
    return call.page(firewalls.of_entity(call.sandbox, "linode_interface", number))


@route("DELETE", "/linode/instances/{linodeId}/interfaces/{interfaceId}", "linodes:read_write")
def delete_interface(call: Call) -> Json:
    row = _interface(call)
    if _instance(call)["api"]["status"] != "offline":
        raise fail("The Linode must be powered off to change its interfaces")
    firewalls.forget_entity(call.sandbox, "linode_interface", row["api"]["id"])
    call.sandbox.store.drop("interface", row["api"]["id"])
    return {}
