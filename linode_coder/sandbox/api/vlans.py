"""VLANs: there as long as an interface names them."""

from __future__ import annotations

from .envelope import Json, not_found
from .routing import Call, route


def _attached(call: Call) -> dict[tuple[str, str], Json]:
    """By region and label, with the instances that have an interface in it."""
    found: dict[tuple[str, str], Json] = {}
    store = call.sandbox.store
    pairs = [
        (row["linode_id"], interface["label"], row["api"]["created"])
        for row in store.table("config").values()
        for interface in row["api"]["interfaces"]
        if interface["purpose"] == "vlan"
    ] + [
        (row["linode_id"], row["api"]["vlan"]["vlan_label"], row["api"]["created"])
        for row in store.table("interface").values()
        if row["api"]["vlan"]
    ]
    for linode_id, label, created in pairs:
        record = call.sandbox.instance(linode_id)
        if record is None:
            continue
        region = record["api"]["region"]
        vlan = found.setdefault((region, label), {"label": label, "region": region, "linodes": [], "created": created})
        if linode_id not in vlan["linodes"]:
            vlan["linodes"].append(linode_id)
    return found


@route("GET", "/networking/vlans", "linodes:read_only", filterable=("label", "region"))
def list_vlans(call: Call) -> Json:
    return call.page(_attached(call).values())


@route("DELETE", "/networking/vlans/{regionId}/{label}", "linodes:read_write")
def delete_vlan(call: Call) -> Json:
    """Takes the interfaces of every instance out of it."""
    region, label = call.params["regionId"], call.params["label"]
    vlan = _attached(call).get((region, label))
    if vlan is None:
        raise not_found()
    store = call.sandbox.store
    for key, row in list(store.table("config").items()):
        if row["linode_id"] in vlan["linodes"]:
            kept = [one for one in row["api"]["interfaces"] if one["purpose"] != "vlan" or one["label"] != label]
            row["api"]["interfaces"] = kept
            store.put("config", key, row)
    for key, row in list(store.table("interface").items()):
        if row["linode_id"] in vlan["linodes"] and row["api"]["vlan"] and row["api"]["vlan"]["vlan_label"] == label:
            store.drop("interface", key)
    return {}
