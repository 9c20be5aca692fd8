# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from scripted_linode import Fault, ScriptedLinode


def test_one_firewall_that_lets_in_only_ssh_and_icmp(api: ScriptedLinode, run: Any) -> None:
    assert run("linode_firewall", check=True, session="demo")["changed"] is True
    assert api.firewalls == {}
    made = run("linode_firewall", session="demo")
    rules = made["firewall"]["rules"]
    assert (made["changed"], made["firewall"]["label"]) == (True, "lc-demo")
    assert (rules["inbound_policy"], rules["outbound_policy"]) == ("DROP", "ACCEPT")
    assert [(rule["protocol"], rule.get("ports")) for rule in rules["inbound"]] == [("TCP", "22"), ("ICMP", None)]
    again = run("linode_firewall", session="demo")
    assert (again["changed"], again["firewall"]["id"]) == (False, made["firewall"]["id"])


def test_drift_is_repaired(api: ScriptedLinode, run: Any) -> None:
    number = run("linode_firewall", session="demo")["firewall"]["id"]
    api.firewalls[number]["status"] = "disabled"
    narrowed = run("linode_firewall", session="demo", ssh_allowed_cidrs=["203.0.113.0/24"])
    assert narrowed["changed"] is True
    assert narrowed["diff"]["before"]["status"] == "disabled"
    assert narrowed["firewall"]["status"] == "enabled"
    assert narrowed["firewall"]["rules"]["inbound"][0]["addresses"] == {"ipv4": ["203.0.113.0/24"]}


@pytest.mark.parametrize("cidrs", [["203.0.113.7/24"], ["everywhere"], []])
def test_bad_networks_change_nothing(api: ScriptedLinode, run: Any, cidrs: list[str]) -> None:
    result = run("linode_firewall", session="demo", ssh_allowed_cidrs=cidrs)
    assert (result["failure"]["exit_code"], result["failure"]["field"]) == (2, "ssh_allowed_cidrs")
    assert api.count("POST") == 0


def test_unclear_create_is_looked_up(api: ScriptedLinode, run: Any) -> None:
    api.faults.append(Fault("POST", "networking/firewalls", 502, after=True))
    assert run("linode_firewall", session="demo")["firewall"]["label"] == "lc-demo"
    assert len(api.firewalls) == api.count("POST") == 1


def test_tags_are_ours_in_whatever_case_the_account_returns_them(api: ScriptedLinode, run: Any) -> None:
    number = run("linode_firewall", session="demo")["firewall"]["id"]
    api.firewalls[number]["tags"] = ["Linode-Coder", "LC:Session:demo"]
    assert run("linode_firewall", session="demo")["changed"] is False
    assert run("linode_firewall", session="demo", state="absent")["changed"] is True
    assert api.firewalls == {}
    api.faults.append(Fault("POST", "networking/firewalls", 502, after=True))
    api.spelling = str.upper
    assert run("linode_firewall", session="demo")["firewall"]["tags"][0] == "LINODE-CODER"
    assert len(api.firewalls) == 1


def test_absent_and_foreign(api: ScriptedLinode, run: Any) -> None:
    run("linode_firewall", session="demo")
    assert run("linode_firewall", session="demo", state="absent")["changed"] is True
    assert run("linode_firewall", session="demo", state="absent")["changed"] is False
    api.firewalls[5] = {"id": 5, "label": "lc-demo", "tags": [], "rules": {}, "status": "enabled"}
    assert run("linode_firewall", session="demo", state="absent")["failure"]["kind"] == "conflict"
    assert 5 in api.firewalls
