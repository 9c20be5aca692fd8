"""The state machine of instances, and what survives a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.unit.sandbox_api.api_client import AUTHORIZED, CREATE, Api, with_api


def test_create_boot_and_delete() -> None:
    async def check(api: Api) -> None:
        api.hosts.gate.clear()
        status, made = await api("POST", "/linode/instances", CREATE)
        assert (status, made["status"]) == (200, "provisioning")
        await asyncio.sleep(0.01)
        assert await api.actions() == [("linode_create", "started"), ("linode_boot", "scheduled")]
        assert await api("POST", f"/linode/instances/{made['id']}/reboot") == (
            400,
            {"errors": [{"reason": "Linode busy."}]},
        )
        api.hosts.gate.set()
        assert await api.settled(made["id"]) == "running"
        assert api.hosts.calls == [("create", made["id"]), ("boot", made["id"])]
        _, disks = await api("GET", f"/linode/instances/{made['id']}/disks")
        assert [(disk["label"], disk["status"]) for disk in disks["data"]] == [
            ("Ubuntu 24.04 LTS Disk", "ready"),
            ("512 MB Swap Image", "ready"),
        ]
        _, configs = await api("GET", f"/linode/instances/{made['id']}/configs")
        assert configs["data"][0]["label"] == "My Ubuntu 24.04 LTS Disk Profile"
        api.hosts.gate.clear()
        assert await api("DELETE", f"/linode/instances/{made['id']}") == (200, {})
        _, shown = await api("GET", f"/linode/instances/{made['id']}")
        assert shown["status"] == "deleting"
        api.hosts.gate.set()
        assert await api.settled(made["id"]) == "gone"
        assert not api.sandbox.store.table("disk")
        assert (await api.actions())[-1] == ("linode_delete", "finished")

    with_api(check)


def test_power_actions() -> None:
    async def check(api: Api) -> None:
        _, made = await api("POST", "/linode/instances", CREATE)
        number = made["id"]
        await api.settled(number)
        status, body = await api("POST", f"/linode/instances/{number}/boot")
        assert (status, body["errors"][0]["reason"]) == (400, f"Linode {number} already booted.")
        for action, expected in (("shutdown", "offline"), ("boot", "running"), ("reboot", "running")):
            assert await api("POST", f"/linode/instances/{number}/{action}") == (200, {})
            assert await api.settled(number) == expected
        assert [what for what, _ in api.hosts.calls] == ["create", "boot", "shutdown", "boot", "reboot"]
        status, _ = await api(
            "POST", f"/linode/instances/{number}/rebuild", {"image": "linode/debian12", "root_pass": "Correct-Horse-42"}
        )
        assert status == 200
        assert await api.settled(number) == "running"
        assert [what for what, _ in api.hosts.calls][5:] == ["delete", "create", "boot"]

    with_api(check)


def test_a_create_without_image_ends_offline_and_needs_no_password() -> None:
    async def check(api: Api) -> None:
        _, made = await api("POST", "/linode/instances", {"type": "g6-nanode-1", "region": "us-ord"})
        assert made["label"] == f"linode{made['id']}"
        assert await api.settled(made["id"]) == "offline"
        assert api.hosts.calls == []
        assert await api.actions() == [("linode_create", "finished")]

    with_api(check)


def test_every_failure_is_listed_at_once() -> None:
    async def check(api: Api) -> None:
        status, body = await api(
            "POST",
            "/linode/instances",
            {"type": "x", "region": "y", "label": "a", "image": "linode/debian12", "tags": ["b"]},
        )
        assert status == 400
        assert [(error["reason"], error.get("field")) for error in body["errors"]] == [
            ("A valid plan type by that ID was not found", "type"),
            ("region is not valid", "region"),
            ("Length must be 3-64 characters", "label"),
            ("Length must be 3-50 characters", "tags"),
            ("Must provide valid root_pass, authorized_keys, or authorized_users", None),
        ]

    with_api(check)


def test_labels_are_unique_and_refusals_leave_nothing() -> None:
    async def check(api: Api) -> None:
        _, made = await api("POST", "/linode/instances", CREATE)
        status, body = await api("POST", "/linode/instances", CREATE)
        assert status == 400
        assert body == {"errors": [{"reason": "Label must be unique among your linodes", "field": "label"}]}
        api.sandbox.faults.add({"kind": "capacity", "where": {"region": "us-sea"}})
        status, body = await api("POST", "/linode/instances", {**CREATE, "label": "other", "region": "us-sea"})
        assert (status, body["errors"][0]["reason"]) == (
            403,
            "The Linode plan you chose is not currently available in the selected region",
        )
        _, rows = await api("GET", "/linode/instances")
        assert [row["id"] for row in rows["data"]] == [made["id"]]

    with_api(check)


def test_an_error_after_commit_was_carried_out() -> None:
    async def check(api: Api) -> None:
        api.sandbox.faults.add({"kind": "error_after_commit", "on": "POST /linode/instances", "status": 502})
        status, _ = await api("POST", "/linode/instances", CREATE)
        assert status == 502
        api.sandbox.faults.add({"kind": "error", "on": "POST /linode/instances", "status": 503})
        status, _ = await api("POST", "/linode/instances", {**CREATE, "label": "second"})
        assert status == 503
        _, rows = await api("GET", "/linode/instances")
        assert [row["label"] for row in rows["data"]] == ["lc-demo-1"]

    with_api(check)


@pytest.mark.parametrize("status", [200, 400, 502, 503])
def test_the_edge_answers_with_a_page(status: int) -> None:
    async def check(api: Api) -> None:
        api.sandbox.faults.add({"kind": "edge", "on": "POST /linode/instances", "status": status})
        api.sandbox.faults.add({"kind": "edge_after_commit", "on": "POST /linode/instances", "status": status})
        for label in ("refused", "made"):
            answer = await api.client.post("/v4/linode/instances", json={**CREATE, "label": label}, headers=AUTHORIZED)
            assert (answer.status, answer.content_type, answer.headers["Server"]) == (status, "text/html", "nginx")
            assert "<html>" in await answer.text()
            assert not {name for name in answer.headers if name.startswith("X-")}
        _, rows = await api("GET", "/linode/instances")
        assert [row["label"] for row in rows["data"]] == ["made"]

    with_api(check)


def test_maintenance_of_the_api_has_a_header() -> None:
    async def check(api: Api) -> None:
        api.sandbox.faults.add({"kind": "maintenance", "on": "* /**"})
        answer = await api.client.post("/v4/linode/instances", json=CREATE, headers=AUTHORIZED)
        assert (answer.status, bool(answer.headers["X-Maintenance-Mode"])) == (503, True)
        assert (await api("GET", "/linode/instances"))[1]["data"] == []

    with_api(check)


def test_boot_failure_leaves_it_offline_with_a_failed_event() -> None:
    async def check(api: Api) -> None:
        api.sandbox.faults.add({"kind": "boot_failure", "where": {"label": "lc-demo-1"}})
        _, made = await api("POST", "/linode/instances", CREATE)
        assert await api.settled(made["id"]) == "offline"
        assert await api.actions() == [("linode_create", "finished"), ("linode_boot", "failed")]
        await api("POST", f"/linode/instances/{made['id']}/boot")
        assert await api.settled(made["id"]) == "running"

    with_api(check)


def test_a_host_that_cannot_be_made_fails_the_events() -> None:
    async def check(api: Api) -> None:
        api.hosts.fail = "create"
        _, made = await api("POST", "/linode/instances", CREATE)
        assert await api.settled(made["id"]) == "offline"
        assert await api.actions() == [("linode_create", "failed"), ("linode_boot", "failed")]

    with_api(check)


def test_delete_interrupts_a_create() -> None:
    async def check(api: Api) -> None:
        api.hosts.gate.clear()
        _, made = await api("POST", "/linode/instances", CREATE)
        await asyncio.sleep(0.01)
        assert await api("DELETE", f"/linode/instances/{made['id']}") == (200, {})
        api.hosts.gate.set()
        assert await api.settled(made["id"]) == "gone"
        assert ("boot", made["id"]) not in api.hosts.calls

    with_api(check)


def test_locks_exist_in_beta_only_and_keep_an_instance() -> None:
    async def check(api: Api) -> None:
        _, made = await api("POST", "/linode/instances", CREATE)
        assert "locks" not in made
        wanted = {"entity_type": "linode", "entity_id": made["id"], "lock_type": "cannot_delete"}
        assert (await api("POST", "/locks", wanted))[0] == 404
        _, lock = await api("POST", "/locks", wanted, "v4beta")
        _, shown = await api("GET", f"/linode/instances/{made['id']}", version="v4beta")
        assert shown["locks"] == ["cannot_delete"]
        status, body = await api("DELETE", f"/linode/instances/{made['id']}")
        assert status == 400
        assert "lock" in body["errors"][0]["reason"]
        assert await api("DELETE", f"/locks/{lock['id']}", version="v4beta") == (200, {})
        assert (await api("DELETE", f"/linode/instances/{made['id']}"))[0] == 200

    with_api(check)


def test_firewalls_follow_the_instance() -> None:
    async def check(api: Api) -> None:
        rule = {"action": "ACCEPT", "protocol": "TCP", "ports": "22", "addresses": {"ipv4": ["0.0.0.0/0"]}}
        rules = {"inbound": [rule], "inbound_policy": "DROP", "outbound_policy": "ACCEPT"}
        status, wall = await api("POST", "/networking/firewalls", {"label": "lc-demo", "rules": rules})
        assert (status, wall["rules"]["version"], wall["rules"]["outbound"], wall["entities"]) == (200, 1, None, [])
        _, made = await api("POST", "/linode/instances", {**CREATE, "firewall_id": wall["id"]})
        _, shown = await api("GET", f"/networking/firewalls/{wall['id']}")
        assert [entity["id"] for entity in shown["entities"]] == [made["id"]]
        _, rules = await api("PUT", f"/networking/firewalls/{wall['id']}/rules", rules)
        assert rules["version"] == 2
        await api("DELETE", f"/linode/instances/{made['id']}")
        await api.settled(made["id"])
        _, devices = await api("GET", f"/networking/firewalls/{wall['id']}/devices")
        assert devices["data"] == []
        bad = {"inbound": [{"action": "ACCEPT", "protocol": "ICMP", "ports": "1", "addresses": {"ipv4": ["1.2.3.4"]}}],
               "inbound_policy": "MAYBE", "outbound_policy": "ACCEPT"}  # fmt: skip
        status, body = await api("PUT", f"/networking/firewalls/{wall['id']}/rules", bad)
        assert (status, len(body["errors"])) == (400, 3)

    with_api(check)


def test_the_new_interfaces_take_their_own_firewalls() -> None:
    async def check(api: Api) -> None:
        _, wall = await api("POST", "/networking/firewalls", {
            "label": "lc-demo", "rules": {"inbound_policy": "DROP", "outbound_policy": "ACCEPT"}})  # fmt: skip
        wanted = {**CREATE, "interface_generation": "linode", "firewall_id": wall["id"]}
        status, body = await api("POST", "/linode/instances", wanted)
        assert (status, body["errors"][0]["field"]) == (400, "firewall_id")
        del wanted["firewall_id"]
        status, body = await api("POST", "/linode/instances", {**wanted, "interfaces": [{"public": {}}]})
        assert (status, body["errors"][0]["field"]) == (400, "interfaces[0].firewall_id")
        status, made = await api(
            "POST", "/linode/instances", {**wanted, "interfaces": [{"public": {}, "firewall_id": wall["id"]}]}
        )
        assert (status, made["interface_generation"]) == (200, "linode")
        _, shown = await api("GET", f"/linode/instances/{made['id']}/interfaces")
        assert shown["interfaces"][0]["public"]["ipv4"]["addresses"][0]["address"] == made["ipv4"][0]
        _, listed = await api("GET", f"/networking/firewalls/{wall['id']}")
        assert listed["entities"][0]["type"] == "linode_interface"
        await api("PUT", "/account/settings", {"interfaces_for_new_linodes": "legacy_config_only"})
        status, _ = await api("POST", "/linode/instances", {**wanted, "label": "again"})
        assert status == 400

    with_api(check)


def test_a_linode_with_new_interfaces_refuses_what_belongs_to_the_old() -> None:
    async def check(api: Api) -> None:
        _, wall = await api("POST", "/networking/firewalls", {
            "label": "lc-demo", "rules": {"inbound_policy": "DROP", "outbound_policy": "ACCEPT"}})  # fmt: skip
        new = {**CREATE, "interface_generation": "linode", "interfaces": [{"public": {}, "firewall_id": None}]}
        for generation, wanted in (("legacy", CREATE), ("linode", new)):
            status = 200 if generation == "legacy" else 400
            _, made = await api("POST", "/linode/instances", {**wanted, "label": generation})
            assert await api.settled(made["id"]) == "running"
            one = f"/linode/instances/{made['id']}"
            _, configs = await api("GET", f"{one}/configs")
            config = configs["data"][0]
            assert (config["helpers"]["network"] is None) is (generation == "linode")
            for method, path, body, field in (
                ("PUT", f"{one}/firewalls", {"firewall_ids": [wall["id"]]}, "firewall_ids"),
                ("POST", f"{one}/configs/{config['id']}/interfaces", {"purpose": "public"}, None),
                ("PUT", f"{one}/configs/{config['id']}", {"interfaces": [{"purpose": "public"}]}, "interfaces"),
                ("PUT", f"{one}/configs/{config['id']}", {"helpers": {"network": True}}, "helpers.network"),
                (
                    "POST",
                    f"{one}/configs",
                    {"label": "x", "devices": {}, "helpers": {"network": False}},
                    "helpers.network",
                ),
                ("POST", f"{one}/ips", {"type": "ipv4", "public": False}, None),
                ("POST", "/networking/ips", {"type": "ipv4", "public": True, "linode_id": made["id"]}, "linode_id"),
                (
                    "POST",
                    "/linode/instances",
                    {**wanted, "label": f"{generation}-more", "private_ip": True},
                    "private_ip",
                ),
            ):
                got, answer = await api(method, path, body)
                assert got == status, (method, path, answer)
                assert status == 200 or [error.get("field") for error in answer["errors"]] == [field], answer
            # What an SDK sends back as it read it is taken.
            assert (await api("PUT", f"{one}/configs/{config['id']}", {"helpers": config["helpers"]}))[0] == 200

    with_api(check)


def test_open_jobs_continue_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"

    async def cut_short(api: Api) -> None:
        await api("POST", "/linode/instances", {**CREATE, "label": "first"})
        await api.settled(70_000_001)
        api.hosts.gate.clear()
        await api("POST", "/linode/instances", CREATE)
        await asyncio.sleep(0.01)

    async def goes_on(api: Api) -> None:
        assert await api.settled(70_000_002) == "running"
        specs, running = api.hosts.restored
        assert ([spec.label for spec in specs], running) == (["first"], {70_000_001})
        assert api.hosts.calls[-1] == ("boot", 70_000_002)

    with_api(cut_short, path)
    with_api(goes_on, path)


def test_narrow_and_revoked_tokens() -> None:
    async def check(api: Api) -> None:
        _, made = await api("POST", "/profile/tokens", {"label": "narrow", "scopes": "linodes:read_only"})
        narrow = {"Authorization": f"Bearer {made['token']}"}
        answer = await api.client.get("/v4/linode/instances", headers=narrow)
        assert (answer.status, answer.headers["X-OAuth-Scopes"]) == (200, "linodes:read_only")
        answer = await api.client.get("/v4/account/events", headers=narrow)
        assert answer.status == 401
        assert answer.headers["X-OAuth-Scopes"] == "linodes:read_only"
        assert answer.headers["X-Accepted-OAuth-Scopes"] == "events:read_only"
        assert (await answer.json())["errors"][0][
            "reason"
        ] == "Your OAuth token is not authorized to use this endpoint."
        _, listed = await api("GET", "/profile/tokens")
        assert listed["data"][0]["token"] == made["token"][:16]
        await api("DELETE", f"/profile/tokens/{made['id']}")
        answer = await api.client.get("/v4/linode/instances", headers=narrow)
        assert (answer.status, answer.headers["X-OAuth-Scopes"]) == (401, "unknown")

    with_api(check)


def test_answers_to_what_is_not_there_and_not_allowed() -> None:
    async def check(api: Api) -> None:
        assert await api("GET", "/nothing/here") == (404, {"errors": [{"reason": "Not found"}]})
        assert await api("GET", "/linode/instances/12abc") == (404, {"errors": [{"reason": "Not found"}]})
        assert await api("PUT", "/regions") == (405, {"errors": [{"reason": "Method Not Allowed"}]})
        assert await api("DELETE", "/images/linode/debian12") == (403, {"errors": [{"reason": "Unauthorized"}]})
        assert (await api("GET", "/linode/instances?page=2"))[0] == 404
        for query in ("page_size=24", "page_size=501", "page_size=x", "page=0"):
            assert (await api("GET", f"/linode/instances?{query}"))[0] == 400
        bare = await api.client.get("/v4/linode/instances")
        assert (bare.status, await bare.json()) == (401, {"errors": [{"reason": "Invalid Token"}]})
        public = await api.client.get("/v4/linode/types")
        assert public.status == 200
        rows = (await api("GET", "/regions/us-ord/availability"))[1]
        assert isinstance(rows, list)
        assert set(rows[0]) == {"region", "plan", "available"}

    with_api(check)


def test_volumes_outlive_their_instance() -> None:
    async def check(api: Api) -> None:
        _, made = await api("POST", "/linode/instances", CREATE)
        _, volume = await api("POST", "/volumes", {"label": "data", "linode_id": made["id"], "size": 20})
        assert (volume["status"], volume["linode_label"]) == ("creating", "lc-demo-1")
        await api.settled(made["id"])
        await api("DELETE", f"/linode/instances/{made['id']}")
        await api.settled(made["id"])
        _, shown = await api("GET", f"/volumes/{volume['id']}")
        assert (shown["status"], shown["linode_id"]) == ("active", None)

    with_api(check)


def test_a_body_of_a_strange_shape_gets_an_answer() -> None:
    async def check(api: Api) -> None:
        strange: list[Any] = [
            [],
            "text",
            {"devices": {"linodes": [[1]]}, "label": {}, "rules": []},
            {"type": [], "tags": 3},
        ]
        for body in strange:
            for path in ("/linode/instances", "/networking/firewalls", "/volumes", "/tags", "/profile/tokens"):
                status, answer = await api("POST", path, body)
                assert status == 400 or path == "/profile/tokens", (path, body, answer)

    with_api(check)
