"""What foreign clients touch beside the main job: profiles' interfaces, copies, images, moves, addresses, rules' history."""

from __future__ import annotations

from typing import Any

from tests.unit.sandbox_api.api_client import CREATE, Api, with_api

PLAIN = {**CREATE, "type": "g6-standard-1"}


async def running(api: Api, label: str = "one", **changes: Any) -> dict[str, Any]:
    status, made = await api("POST", "/linode/instances", {**PLAIN, "label": label, **changes})
    assert status == 200, made
    assert await api.settled(made["id"]) == "running"
    return dict(made)


def reason(body: Any) -> tuple[str | None, str]:
    (error,) = body["errors"]
    return error.get("field"), error["reason"]


def test_interfaces_of_a_profile() -> None:
    async def check(api: Api) -> None:
        made = await running(api)
        _, configs = await api("GET", f"/linode/instances/{made['id']}/configs")
        path = f"/linode/instances/{made['id']}/configs/{configs['data'][0]['id']}/interfaces"
        assert await api("GET", path) == (200, [])
        _, public = await api("POST", path, {"purpose": "public", "primary": True})
        _, vlan = await api("POST", path, {"purpose": "vlan", "label": "inner", "ipam_address": "10.0.0.3/24"})
        assert (public["primary"], vlan["label"], vlan["ipam_address"]) == (True, "inner", "10.0.0.3/24")
        assert (await api("POST", f"{path}/order", {"ids": [vlan["id"], public["id"]]}))[0] == 200
        _, listed = await api("GET", path)
        assert [one["id"] for one in listed] == [vlan["id"], public["id"]]
        status, refused = await api("POST", f"{path}/order", {"ids": [vlan["id"]]})
        assert (status, reason(refused)[0]) == (400, "ids")
        status, refused = await api("POST", path, {"purpose": "public"})
        assert (status, reason(refused)[0]) == (400, "purpose")
        status, refused = await api("PUT", f"{path}/{vlan['id']}", {"primary": True})
        assert (status, reason(refused)[0]) == (400, "primary")
        _, vlans = await api("GET", "/networking/vlans")
        assert [(row["label"], row["linodes"]) for row in vlans["data"]] == [("inner", [made["id"]])]
        assert (await api("DELETE", f"/networking/vlans/{made['region']}/inner"))[0] == 200
        assert [one["id"] for one in (await api("GET", path))[1]] == [public["id"]]
        assert (await api("DELETE", f"{path}/{public['id']}"))[0] == 200
        assert (await api("GET", f"{path}/{public['id']}"))[0] == 404

    with_api(check)


def test_a_profile_has_as_many_slots_as_its_memory_allows() -> None:
    async def check(api: Api) -> None:
        large, small = await running(api, type="g6-standard-6"), await running(api, "two")
        for made, slot, expected in ((large, "sdl", 200), (small, "sdl", 400), (large, "sdzz", 400)):
            _, disks = await api("GET", f"/linode/instances/{made['id']}/disks")
            devices = {slot: {"disk_id": disks["data"][0]["id"]}}
            status, body = await api(
                "POST", f"/linode/instances/{made['id']}/configs", {"label": "x", "devices": devices}
            )
            assert status == expected, body
            if status == 200:
                assert [name for name, device in body["devices"].items() if device] == [slot]
        status, body = await api(
            "POST",
            f"/linode/instances/{large['id']}/configs",
            {"label": "y", "devices": {"sda": {"volume_id": 1}}},
        )
        assert (status, reason(body)[0]) == (400, "devices.sda.volume_id")

    with_api(check)


def test_disks_and_volumes_are_copied() -> None:
    async def check(api: Api) -> None:
        made = await running(api)
        base = f"/linode/instances/{made['id']}/disks"
        _, disks = await api("GET", base)
        root = disks["data"][0]
        status, refused = await api("POST", f"{base}/{root['id']}/clone")
        assert (status, reason(refused)[0]) == (400, None)  # the plan's disk is full
        await api("POST", f"{base}/{root['id']}/resize", {"size": 6000})
        await api.settled(made["id"])
        _, copy = await api("POST", f"{base}/{root['id']}/clone")
        assert (copy["size"], copy["status"], copy["id"] != root["id"]) == (6000, "not ready", True)
        await api.settled(made["id"])
        assert (await api("GET", f"{base}/{copy['id']}"))[1]["status"] == "ready"
        _, volume = await api("POST", "/volumes", {"label": "data", "size": 30, "linode_id": made["id"]})
        _, second = await api("POST", f"/volumes/{volume['id']}/clone", {"label": "data2"})
        assert (second["size"], second["linode_id"], second["region"]) == (30, None, made["region"])
        status, refused = await api("POST", f"/volumes/{volume['id']}/clone", {"label": "data2"})
        assert (status, reason(refused)[0]) == (400, "label")

    with_api(check)


def test_a_private_image_is_made_used_and_deleted() -> None:
    async def check(api: Api) -> None:
        made = await running(api)
        _, disks = await api("GET", f"/linode/instances/{made['id']}/disks")
        _, image = await api("POST", "/images", {"disk_id": disks["data"][0]["id"], "label": "mine", "tags": ["abc"]})
        assert (image["status"], image["is_public"], image["size"]) == ("creating", False, disks["data"][0]["size"])
        await api.settled(made["id"])
        assert (await api("GET", f"/images/{image['id']}"))[1]["status"] == "available"
        second = await running(api, "two", image=image["id"])
        assert second["image"] == image["id"]
        _, listed = await api("GET", "/images")
        assert image["id"] in [row["id"] for row in listed["data"]]
        _, changed = await api("PUT", f"/images/{image['id']}", {"label": "ours"})
        assert changed["label"] == "ours"
        assert (await api("PUT", "/images/linode/debian12", {"label": "no"}))[0] == 403
        assert (await api("DELETE", f"/images/{image['id']}"))[0] == 200
        assert (await api("GET", f"/images/{image['id']}"))[0] == 404
        status, refused = await api("POST", "/images", {"disk_id": 1})
        assert (status, reason(refused)[0]) == (400, "disk_id")

    with_api(check)


def test_a_move_to_another_region_brings_another_address() -> None:
    async def check(api: Api) -> None:
        made = await running(api)
        path = f"/linode/instances/{made['id']}"
        assert (await api("POST", f"{path}/migrate", {"region": made["region"]}))[0] == 400
        assert (await api("POST", f"{path}/migrate", {}))[0] == 400
        assert (await api("POST", f"{path}/migrate", {"region": "us-sea"}))[0] == 200
        assert await api.settled(made["id"]) == "running"
        _, moved = await api("GET", path)
        assert moved["region"] == "us-sea"
        assert moved["ipv4"] != made["ipv4"]

    with_api(check)


def test_addresses_are_shared_and_moved() -> None:
    async def check(api: Api) -> None:
        one, two = await running(api), await running(api, "two")
        address = one["ipv4"][0]
        assert (await api("POST", "/networking/ips/share", {"linode_id": two["id"], "ips": [address]}))[0] == 200
        _, ips = await api("GET", f"/linode/instances/{two['id']}/ips")
        assert [row["address"] for row in ips["ipv4"]["shared"]] == [address]
        assert (await api("POST", "/networking/ips/share", {"linode_id": two["id"], "ips": []}))[0] == 200
        _, ips = await api("GET", f"/linode/instances/{two['id']}/ips")
        assert ips["ipv4"]["shared"] == []
        moves = {"region": one["region"], "assignments": [{"address": address, "linode_id": two["id"]}]}
        status, refused = await api("POST", "/networking/ips/assign", moves)
        assert (status, reason(refused)[1]) == (400, "Linode must have at least one public IP after assignment")
        moves["assignments"].append({"address": two["ipv4"][0], "linode_id": one["id"]})
        assert (await api("POST", "/networking/ips/assign", moves))[0] == 200
        assert (await api("GET", f"/linode/instances/{two['id']}"))[1]["ipv4"] == [address]

    with_api(check)


def test_every_version_of_a_firewalls_rules_is_kept() -> None:
    async def check(api: Api) -> None:
        rules = {"inbound_policy": "DROP", "outbound_policy": "ACCEPT", "inbound": [], "outbound": []}
        _, firewall = await api("POST", "/networking/firewalls", {"label": "wall", "rules": rules})
        path = f"/networking/firewalls/{firewall['id']}"
        await api("PUT", f"{path}/rules", {**rules, "outbound_policy": "DROP"})
        _, history = await api("GET", f"{path}/history")
        assert [(row["rules"]["version"], row["status"]) for row in history["data"]] == [
            (1, "disabled"),
            (2, "enabled"),
        ]
        assert (await api("GET", f"{path}/history/rules/1"))[1]["outbound_policy"] == "ACCEPT"
        assert (await api("GET", f"{path}/history/rules/2"))[1]["outbound_policy"] == "DROP"
        assert (await api("GET", f"{path}/history/rules/3"))[0] == 404

    with_api(check)
