# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core import told
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import decode
from scripted_linode import ACCOUNT, KEY, NO_STOCK, Fault, ScriptedLinode

OFFERS = [
    {"plan": "g2-gpu-rtx4000a1-s", "region": "us-ord", "hourly": 0.52},
    {"plan": "g2-gpu-rtx4000a1-s", "region": "us-sea", "hourly": 0.52},
    {"plan": "g2-gpu-rtx4000a1-m", "region": "fr-par", "hourly": 0.67},
]
WANTED = {"session": "demo", "offers": OFFERS, "model": "org/Model-7B", "authorized_keys": [KEY], "lease": "2h"}


@pytest.fixture
def up(run: Any) -> Any:
    return lambda **more: run("linode_gpu_instance", **(WANTED | more))


@pytest.fixture
def down(run: Any) -> Any:
    return lambda **more: run("linode_gpu_instance", **({"session": "demo", "state": "absent"} | more))


def outcomes(result: dict[str, Any]) -> list[str]:
    return [row["outcome"] for row in result["attempts"]]


def creates(api: ScriptedLinode) -> int:
    return api.count("POST", r"^linode/instances$")


def test_everything_is_in_the_create_call_itself(api: ScriptedLinode, up: Any) -> None:
    result = up(firewall_id=77, owner="Ada Lovelace", idle="30m", image="linode/ubuntu24.04")
    body = next(call.body for call in api.calls if call.method == "POST")
    tags = decode(body["tags"])
    assert result["changed"] is True
    assert outcomes(result) == ["created"]
    assert result["account"] == ACCOUNT
    assert (body["label"], body["firewall_id"], body["booted"]) == ("lc-demo-1", 77, True)
    assert body["interface_generation"] == "legacy_config"
    assert "backups_enabled" not in body
    assert tags.complete
    assert (tags.session, tags.owner, tags.idle_minutes, tags.model) == ("demo", "ada-lovelace", 30, "org/Model-7B")
    config = json.loads(base64.b64decode(body["metadata"]["user_data"]).decode().removeprefix("#cloud-config\n"))
    private = config["ssh_keys"].pop("ed25519_private")
    assert private.startswith("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    host_key = result["instance"]["host_keys"][0]
    assert config == {"ssh_deletekeys": True, "ssh_keys": {"ed25519_public": host_key}, "ssh_pwauth": False}
    assert result["instance"]["status"] == "running"
    assert "StrictHostKeyChecking=yes" in result["connection"]["ansible_ssh_common_args"]
    shown = json.dumps(result)
    assert "PRIVATE KEY" not in shown
    assert body["metadata"]["user_data"] not in shown


def test_new_interfaces_carry_the_firewall_themselves(api: ScriptedLinode, up: Any) -> None:
    api.settings["interfaces_for_new_linodes"] = "linode_default_but_legacy_config_allowed"
    up(firewall_id=77)
    body = next(call.body for call in api.calls if call.method == "POST")
    assert body["interface_generation"] == "linode"
    assert body["interfaces"][0]["firewall_id"] == 77
    assert "firewall_id" not in body


NOT_ALLOWED = "Linode interfaces are required by the account"
UNREADABLE = Fault(
    "GET",
    "account/settings",
    401,
    "Your OAuth token is not authorized to use this endpoint.",
    headers={"X-OAuth-Scopes": "linodes:read_write", "X-Accepted-OAuth-Scopes": "account:read_only"},
)


def test_the_other_interfaces_are_taken_where_the_account_refuses_the_first(api: ScriptedLinode, up: Any) -> None:
    api.faults += [
        replace(UNREADABLE),
        Fault("POST", "linode/instances", 400, NOT_ALLOWED, where="interface_generation"),
    ]
    result = up(firewall_id=77)
    bodies = [call.body for call in api.calls if call.method == "POST"]
    assert [body["interface_generation"] for body in bodies] == ["legacy_config", "linode"]
    assert bodies[1]["interfaces"][0]["firewall_id"] == 77 and "firewall_id" not in bodies[1]
    assert result["instance"]["status"] == "running" and len(api.instances) == 1
    assert any("took linode interfaces" in action for action in result["actions"])


def test_where_both_kinds_of_interfaces_are_refused_there_is_certainly_no_vm(api: ScriptedLinode, up: Any) -> None:
    refused = Fault("POST", "linode/instances", 400, NOT_ALLOWED, where="interface_generation", count=9)
    api.faults += [replace(UNREADABLE), refused]
    result = up(firewall_id=77)
    assert (result["failure"]["kind"], refused.count, result["no_vm"]) == ("cloud", 7, True)
    assert result["failure"]["remedy"]


def test_an_account_that_allows_one_kind_of_interfaces_is_asked_for_no_other(api: ScriptedLinode, up: Any) -> None:
    refused = Fault("POST", "linode/instances", 400, NOT_ALLOWED, where="interface_generation", count=9)
    api.faults.append(refused)
    assert up()["failure"]["kind"] == "cloud" and refused.count == 8


def test_another_refusal_is_no_reason_to_try_other_interfaces(api: ScriptedLinode, up: Any) -> None:
    refused = Fault("POST", "linode/instances", 400, "image is not valid", where="image", count=9)
    api.faults += [replace(UNREADABLE), refused]
    assert up()["no_vm"] is True and refused.count == 8


@pytest.mark.parametrize(
    ("fault", "changes", "certain"),
    [
        (Fault("POST", "linode/instances", 400, NO_STOCK, count=9), {}, True),
        (Fault("POST", "linode/instances", 403, "Unauthorized"), {}, True),
        (Fault("POST", "linode/instances", 403, "Unauthorized"), {"generation": 2}, False),
        (Fault("POST", "linode/instances", 502, count=9), {}, False),
        (Fault("POST", "linode/instances", 0, count=9), {}, False),
        (Fault("GET", "linode/instances", 502, count=9), {}, False),
        (Fault("GET", "images", 502, count=9), {}, True),
    ],
)
def test_it_is_said_whether_a_failed_create_left_no_vm(
    api: ScriptedLinode, up: Any, fault: Fault, changes: dict[str, Any], certain: bool
) -> None:
    api.faults.append(replace(fault))
    result = up(**changes)
    assert result["failure"] and result["no_vm"] is certain


def test_a_vm_that_does_not_boot_is_a_vm(api: ScriptedLinode, up: Any) -> None:
    api.boot_fails = True
    assert up()["no_vm"] is False


def test_second_run_changes_nothing_with_one_request(api: ScriptedLinode, up: Any) -> None:
    up()
    api.calls.clear()
    result = up()
    assert result["changed"] is False
    assert result["actions"] == []
    assert [(call.method, call.path) for call in api.calls] == [("GET", "linode/instances")]


def test_check_mode_shows_the_create_and_does_nothing(api: ScriptedLinode, up: Any) -> None:
    result = up(check=True)
    assert result["changed"] is True
    assert result["diff"]["after"]["label"] == "lc-demo-1"
    assert "metadata" not in result["diff"]["after"]
    assert api.instances == {}


def test_capacity_refusals_move_to_the_next_offer_and_are_reported(api: ScriptedLinode, up: Any) -> None:
    api.faults.append(Fault("POST", "linode/instances", 403, NO_STOCK, count=2))
    result = up()
    assert outcomes(result) == ["no capacity", "no capacity", "created"]
    assert all(NO_STOCK in row["reason"] for row in result["attempts"][:2])
    assert result["instance"]["region"] == "fr-par"
    assert len(api.instances) == 1


def test_each_refusal_is_said_when_it_happens(
    api: ScriptedLinode, up: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(told.VARIABLE, str(tmp_path / "told"))
    api.faults.append(Fault("POST", "linode/instances", 403, NO_STOCK, count=2))
    result = up()
    facts, _place = told.newer(tmp_path / "told", 0)
    assert [fact["attempt"] for fact in facts if "attempt" in fact] == result["attempts"]
    assert next(fact for fact in facts if "detail" in fact)["detail"].startswith("asking for ")


def test_no_capacity_anywhere(api: ScriptedLinode, up: Any) -> None:
    api.faults.append(Fault("POST", "linode/instances", 400, NO_STOCK, count=9))
    result = up()
    assert result["failure"]["kind"] == "capacity"
    assert result["failure"]["exit_code"] == 7
    assert creates(api) == len(OFFERS)


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (403, "Unauthorized", "auth"),
        (401, "Invalid Token", "auth"),
        (400, "Account Limit reached. Please open a support ticket.", "limit"),
        (400, "region is not valid", "cloud"),
    ],
)
def test_other_refusals_stop_at_once(api: ScriptedLinode, up: Any, status: int, reason: str, kind: str) -> None:
    headers = {"X-OAuth-Scopes": "unknown"} if status == 401 else {}
    api.faults.append(Fault("POST", "linode/instances", status, reason, headers=headers, count=9))
    result = up()
    assert result["failure"]["kind"] == kind
    assert reason in result["failure"]["cause"]
    assert creates(api) == 1


@pytest.mark.parametrize("status", [0, 408, 500, 502, 503])
def test_unclear_answer_after_the_commit_adopts_the_one_vm(api: ScriptedLinode, up: Any, status: int) -> None:
    api.faults.append(Fault("POST", "linode/instances", status, after=True))
    result = up()
    assert outcomes(result) == ["adopted"]
    assert len(api.instances) == 1
    assert creates(api) == 1
    assert result["instance"]["complete"] is True


@pytest.mark.parametrize("status", [0, 502])
def test_unclear_answer_before_the_commit_is_sent_again_only_after_looking(
    api: ScriptedLinode, up: Any, status: int
) -> None:
    api.faults.append(Fault("POST", "linode/instances", status))
    result = up()
    order = [call.method for call in api.calls if call.path == "linode/instances"]
    assert len(api.instances) == 1
    assert outcomes(result) == ["created"]
    assert order.index("GET", order.index("POST")) < len(order) - 1 - order[::-1].index("POST")


def test_unclear_create_that_cannot_be_looked_up_is_never_repeated(api: ScriptedLinode, up: Any) -> None:
    api.faults.append(Fault("POST", "linode/instances", 502, after=True))
    api.faults.append(Fault("GET", "linode/instances", 401, "Invalid Token", headers={"X-OAuth-Scopes": "unknown"}))
    api.faults[-1].count = 0
    original = api.answer

    def answer(call: Any) -> Any:
        if call.method == "POST" and call.path == "linode/instances":
            api.faults[-1].count = 99
        return original(call)

    api.answer = answer  # type: ignore[method-assign]
    result = up()
    assert result["failure"]["kind"] == "ambiguous"
    assert any("may exist" in line for line in result["failure"]["billing"])
    assert creates(api) == 1


def test_foreign_linode_with_our_label_is_left_alone(api: ScriptedLinode, up: Any, down: Any) -> None:
    api.add("lc-demo-1", ["somebody"])
    for result in (up(), down()):
        assert result["failure"]["kind"] == "conflict"
        assert result["failure"]["exit_code"] == 10
    assert api.count("POST") == api.count("DELETE") == 0


def test_label_taken_by_another_run_meanwhile_is_adopted(api: ScriptedLinode, up: Any, tags: list[str]) -> None:
    original = api._create

    def lost_race(body: dict[str, Any]) -> Any:
        if not api.instances:
            api.add("lc-demo-1", tags)
        return original(body)

    api._create = lost_race  # type: ignore[method-assign]
    result = up()
    assert outcomes(result) == ["adopted"]
    assert len(api.instances) == 1


def test_powered_off_vm_is_booted(api: ScriptedLinode, up: Any, tags: list[str]) -> None:
    api.add("lc-demo-1", tags, status="offline")
    assert up(check=True)["changed"] is True
    assert api.count("POST") == 0
    result = up()
    assert result["changed"] is True
    assert result["actions"] == ["booted lc-demo-1"]
    assert result["instance"]["status"] == "running"


def test_vm_that_is_being_deleted_is_replaced(api: ScriptedLinode, up: Any, tags: list[str]) -> None:
    old = api.add("lc-demo-1", tags, status="deleting")
    result = up()
    assert result["instance"]["linode_id"] != old["id"]
    assert list(api.instances) == [result["instance"]["linode_id"]]


def test_failed_boot_says_that_the_vm_bills(api: ScriptedLinode, up: Any) -> None:
    api.boot_fails = True
    result = up()
    assert result["failure"]["kind"] == "cloud"
    assert "linode_boot" in result["failure"]["message"]
    assert "linode-coder down demo" in result["failure"]["billing"][0]


def test_without_the_scope_for_events_the_status_is_watched(api: ScriptedLinode, up: Any) -> None:
    api.faults.append(
        Fault(
            "GET",
            "account/events",
            401,
            "Your OAuth token is not authorized to use this endpoint.",
            headers={"X-OAuth-Scopes": "linodes:read_write", "X-Accepted-OAuth-Scopes": "events:read_only"},
            count=99,
        )
    )
    result = up()
    assert result["instance"]["status"] == "running"
    assert any("events:read_only" in warning for warning in result["warnings"])
    assert api.count("GET", "account/events") == 1


def test_forced_backups_are_warned_of(api: ScriptedLinode, up: Any) -> None:
    api.settings["backups_enabled"] = True
    assert any("backups" in warning for warning in up()["warnings"])


def test_absent_deletes_and_waits_for_the_404(api: ScriptedLinode, down: Any, tags: list[str]) -> None:
    api.add("lc-demo-1", tags)
    assert down(check=True)["changed"] is True
    assert len(api.instances) == 1
    result = down(account=ACCOUNT)
    assert (result["changed"], result["already_gone"], result["hours"], result["cost"]) == (True, False, 1, 0.52)
    assert api.instances == {}
    assert api.calls[-1].method == "GET"
    again = down()
    assert (again["changed"], again["already_gone"]) == (False, True)


def test_nothing_is_deleted_in_another_account(api: ScriptedLinode, down: Any, tags: list[str]) -> None:
    api.add("lc-demo-1", tags)
    result = down(account="some-other-account")
    assert result["failure"]["kind"] == "conflict"
    assert api.count("DELETE") == 0


@pytest.mark.parametrize("status", [401, 500, 503])
def test_only_404_counts_as_gone(api: ScriptedLinode, down: Any, tags: list[str], status: int) -> None:
    row = api.add("lc-demo-1", tags)
    headers = {"X-OAuth-Scopes": "unknown"}
    api.faults.append(Fault("GET", f"linode/instances/{row['id']}", status, "no", headers=headers, count=99))
    result = down()
    assert result["failure"]["kind"] in ("auth", "transient")
    assert "billing" in result["failure"]["billing"][0]
    assert "deleted" not in result


def test_deletion_whose_answer_was_lost_is_asked_for_again(api: ScriptedLinode, down: Any, tags: list[str]) -> None:
    row = api.add("lc-demo-1", tags)
    api.faults.append(Fault("DELETE", f"linode/instances/{row['id']}", 502))
    result = down()
    assert result["changed"] is True
    assert api.instances == {}
    assert api.count("DELETE") == 2


def test_lock_is_named(api: ScriptedLinode, down: Any, tags: list[str]) -> None:
    api.add("lc-demo-1", tags, locks=["cannot_delete"])
    result = down()
    assert result["failure"]["kind"] == "conflict"
    assert "cannot_delete" in result["failure"]["message"]
    assert result["changed"] is False and "diff" not in result
    assert "billing" in result["failure"]["billing"][0]


def test_busy_is_waited_for(api: ScriptedLinode, down: Any, tags: list[str]) -> None:
    row = api.add("lc-demo-1", tags)
    api.faults.append(Fault("DELETE", f"linode/instances/{row['id']}", 400, "Linode busy."))
    assert down()["changed"] is True
    assert api.instances == {}


def test_reboot_and_running(api: ScriptedLinode, run: Any, tags: list[str]) -> None:
    missing = run("linode_gpu_instance", session="demo", state="running")
    assert missing["failure"]["exit_code"] == 9
    api.add("lc-demo-1", tags)
    assert run("linode_gpu_instance", session="demo", state="running")["changed"] is False
    result = run("linode_gpu_instance", session="demo", state="rebooted")
    assert (result["changed"], result["instance"]["status"]) == (True, "running")
    assert api.count("POST", "reboot") == 1
