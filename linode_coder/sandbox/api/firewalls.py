"""Cloud Firewalls: rules, devices, templates and the account's defaults."""

from __future__ import annotations

import copy
import ipaddress
import json
import re
import zlib
from typing import Any

from .envelope import Json, Problems, fail, not_found
from .event_log import entity
from .routing import Call, route
from .sandbox import Sandbox
from .validation import check_label, check_legacy, check_tags, require

_RO, _RW = "firewall:read_only", "firewall:read_write"
_FILTERABLE = ("created", "id", "label", "tags", "updated")
_PROTOCOLS = ("TCP", "UDP", "ICMP", "IPENCAP", "ALL")
_POLICIES = ("ACCEPT", "DROP")
_PORT = re.compile(r"\d{1,5}(-\d{1,5})?")
_DEVICE_TYPES = ("linode", "linode_interface", "interface", "nodebalancer")
_DEFAULTS = ("linode", "nodebalancer", "public_interface", "vpc_interface")


def _version(rules: Json, version: int) -> Json:
    """Rules as they are answered: everything as it was sent, then version and fingerprint."""
    kept = {key: rules.get(key) for key in ("inbound", "inbound_policy", "outbound", "outbound_policy")}
    digest = zlib.crc32(json.dumps(kept, sort_keys=True).encode())
    return {**kept, "version": version, "fingerprint": f"{digest:08x}"}


def check_rules(problems: Problems, rules: Any, prefix: str = "rules.") -> None:
    """Policies, at most 25 rules, and per rule its protocol, ports and addresses."""
    if not isinstance(rules, dict):
        problems.add("Must be an object", prefix.rstrip("."))
        return
    total = 0
    for side in ("inbound", "outbound"):
        policy = rules.get(f"{side}_policy")
        if policy is None:
            problems.add(f"{side}_policy is required", f"{prefix}{side}_policy")
        elif policy not in _POLICIES:
            problems.add("Must be one of ACCEPT, DROP", f"{prefix}{side}_policy")
        entries = rules.get(side)
        if entries is None:
            continue
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            problems.add("Must be a list of objects", f"{prefix}{side}")
            continue
        total += len(entries)
        for position, rule in enumerate(entries):
            _check_rule(problems, rule, f"{prefix}{side}[{position}]")
    if total > 25:
        problems.add("A firewall can have at most 25 rules across inbound and outbound", prefix.rstrip("."))


def _check_rule(problems: Problems, rule: Json, field: str) -> None:
    if rule.get("action") not in _POLICIES:
        problems.add("Must be one of ACCEPT, DROP", f"{field}.action")
    protocol = str(rule.get("protocol") or "").upper()
    numeric = protocol.isdigit() and int(protocol) <= 255
    if protocol not in _PROTOCOLS and not numeric:
        problems.add(f"Must be one of {', '.join(_PROTOCOLS)} or a protocol number", f"{field}.protocol")
    label = rule.get("label")
    if label is not None:
        check_label(problems, label, high=32, field=f"{field}.label")
    description = rule.get("description")
    if description and not (isinstance(description, str) and len(description) <= 100):
        problems.add("Length must be 1-100 characters", f"{field}.description")
    _check_ports(problems, rule.get("ports"), protocol, f"{field}.ports")
    _check_addresses(problems, rule.get("addresses"), f"{field}.addresses")


def _check_ports(problems: Problems, ports: Any, protocol: str, field: str) -> None:
    if not ports:
        return
    if protocol in ("ICMP", "IPENCAP", "ALL"):
        problems.add(f"Ports are not allowed for {protocol} protocol", field)
        return
    pieces = [piece.strip() for piece in ports.split(",")] if isinstance(ports, str) else [""]
    if len(pieces) > 15:
        problems.add("At most 15 ports and ranges are allowed", field)
    for piece in pieces:
        bounds = [int(bound) for bound in piece.split("-")] if _PORT.fullmatch(piece) else []
        if not bounds or not all(1 <= bound <= 65535 for bound in bounds) or bounds != sorted(bounds):
            problems.add(f"Ports must be numbers or ranges of 1-65535, not {piece!r}", field)


def _check_addresses(problems: Problems, addresses: Any, field: str) -> None:
    if addresses is None:
        return
    if not isinstance(addresses, dict):
        problems.add("Must be an object", field)
        return
    total = 0
    for family, parse in (("ipv4", ipaddress.IPv4Network), ("ipv6", ipaddress.IPv6Network)):
        wanted = addresses.get(family)
        if wanted is None:
            continue
        if not isinstance(wanted, list):
            problems.add("Must be a list of strings", f"{field}.{family}")
            continue
        total += len(wanted)
        for position, address in enumerate(wanted):
            if not _is_network(address, parse):
                problems.add(
                    f"Must be a valid {'IPv4' if family == 'ipv4' else 'IPv6'} CIDR, such as "
                    f"{'0.0.0.0/0' if family == 'ipv4' else '::/0'}",
                    f"{field}.{family}[{position}]",
                )
    if total > 255:
        problems.add("At most 255 addresses are allowed in one rule", field)


def _is_network(address: Any, parse: type[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    if not isinstance(address, str) or "/" not in address:
        return False
    try:
        parse(address, strict=False)
    except ValueError:
        return False
    return True


# -- devices


def _entity_of(sandbox: Sandbox, kind: str, number: Any) -> Json | None:
    """(label, url, parent) of what a firewall can be put in front of; None when it does not exist."""
    if not isinstance(number, int):
        return None
    if kind == "linode":
        record = sandbox.instance(number)
        if record is None:
            return None
        return {"label": record["api"]["label"], "linode_id": number}
    if kind in ("linode_interface", "interface"):
        row = sandbox.store.table("interface").get(number)
        if row is None:
            return None
        return {"label": str(number), "linode_id": row["linode_id"]}
    return None


def add_device(sandbox: Sandbox, firewall_id: int, kind: str, number: int, label: str, linode_id: int) -> Json:
    """Put the firewall in front of something; the device as the API shows it."""
    device_id, now = sandbox.store.next_id("firewall_device"), sandbox.now()
    path = f"/v4/linode/instances/{linode_id}"
    if kind != "linode":
        path += f"/interfaces/{number}"
    parent = None
    if kind != "linode":
        record = sandbox.instance(linode_id)
        parent = {
            "id": linode_id,
            "label": record["api"]["label"] if record else None,
            "type": "linode",
            "url": f"/v4/linode/instances/{linode_id}",
            "parent_entity": None,
        }
    about: Json = {
        "id": number,
        "type": kind,
        "label": label if kind == "linode" else None,
        "url": path,
        "parent_entity": parent,
    }
    api = {"id": device_id, "created": now, "updated": now, "entity": about}
    sandbox.store.put("firewall_device", device_id, {"api": api, "firewall_id": firewall_id, "linode_id": linode_id})
    firewall = sandbox.store.table("firewall")[firewall_id]
    sandbox.events.add("firewall_device_add", _event_entity(firewall), secondary=_secondary(about))
    return api


def _event_entity(firewall: Json) -> Json:
    return entity("firewall", firewall["id"], firewall["label"], f"/v4/networking/firewalls/{firewall['id']}")


def _secondary(about: Json) -> Json:
    return entity(about["type"], about["id"], about["label"], about["url"])


def _devices(sandbox: Sandbox, firewall_id: int) -> list[Json]:
    return [row["api"] for row in sandbox.store.table("firewall_device").values() if row["firewall_id"] == firewall_id]


def of_entity(sandbox: Sandbox, kind: str, number: int) -> list[Json]:
    """Firewalls in front of one thing, as the API shows them."""
    found = [
        row["firewall_id"]
        for row in sandbox.store.table("firewall_device").values()
        if row["api"]["entity"]["type"] == kind and row["api"]["entity"]["id"] == number
    ]
    return [show(sandbox, sandbox.store.table("firewall")[number]) for number in found]


def forget_entity(sandbox: Sandbox, kind: str, number: int) -> None:
    for key, row in list(sandbox.store.table("firewall_device").items()):
        if row["api"]["entity"]["type"] == kind and row["api"]["entity"]["id"] == number:
            sandbox.store.drop("firewall_device", key)


def forget_linode(sandbox: Sandbox, linode_id: int) -> None:
    """Take every firewall away from an instance and its interfaces."""
    for key, row in list(sandbox.store.table("firewall_device").items()):
        if row["linode_id"] == linode_id:
            sandbox.store.drop("firewall_device", key)


def show(sandbox: Sandbox, firewall: Json) -> Json:
    """The API's object: what is stored plus what it is attached to right now."""
    return {**firewall, "entities": [copy.copy(device["entity"]) for device in _devices(sandbox, firewall["id"])]}


def default_ids(sandbox: Sandbox) -> Json:
    return {name: sandbox.setting("firewall_settings").get(name) for name in _DEFAULTS}


# -- firewalls


def _exists(sandbox: Sandbox, number: Any) -> bool:
    return isinstance(number, int) and number in sandbox.store.table("firewall")


def _one(call: Call) -> Json:
    firewall = call.sandbox.store.table("firewall").get(call.number("firewallId"))
    if firewall is None:
        raise not_found()
    return firewall


def _check_unique(problems: Problems, sandbox: Sandbox, label: Any, but: int | None = None) -> None:
    if any(row["label"] == label and row["id"] != but for row in sandbox.store.table("firewall").values()):
        problems.add("Label must be unique among your Cloud Firewalls", "label")


@route("GET", "/networking/firewalls", _RO, filterable=_FILTERABLE, limit="collection")
def list_firewalls(call: Call) -> Json:
    return call.page([show(call.sandbox, row) for row in call.sandbox.store.table("firewall").values()])


@route("POST", "/networking/firewalls", _RW)
def create_firewall(call: Call) -> Json:
    body, sandbox, problems = call.body, call.sandbox, Problems()
    require(problems, body, "label", "rules")
    if body.get("label") is not None:
        check_label(problems, body["label"], high=32)
        _check_unique(problems, sandbox, body["label"])
    if body.get("rules") is not None:
        check_rules(problems, body["rules"])
    tags = check_tags(problems, body["tags"], sandbox.tags_in_use()) if body.get("tags") is not None else []
    devices = body.get("devices") or {}
    wanted: list[tuple[str, int, Json]] = []
    if not isinstance(devices, dict):
        problems.add("Must be an object", "devices")
        devices = {}
    for plural, kind in (("linodes", "linode"), ("linode_interfaces", "linode_interface"),
                         ("interfaces", "linode_interface"), ("nodebalancers", "nodebalancer")):  # fmt: skip
        numbers = devices.get(plural) or []
        if not isinstance(numbers, list):
            problems.add("Must be a list of integers", f"devices.{plural}")
            continue
        for number in numbers:
            found = _entity_of(sandbox, kind, number)
            if found is None:
                problems.add(f"A {kind} by ID {number} was not found", f"devices.{plural}")
            elif of_entity(sandbox, kind, number):
                problems.add(f"{kind} {number} already has a firewall", f"devices.{plural}")
            else:
                wanted.append((kind, number, found))
    problems.check()
    number, now = sandbox.store.next_id("firewall"), sandbox.now()
    firewall: Json = {
        "id": number,
        "label": body["label"],
        "created": now,
        "updated": now,
        "status": "enabled",
        "rules": _version(body["rules"], 1),
        "tags": tags,
    }
    sandbox.store.put("firewall", number, firewall)
    _remember(sandbox, firewall)
    sandbox.events.add("firewall_create", _event_entity(firewall))
    for kind, target, found in wanted:
        add_device(sandbox, number, kind, target, found["label"], found["linode_id"])
    return show(sandbox, firewall)


@route("GET", "/networking/firewalls/{firewallId}", _RO)
def view_firewall(call: Call) -> Json:
    return show(call.sandbox, _one(call))


@route("PUT", "/networking/firewalls/{firewallId}", _RW)
def update_firewall(call: Call) -> Json:
    firewall, body, sandbox, problems = _one(call), call.body, call.sandbox, Problems()
    changes: Json = {}
    if body.get("label") is not None:
        check_label(problems, body["label"], high=32)
        _check_unique(problems, sandbox, body["label"], firewall["id"])
        changes["label"] = body["label"]
    if body.get("tags") is not None:
        changes["tags"] = check_tags(problems, body["tags"], sandbox.tags_in_use())
    if body.get("status") is not None:
        if body["status"] not in ("enabled", "disabled"):
            problems.add("Must be one of enabled, disabled", "status")
        changes["status"] = body["status"]
    problems.check()
    turned = changes.get("status", firewall["status"])
    action = "firewall_update"
    if turned != firewall["status"]:
        action = "firewall_enable" if turned == "enabled" else "firewall_disable"
    firewall.update(changes, updated=sandbox.now())
    sandbox.store.put("firewall", firewall["id"], firewall)
    sandbox.events.add(action, _event_entity(firewall))
    return show(sandbox, firewall)


@route("DELETE", "/networking/firewalls/{firewallId}", _RW)
def delete_firewall(call: Call) -> Json:
    firewall, sandbox = _one(call), call.sandbox
    if firewall["id"] in default_ids(sandbox).values():
        raise fail("Cannot delete a firewall that is a default of the account")
    for device in _devices(sandbox, firewall["id"]):
        sandbox.store.drop("firewall_device", device["id"])
    for key, entry in list(sandbox.store.table("firewall_history").items()):
        if entry["firewall_id"] == firewall["id"]:
            sandbox.store.drop("firewall_history", key)
    sandbox.store.drop("firewall", firewall["id"])
    sandbox.events.add("firewall_delete", _event_entity(firewall))
    return {}


@route("GET", "/networking/firewalls/{firewallId}/rules", _RO)
def view_rules(call: Call) -> Json:
    rules: Json = _one(call)["rules"]
    return rules


@route("PUT", "/networking/firewalls/{firewallId}/rules", _RW)
def update_rules(call: Call) -> Json:
    firewall, problems = _one(call), Problems()
    check_rules(problems, call.body, "")
    problems.check()
    firewall["rules"] = _version(call.body, firewall["rules"]["version"] + 1)
    firewall["updated"] = call.sandbox.now()
    call.sandbox.store.put("firewall", firewall["id"], firewall)
    _remember(call.sandbox, firewall)
    call.sandbox.events.add("firewall_rules_update", _event_entity(firewall))
    rules: Json = firewall["rules"]
    return rules


@route("GET", "/networking/firewalls/{firewallId}/history", _RO)
def rule_history(call: Call) -> Json:
    """Every version of the rules: the latest is current, the others are disabled."""
    firewall = _one(call)
    rows = [
        {
            "updated": entry["updated"],
            "status": firewall["status"] if entry["rules"]["version"] == firewall["rules"]["version"] else "disabled",
            "rules": {key: entry["rules"][key] for key in ("version", "fingerprint")},
        }
        for entry in _history(call, firewall["id"])
    ]
    return call.page(rows)


@route("GET", "/networking/firewalls/{firewallId}/history/rules/{version}", _RO)
def rule_version(call: Call) -> Json:
    firewall, version = _one(call), call.number("version")
    for entry in _history(call, firewall["id"]):
        if entry["rules"]["version"] == version:
            rules: Json = entry["rules"]
            return rules
    raise not_found()


def _history(call: Call, firewall_id: int) -> list[Json]:
    kept = call.sandbox.store.table("firewall_history").values()
    return [entry for entry in kept if entry["firewall_id"] == firewall_id]


def _remember(sandbox: Sandbox, firewall: Json) -> None:
    key = f"{firewall['id']}/{firewall['rules']['version']:06}"
    entry = {"firewall_id": firewall["id"], "updated": firewall["updated"], "rules": firewall["rules"]}
    sandbox.store.put("firewall_history", key, entry)


@route("GET", "/networking/firewalls/{firewallId}/devices", _RO, filterable=("created", "id", "updated"))
def list_devices(call: Call) -> Json:
    return call.page(_devices(call.sandbox, _one(call)["id"]))


@route("POST", "/networking/firewalls/{firewallId}/devices", _RW)
def create_device(call: Call) -> Json:
    firewall, body, sandbox, problems = _one(call), call.body, call.sandbox, Problems()
    require(problems, body, "id", "type")
    if body.get("type") is not None and body["type"] not in _DEVICE_TYPES:
        problems.add(f"Must be one of {', '.join(_DEVICE_TYPES)}", "type")
    problems.check()
    kind = "linode_interface" if body["type"] == "interface" else body["type"]
    found = _entity_of(sandbox, kind, body["id"])
    if found is None:
        raise fail(f"A {kind} by that ID was not found", "id")
    record = sandbox.instance(found["linode_id"])
    if kind == "linode" and record is not None and record["api"]["interface_generation"] == "linode":
        raise fail("Firewalls of this Linode belong on its interfaces", "id")
    if of_entity(sandbox, kind, body["id"]):
        raise fail(f"{kind} {body['id']} already has a firewall", "id")
    return add_device(sandbox, firewall["id"], kind, body["id"], found["label"], found["linode_id"])


def _device(call: Call) -> Json:
    row = call.sandbox.store.table("firewall_device").get(call.number("deviceId"))
    if row is None or row["firewall_id"] != _one(call)["id"]:
        raise not_found()
    return row


@route("GET", "/networking/firewalls/{firewallId}/devices/{deviceId}", _RO)
def view_device(call: Call) -> Json:
    api: Json = _device(call)["api"]
    return api


@route("DELETE", "/networking/firewalls/{firewallId}/devices/{deviceId}", _RW)
def delete_device(call: Call) -> Json:
    firewall, row = _one(call), _device(call)
    call.sandbox.store.drop("firewall_device", row["api"]["id"])
    about = _secondary(row["api"]["entity"])
    call.sandbox.events.add("firewall_device_remove", _event_entity(firewall), secondary=about)
    return {}


@route("GET", "/networking/firewalls/settings", _RO)
def view_settings(call: Call) -> Json:
    return {"default_firewall_ids": default_ids(call.sandbox)}


@route("PUT", "/networking/firewalls/settings", "account:read_write")
def update_settings(call: Call) -> Json:
    wanted, problems = call.body.get("default_firewall_ids"), Problems()
    if not isinstance(wanted, dict):
        raise fail("default_firewall_ids is required", "default_firewall_ids")
    for name, number in wanted.items():
        if name not in _DEFAULTS:
            problems.add(f"Must be one of {', '.join(_DEFAULTS)}", f"default_firewall_ids.{name}")
        elif number is not None and not _exists(call.sandbox, number):
            problems.add("A firewall by that ID was not found", f"default_firewall_ids.{name}")
    problems.check()
    call.sandbox.store.put("singleton", "firewall_settings", {**default_ids(call.sandbox), **wanted})
    return {"default_firewall_ids": default_ids(call.sandbox)}


def _rule(label: str, protocol: str, ipv4: list[str], ipv6: list[str], ports: str | None = None) -> Json:
    rule: Json = {"action": "ACCEPT", "label": label, "protocol": protocol, "addresses": {"ipv4": ipv4, "ipv6": ipv6}}
    if ports:
        rule["ports"] = ports
    return rule


_SSH = [
    _rule("accept-inbound-ssh", "TCP", ["0.0.0.0/0"], ["::/0"], "22"),
    _rule("accept-inbound-icmp", "ICMP", ["0.0.0.0/0"], ["::/0"]),
]
_PRIVATE = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]
_TEMPLATES = {
    "public": _SSH,
    "vpc": [
        *_SSH,
        _rule("accept-vpc-tcp", "TCP", _PRIVATE, [], "1-65535"),
        _rule("accept-vpc-udp", "UDP", _PRIVATE, [], "1-65535"),
    ],
}


def _template(slug: str) -> Json:
    rules = {"inbound": _TEMPLATES[slug], "inbound_policy": "DROP", "outbound": [], "outbound_policy": "ACCEPT"}
    return {"slug": slug, "rules": rules}


@route("GET", "/networking/firewalls/templates", None)
def list_templates(call: Call) -> Json:
    return call.page([_template(slug) for slug in _TEMPLATES])


@route("GET", "/networking/firewalls/templates/{slug}", None)
def view_template(call: Call) -> Json:
    if call.params["slug"] not in _TEMPLATES:
        raise not_found()
    return _template(call.params["slug"])


# -- as an instance sees them


def _linode(call: Call) -> Json:
    record = call.sandbox.instance(call.number("linodeId"))
    if record is None:
        raise not_found()
    return record


@route("GET", "/linode/instances/{linodeId}/firewalls", "linodes:read_only", filterable=_FILTERABLE)
def instance_firewalls(call: Call) -> Json:
    return call.page(of_entity(call.sandbox, "linode", _linode(call)["api"]["id"]))


@route("PUT", "/linode/instances/{linodeId}/firewalls", "linodes:read_write")
def set_instance_firewalls(call: Call) -> Json:
    record, sandbox = _linode(call), call.sandbox
    api, wanted = record["api"], call.body.get("firewall_ids")
    check_legacy(record, "firewall_ids", "firewall_ids")
    if not isinstance(wanted, list):
        raise fail("firewall_ids is required", "firewall_ids")
    if len(wanted) > 1:
        raise fail("At most one firewall can be assigned", "firewall_ids")
    if not all(_exists(sandbox, number) for number in wanted):
        raise fail("A firewall by that ID was not found", "firewall_ids")
    if {row["id"] for row in of_entity(sandbox, "linode", api["id"])} != set(wanted):
        forget_entity(sandbox, "linode", api["id"])
        for number in wanted:
            add_device(sandbox, number, "linode", api["id"], api["label"], api["id"])
    return call.page(of_entity(sandbox, "linode", api["id"]))


@route("POST", "/linode/instances/{linodeId}/firewalls/apply", "linodes:read_write")
def apply_firewalls(call: Call) -> Json:
    _linode(call)
    return {}
