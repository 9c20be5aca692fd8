"""What recordings of the API and its reference show, and what strangers found to be otherwise here."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.sandbox_api.api_client import AUTHORIZED, CREATE, Api, with_api

PLAIN = {**CREATE, "type": "g6-standard-1"}


async def running(api: Api, label: str = "one", **changes: Any) -> dict[str, Any]:
    status, made = await api("POST", "/linode/instances", {**PLAIN, "label": label, **changes})
    assert status == 200, made
    assert await api.settled(made["id"]) == "running"
    return dict(made)


async def found(api: Api, path: str, wanted: dict[str, Any]) -> tuple[int, Any]:
    headers = {**AUTHORIZED, "X-Filter": json.dumps(wanted)}
    answer = await api.client.get(f"/v4{path}", headers=headers)
    return answer.status, await answer.json()


def said(answer: tuple[int, Any]) -> list[tuple[str | None, str]]:
    """The field and reason of each refusal."""
    status, body = answer
    assert status == 400, body
    return [(error.get("field"), error["reason"]) for error in body["errors"]]


def test_events_of_a_disk_are_found_by_the_disk_and_by_its_linode() -> None:
    async def check(api: Api) -> None:
        made = await offline(api)
        _, disk = await api("POST", f"/linode/instances/{made['id']}/disks", {"label": "data", "size": 100})
        await api.settled(made["id"])
        for kind, number in (("disk", disk["id"]), ("linode", made["id"])):
            wanted = {"action": "disk_create", "entity.id": number, "entity.type": kind}
            _, rows = await found(api, "/account/events", wanted)
            assert [row["secondary_entity"]["id"] for row in rows["data"]] == [disk["id"]]
            assert rows["data"][0]["entity"]["type"] == "linode"
        assert (await found(api, "/account/events", {"entity.id": disk["id"], "entity.type": "linode"}))[1][
            "data"
        ] == []

    with_api(check)


async def offline(api: Api) -> dict[str, Any]:
    _, made = await api("POST", "/linode/instances", {"type": "g6-standard-1", "region": "us-ord", "label": "bare"})
    assert await api.settled(made["id"]) == "offline"
    return dict(made)


def test_deleting_what_runs_shuts_it_down() -> None:
    async def check(api: Api) -> None:
        made, bare = await running(api), await offline(api)
        for one, expected in ((made, ["linode_shutdown", "linode_delete"]), (bare, ["linode_delete"])):
            before = len(await api.actions())
            await api("DELETE", f"/linode/instances/{one['id']}")
            assert await api.settled(one["id"]) == "gone"
            assert (await api.actions())[before:] == [(action, "finished") for action in expected]

    with_api(check)


def test_a_clone_keeps_its_source_busy() -> None:
    async def check(api: Api) -> None:
        made = await running(api)
        api.hosts.gate.clear()
        _, copy = await api("POST", f"/linode/instances/{made['id']}/clone", {"label": "copy", "private_ip": True})
        assert (copy["status"], len(copy["ipv4"])) == ("offline", 2)
        _, events = await found(api, "/account/events", {"action": "linode_clone"})
        (event,) = events["data"]
        assert (event["entity"]["id"], event["secondary_entity"]["id"]) == (made["id"], copy["id"])
        busy = [(None, "Linode busy.")]
        for number in (made["id"], copy["id"]):
            assert said(await api("POST", f"/linode/instances/{number}/reboot")) == busy
            assert said(await api("DELETE", f"/linode/instances/{number}")) == busy
        assert (await api("GET", f"/linode/instances/{made['id']}"))[1]["status"] == "running"
        api.hosts.gate.set()
        assert await api.settled(made["id"]) == "running"
        assert await api.settled(copy["id"]) == "offline"
        assert (await api("POST", f"/linode/instances/{copy['id']}/boot"))[0] == 200
        assert await api.settled(copy["id"]) == "running"
        assert api.hosts.calls == [
            ("create", made["id"]),
            ("boot", made["id"]),
            ("create", copy["id"]),
            ("boot", copy["id"]),
        ]

    with_api(check)


def test_a_clone_that_fails_leaves_its_source_running() -> None:
    async def check(api: Api) -> None:
        made = await running(api)
        api.hosts.fail = "create"
        _, copy = await api("POST", f"/linode/instances/{made['id']}/clone", {"label": "copy"})
        assert await api.settled(made["id"]) == "running"
        assert (await api.actions())[-1] == ("linode_clone", "failed")
        assert (await api("DELETE", f"/linode/instances/{copy['id']}"))[0] == 200

    with_api(check)


def test_pages() -> None:
    async def check(api: Api) -> None:
        assert (await api("GET", "/linode/instances?page=2"))[0] == 404
        _, empty = await api("GET", "/account/maintenance")
        assert (empty["page"], empty["pages"], empty["results"]) == (1, 1, 0)
        _, none = await found(api, "/images", {"label": "nothing of this name"})
        assert none == {"data": [], "page": 0, "pages": 0, "results": 0}

    with_api(check)


def test_who_is_not_restricted_has_no_grants() -> None:
    async def check(api: Api) -> None:
        for path in ("/profile/grants", "/account/users/sandbox/grants"):
            answer = await api.client.get(f"/v4{path}", headers=AUTHORIZED)
            assert (answer.status, await answer.read()) == (204, b"")
        assert (await api("GET", "/account/users/somebody/grants"))[0] == 404
        _, profile = await api("GET", "/profile")
        assert (profile["user_type"], profile["restricted"]) == ("default", False)

    with_api(check)


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("thisIsYourRootPassword", None),
        ("Correct-Horse-42", None),
        ("short1", "Length must be 7-128 characters"),
        ("Short-1x", "Password does not meet strength requirement"),
        ("onlylowercaseletters", "Password does not meet strength requirement"),
        ("Aa1!Aa1!Aa1!Aa1!", "Password does not meet strength requirement"),
    ],
)
def test_root_passwords(password: str, reason: str | None) -> None:
    async def check(api: Api) -> None:
        answer = await api("POST", "/linode/instances", {**PLAIN, "root_pass": password})
        assert answer[0] == 200 if reason is None else said(answer) == [("root_pass", reason)]

    with_api(check)


def test_refusals_of_addresses() -> None:
    only = (None, "Only addresses of type ipv4 are currently supported.")
    unassigned = ("address", "Address must be reserved and must be currently unassigned.")
    limit = (
        "Additional Reserved IPv4 addresses require technical justification."
        " Please contact support describing your requirement."
    )

    async def check(api: Api) -> None:
        made = await running(api)
        number = made["id"]
        for body, expected in (
            ({"reserved": True, "region": "us-ord", "linode_id": 99999}, ("linode_id", "Linode is not active")),
            ({"linode_id": 99999}, ("linode_id", "Linode is not active")),
            ({"reserved": True}, (None, "A datacenter or a Linode must be provided when reserving an address.")),
            (
                {"reserved": True, "public": False, "linode_id": number},
                ("public", "Cannot reserve a private address."),
            ),
            (
                {"region": "us-ord"},
                ("linode_id", "Linode is a required argument when not reserving an IP address."),
            ),
            ({"type": "ipv6", "linode_id": number}, only),
            (
                {"region": "us-west", "linode_id": number},
                ("region", "Region passed in must match Linode's region."),
            ),
            ({"reserved": True, "region": "us-ord"}, (None, limit)),
        ):
            answer = await api("POST", "/networking/ips", {"type": "ipv4", "public": True, **body})
            assert said(answer) == [expected], body
        for body, several in (
            ({"public": False, "address": "192.0.2.1"}, [("address", "Cannot reserve a private address.")]),
            ({"address": "192.0.2.1"}, [unassigned]),
            ({"address": made["ipv4"][0]}, [unassigned]),
            ({"address": "12345"}, [("address", "Must provide a valid reserved address")]),
            ({"address": ""}, [("address", "Must provide a valid reserved address")]),
            ({"type": "ipv6", "address": "192.0.2.1"}, [only, unassigned]),
        ):
            answer = await api("POST", f"/linode/instances/{number}/ips", {"type": "ipv4", "public": True, **body})
            assert said(answer) == several, body
        for address, linode, reason in (
            ("192.0.2.1", number, "IP Address not found."),
            (made["ipv4"][0], 99999, "Invalid Linode ID 99999"),
        ):
            moves = {"region": "us-ord", "assignments": [{"address": address, "linode_id": linode}]}
            assert said(await api("POST", "/networking/ips/assign", moves)) == [(None, reason)]

    with_api(check)


def test_a_private_address_has_the_fields_of_a_public_one() -> None:
    async def check(api: Api) -> None:
        made = await running(api, private_ip=True)
        _, ips = await api("GET", f"/linode/instances/{made['id']}/ips")
        ((public,), (private,)) = (ips["ipv4"]["public"], ips["ipv4"]["private"])
        assert list(public) == list(private)
        assert (private["gateway"], private["rdns"], private["vpc_nat_1_1"], private["prefix"]) == (
            None,
            None,
            None,
            17,
        )
        assert private["assigned_entity"] == public["assigned_entity"]

    with_api(check)


@pytest.mark.parametrize(
    ("path", "wanted", "labels"),
    [
        ("/profile/sshkeys", {"label": "laptop"}, ["laptop"]),
        ("/profile/sshkeys", {"label": "other"}, []),
        ("/linode/instances/{}/firewalls", {"label": "wall"}, ["wall"]),
        ("/linode/instances/{}/firewalls", {"tags": "nothing"}, []),
        ("/linode/instances/{}/volumes", {"label": "data"}, ["data"]),
        ("/linode/instances/{}/volumes", {"tags": "nothing"}, []),
        (
            "/account/maintenance",
            {"when": {"+gt": "2026-01-01T00:00:00"}, "not_before": {"+lt": "2027-01-01T00:00:00"}},
            [],
        ),
        ("/linode/instances/{}/configs", {"interfaces.label": "x"}, []),
    ],
)
def test_filters(path: str, wanted: dict[str, Any], labels: list[str]) -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4"

    async def check(api: Api) -> None:
        await api("POST", "/profile/sshkeys", {"label": "laptop", "ssh_key": key})
        rules = {"inbound_policy": "DROP", "outbound_policy": "ACCEPT"}
        _, wall = await api("POST", "/networking/firewalls", {"label": "wall", "rules": rules})
        made = await running(api, firewall_id=wall["id"])
        await api("POST", "/volumes", {"label": "data", "size": 20, "linode_id": made["id"]})
        status, rows = await found(api, path.replace("{}", str(made["id"])), wanted)
        assert (status, [row["label"] for row in rows["data"]]) == (200, labels), rows

    with_api(check)


def test_a_resize_takes_the_disks_along_when_it_may() -> None:
    async def check(api: Api) -> None:
        made = await running(api)
        one = f"/linode/instances/{made['id']}"

        async def resized(body: dict[str, Any]) -> tuple[str, list[int]]:
            assert await api("POST", f"{one}/resize", body) == (200, {})
            await api.settled(made["id"])
            _, shown = await api("GET", one)
            _, disks = await api("GET", f"{one}/disks")
            return shown["type"], [disk["size"] for disk in disks["data"]]

        assert await resized({"type": "g6-standard-2"}) == ("g6-standard-2", [81920 - 512, 512])
        # Not taken along, the disk stays as it is, and is too large for a smaller plan.
        assert await resized({"type": "g6-standard-4", "allow_auto_disk_resize": False}) == (
            "g6-standard-4",
            [81920 - 512, 512],
        )
        refused = await api("POST", f"{one}/resize", {"type": "g6-standard-1", "allow_auto_disk_resize": False})
        assert said(refused)[0][0] is None and "disk" in said(refused)[0][1]
        assert await resized({"type": "g6-standard-1"}) == ("g6-standard-1", [51200 - 512, 512])
        # Only where there is one such disk is it known which to resize.
        assert await resized({"type": "g6-standard-2", "allow_auto_disk_resize": False}) == (
            "g6-standard-2",
            [51200 - 512, 512],
        )
        await api("POST", f"{one}/disks", {"label": "second", "size": 1000})
        await api.settled(made["id"])
        assert said(await api("POST", f"{one}/resize", {"type": "g6-standard-1"}))[0][0] is None
        assert await resized({"type": "g6-standard-4"}) == ("g6-standard-4", [51200 - 512, 512, 1000])

    with_api(check)


def test_images_of_this_year_are_there() -> None:
    async def check(api: Api) -> None:
        _, images = await api("GET", "/images")
        there = {row["id"].removeprefix("linode/") for row in images["data"]}
        assert {"almalinux10", "alpine3.23", "centos-stream10", "fedora42", "rocky10", "ubuntu25.10"} <= there

    with_api(check)


def test_interfaces_of_a_profile_have_what_their_kind_has() -> None:
    async def check(api: Api) -> None:
        made = await offline(api)
        given = [{"purpose": "public"}, {"purpose": "vlan", "label": "inner"}]
        status, config = await api(
            "POST", f"/linode/instances/{made['id']}/configs", {"label": "x", "devices": {}, "interfaces": given}
        )
        assert status == 200, config
        fields = ("purpose", "label", "ipam_address", "vpc_id", "subnet_id", "ipv4", "ipv6", "ip_ranges")
        assert [tuple(row[name] for name in fields) for row in config["interfaces"]] == [
            ("public", None, None, None, None, None, None, None),
            ("vlan", "inner", "", None, None, None, None, None),
        ]

    with_api(check)


def test_a_tag_is_written_as_the_account_has_it() -> None:
    async def check(api: Api) -> None:
        first = await running(api, tags=["Team-Red"])
        second = await running(api, "two", tags=["team-red", "blue"])
        assert second["tags"] == ["Team-Red", "blue"]
        _, changed = await api("PUT", f"/linode/instances/{second['id']}", {"tags": ["BLUE", "TEAM-RED"]})
        assert changed["tags"] == ["blue", "Team-Red"]
        _, volume = await api("POST", "/volumes", {"label": "data", "region": "us-ord", "tags": ["BLUE"]})
        assert volume["tags"] == ["blue"]
        for number in (first["id"], second["id"]):
            await api("DELETE", f"/linode/instances/{number}")
            await api.settled(number)
        # Nobody has it any more.
        assert (await running(api, "three", tags=["TEAM-red"]))["tags"] == ["TEAM-red"]

    with_api(check)
