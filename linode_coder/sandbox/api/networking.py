"""IP addresses, of instances and of the account."""

from __future__ import annotations

import ipaddress

from .envelope import Json, Problems, fail, not_found
from .event_log import linode_entity
from .instances import free_address, private_address
from .routing import Call, route
from .sandbox import Sandbox
from .validation import check_legacy, require

_FILTERABLE = ("address", "prefix", "rdns", "region", "type")
_NO_MORE_RESERVED = (
    "Additional Reserved IPv4 addresses require technical justification."
    " Please contact support describing your requirement."
)


def _private(address: str) -> bool:
    return address.startswith("192.168.")


def _ipv4(sandbox: Sandbox, record: Json, address: str) -> Json:
    api = record["api"]
    private = _private(address)
    network = ipaddress.ip_network(f"{address}/{17 if private else 24}", strict=False)
    rdns = None
    if not private:
        kept = sandbox.store.table("rdns").get(address)
        rdns = kept["rdns"] if kept else f"{address.replace('.', '-')}.ip.linodeusercontent.com"
    row: Json = {
        "address": address,
        "gateway": None if private else str(network.network_address + 1),
        "subnet_mask": str(network.netmask),
        "prefix": network.prefixlen,
        "type": "ipv4",
        "public": not private,
        "rdns": rdns,
        "linode_id": api["id"],
        "region": api["region"],
    }
    interface = next(
        (
            entry["api"]["id"]
            for entry in sandbox.store.table("interface").values()
            if not private and entry["linode_id"] == api["id"] and entry["api"]["public"]
        ),
        None,
    )
    url = f"/v4/linode/instances/{api['id']}"
    row.update(
        interface_id=interface,
        vpc_nat_1_1=None,
        reserved=False,
        tags=[],
        assigned_entity={"id": api["id"], "label": api["label"], "type": "linode", "url": url},
    )
    return row


def _ipv6(record: Json, address: str) -> Json:
    api = record["api"]
    return {
        "address": address,
        "gateway": "fe80::1",
        "subnet_mask": "ffff:ffff:ffff:ffff::",
        "prefix": 64,
        "type": "ipv6",
        "public": not address.startswith("fe80"),
        "rdns": None,
        "linode_id": api["id"],
        "region": api["region"],
    }


def _slaac(record: Json) -> str:
    return str(record["api"]["ipv6"].split("/")[0])


def _linode(call: Call) -> Json:
    record = call.sandbox.instance(call.number("linodeId"))
    if record is None:
        raise not_found()
    return record


@route("GET", "/linode/instances/{linodeId}/ips", "linodes:read_only")
def instance_ips(call: Call) -> Json:
    record = _linode(call)
    rows = [_ipv4(call.sandbox, record, address) for address in record["api"]["ipv4"]]
    link_local = "fe80::" + _slaac(record).removeprefix("2001:db8::")
    return {
        "ipv4": {
            "public": [row for row in rows if row["public"]],
            "private": [row for row in rows if not row["public"]],
            "shared": [_shared(call.sandbox, address) for address in _shared_with(call.sandbox, record["api"]["id"])],
            "reserved": [],
            "vpc": [],
        },
        "ipv6": {
            "slaac": _ipv6(record, _slaac(record)),
            "link_local": _ipv6(record, link_local),
            "global": [],
            "vpc": [],
        },
    }


@route("POST", "/linode/instances/{linodeId}/ips", "linodes:read_write")
def add_instance_ip(call: Call) -> Json:
    return _add(call, _linode(call))


def _add(call: Call, record: Json, field: str | None = None) -> Json:
    check_legacy(record, "Allocating an address", field)
    problems = Problems()
    require(problems, call.body, "type", "public")
    _check_type(problems, call.body)
    if "address" in call.body:
        _refuse_reserved(problems, call.body)
    problems.check()
    api = record["api"]
    if call.body["public"]:
        address = free_address(call.sandbox)
    else:
        if any(_private(address) for address in api["ipv4"]):
            raise fail("Linode already has a private IPv4 address")
        address = private_address(api["id"])
    call.sandbox.touch(record, ipv4=[*api["ipv4"], address])
    call.sandbox.events.add("linode_addip", linode_entity(api))
    return _ipv4(call.sandbox, record, address)


def _check_type(problems: Problems, body: Json) -> None:
    if body.get("type") not in (None, "ipv4"):
        problems.add("Only addresses of type ipv4 are currently supported.")


def _refuse_reserved(problems: Problems, body: Json) -> None:
    """A reserved address was named, and the account has none."""
    try:
        ipaddress.IPv4Address(body["address"])
    except ValueError:
        problems.add("Must provide a valid reserved address", "address")
        return
    if body.get("public") is False:
        problems.add("Cannot reserve a private address.", "address")
    else:
        problems.add("Address must be reserved and must be currently unassigned.", "address")


def _of_linode(call: Call) -> tuple[Json, str]:
    record, address = _linode(call), call.params["address"]
    if address not in record["api"]["ipv4"]:
        raise not_found()
    return record, address


@route("GET", "/linode/instances/{linodeId}/ips/{address}", "linodes:read_only")
def view_instance_ip(call: Call) -> Json:
    record = _linode(call)
    if call.params["address"] == _slaac(record):
        return _ipv6(record, _slaac(record))
    record, address = _of_linode(call)
    return _ipv4(call.sandbox, record, address)


@route("PUT", "/linode/instances/{linodeId}/ips/{address}", "linodes:read_write")
def update_instance_ip(call: Call) -> Json:
    record, address = _of_linode(call)
    return _set_rdns(call, record, address)


@route("DELETE", "/linode/instances/{linodeId}/ips/{address}", "linodes:read_write")
def delete_instance_ip(call: Call) -> Json:
    record, address = _of_linode(call)
    if not _private(address) and sum(not _private(other) for other in record["api"]["ipv4"]) == 1:
        raise fail("Linode must have at least one public IP after unassignment")
    call.sandbox.touch(record, ipv4=[other for other in record["api"]["ipv4"] if other != address])
    call.sandbox.events.add("linode_deleteip", linode_entity(record["api"]))
    return {}


def _set_rdns(call: Call, record: Json, address: str) -> Json:
    if "rdns" in call.body:
        rdns = call.body["rdns"]
        if rdns is None:
            call.sandbox.store.drop("rdns", address)
        elif not isinstance(rdns, str) or "." not in rdns:
            raise fail("Domain is not valid.", "rdns")
        else:
            call.sandbox.store.put("rdns", address, {"rdns": rdns})
        call.sandbox.events.add("ipaddress_update", linode_entity(record["api"]))
    return _ipv4(call.sandbox, record, address)


@route("GET", "/networking/ips", "ips:read_only", filterable=_FILTERABLE, limit="collection")
def list_ips(call: Call) -> Json:
    rows: list[Json] = []
    for record in call.sandbox.instances():
        rows += [_ipv4(call.sandbox, record, address) for address in record["api"]["ipv4"]]
        rows.append(_ipv6(record, _slaac(record)))
    return call.page(rows)


@route("POST", "/networking/ips", "ips:read_write")
def create_ip(call: Call) -> Json:
    """Without the reserved addresses, of which this account may have none."""
    body, problems = call.body, Problems()
    named, region, reserve = body.get("linode_id"), body.get("region"), body.get("reserved") is True
    record = call.sandbox.instance(named)
    _check_type(problems, body)
    if reserve and body.get("public") is False:
        problems.add("Cannot reserve a private address.", "public")
    if named is not None and record is None:
        problems.add("Linode is not active", "linode_id")
    elif named is None and not reserve:
        problems.add("Linode is a required argument when not reserving an IP address.", "linode_id")
    elif named is None and region is None:
        problems.add("A datacenter or a Linode must be provided when reserving an address.")
    elif record is not None and region not in (None, record["api"]["region"]):
        problems.add("Region passed in must match Linode's region.", "region")
    problems.check()
    if reserve or record is None:
        raise fail(_NO_MORE_RESERVED)
    return _add(call, record, "linode_id")


def _owner(sandbox: Sandbox, address: object) -> Json | None:
    """The instance that has this public address."""
    for record in sandbox.instances():
        if address in record["api"]["ipv4"] and not _private(str(address)):
            return record
    return None


def _shared_with(sandbox: Sandbox, linode_id: int) -> list[str]:
    kept = sandbox.store.table("ip_share").get(linode_id, {}).get("addresses", [])
    return [address for address in kept if _owner(sandbox, address) is not None]


def _shared(sandbox: Sandbox, address: str) -> Json:
    owner = _owner(sandbox, address)
    if owner is None:
        raise not_found()
    return _ipv4(sandbox, owner, address)


@route("POST", "/networking/ips/share", "ips:read_write")
@route("POST", "/networking/ipv4/share", "ips:read_write")
def share_ips(call: Call) -> Json:
    """The instance may bring these addresses up too; an empty list takes all of them back."""
    body, sandbox, problems = call.body, call.sandbox, Problems()
    require(problems, body, "ips", "linode_id")
    record = sandbox.instance(body.get("linode_id"))
    if body.get("linode_id") is not None and record is None:
        problems.add("A Linode by that ID was not found", "linode_id")
    addresses = body.get("ips") if isinstance(body.get("ips"), list) else []
    for address in addresses or []:
        owner = _owner(sandbox, address)
        if owner is None:
            problems.add(f"{address} is not an address of this account", "ips")
        elif record is not None and owner["api"]["region"] != record["api"]["region"]:
            problems.add(f"{address} is in another region", "ips")
    problems.check()
    sandbox.store.put("ip_share", body["linode_id"], {"addresses": list(addresses or [])})
    return {}


@route("POST", "/networking/ips/assign", "ips:read_write")
@route("POST", "/networking/ipv4/assign", "ips:read_write")
def assign_ips(call: Call) -> Json:
    """Moves addresses between instances of a region; each keeps at least one public address."""
    body, sandbox, problems = call.body, call.sandbox, Problems()
    require(problems, body, "assignments", "region")
    wanted = body.get("assignments") if isinstance(body.get("assignments"), list) else []
    after: dict[int, list[str]] = {}
    for position, item in enumerate(wanted or []):
        field = f"assignments[{position}]"
        source = _owner(sandbox, item.get("address")) if isinstance(item, dict) else None
        target = sandbox.instance(item.get("linode_id")) if isinstance(item, dict) else None
        if not isinstance(item, dict) or "linode_id" not in item:
            problems.add("Must be an object with address and linode_id", field)
        elif source is None:
            problems.add("IP Address not found.")
        elif target is None:
            problems.add(f"Invalid Linode ID {item['linode_id']}")
        elif body.get("region") not in (source["api"]["region"], None) or body.get("region") != target["api"]["region"]:
            problems.add("Must be in the region of the request", f"{field}.linode_id")
        else:
            for record in (source, target):
                after.setdefault(record["api"]["id"], list(record["api"]["ipv4"]))
            after[source["api"]["id"]].remove(item["address"])
            after[target["api"]["id"]].append(item["address"])
    problems.check()
    for addresses in after.values():
        if all(_private(address) for address in addresses):
            raise fail("Linode must have at least one public IP after assignment")
    for linode_id, addresses in after.items():
        changed = sandbox.instance(linode_id)
        if changed is not None:
            sandbox.touch(changed, ipv4=addresses)
    return {}


def _anywhere(call: Call) -> tuple[Json, str]:
    wanted = call.params["address"]
    for record in call.sandbox.instances():
        if wanted in record["api"]["ipv4"] or wanted == _slaac(record):
            return record, wanted
    raise not_found()


@route("GET", "/networking/ips/{address}", "ips:read_only")
def view_ip(call: Call) -> Json:
    record, address = _anywhere(call)
    return _ipv6(record, address) if ":" in address else _ipv4(call.sandbox, record, address)


@route("PUT", "/networking/ips/{address}", "ips:read_write")
def update_ip(call: Call) -> Json:
    record, address = _anywhere(call)
    return _ipv6(record, address) if ":" in address else _set_rdns(call, record, address)
