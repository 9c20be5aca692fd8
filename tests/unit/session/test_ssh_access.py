# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is let in to SSH: what people named stays as it is, and what was seen follows the machines that come."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.ssh_access import (
    KEPT,
    WORLD,
    SshAccess,
    access_of,
    parse_ssh_from,
    rules_for,
    seen_network,
    wanted_access,
)

HOME, CAFE = "203.0.113.7", "2001:db8::5"
NAMED = SshAccess(named=("198.51.100.0/24",))
OPEN = SshAccess(open=True)
AT_HOME = SshAccess(seen=(f"{HOME}/32",))


@pytest.mark.parametrize(
    ("current", "asked", "wanted"),
    [
        (None, {}, SshAccess(WORLD)),
        (None, {"ssh_from": ["here"]}, OPEN),
        (None, {"ssh_from": ["anywhere"]}, SshAccess(WORLD)),
        (None, {"ssh_from": ["198.51.100.0/24"]}, NAMED),
        # First contact closes what was open until then.
        (OPEN, {"seen": HOME}, AT_HOME),
        (OPEN, {}, OPEN),
        (AT_HOME, {}, AT_HOME),
        (AT_HOME, {"ssh_from": ["here"]}, AT_HOME),
        (AT_HOME, {"seen": HOME}, AT_HOME),
        # Another network: open until the address there was seen; who was let in before still is.
        (AT_HOME, {"reopen": True}, SshAccess(seen=(f"{HOME}/32",), open=True)),
        (SshAccess(seen=(f"{HOME}/32",), open=True), {"seen": CAFE}, SshAccess(seen=(f"{HOME}/32", f"{CAFE}/128"))),
        (SshAccess(seen=(f"{HOME}/32",), open=True), {"seen": HOME}, AT_HOME),
        # What people named stays, whatever is seen.
        (NAMED, {}, NAMED),
        (NAMED, {"seen": HOME}, NAMED),
        (NAMED, {"reopen": True}, NAMED),
        (SshAccess(WORLD), {"seen": HOME}, SshAccess(WORLD)),
        (AT_HOME, {"ssh_from": ["198.51.100.0/24"]}, NAMED),
        (NAMED, {"ssh_from": ["here"]}, OPEN),
        (SshAccess(), {}, SshAccess(WORLD)),
    ],
)
def test_who_is_let_in(current: SshAccess | None, asked: dict[str, Any], wanted: SshAccess) -> None:
    found = wanted_access(current, **asked)
    assert found == wanted
    # A firewall says of itself what it is, and a second time changes nothing.
    assert access_of(rules_for(found)) == found
    assert wanted_access(found, asked.get("ssh_from")) == found


def test_only_the_last_addresses_are_kept() -> None:
    access = OPEN
    for number in range(KEPT + 3):
        access = wanted_access(access, seen=f"203.0.113.{number}")
    assert access.seen == tuple(f"203.0.113.{number}/32" for number in range(KEPT + 2, 2, -1))


def test_nothing_but_ssh_and_icmp_is_let_in() -> None:
    for access in (NAMED, OPEN, AT_HOME, SshAccess(seen=(f"{CAFE}/128",), open=True)):
        rules = rules_for(access)
        assert {(rule["protocol"], rule.get("ports")) for rule in rules["inbound"]} == {("TCP", "22"), ("ICMP", None)}
        assert all(3 <= len(rule["label"]) <= 32 and rule["addresses"] for rule in rules["inbound"])


@pytest.mark.parametrize(
    "said", ["0.0.0.0/0", "::/0", "203.0.113.0/24", "", "localhost", "1.2.3.4; rm -rf /", "{{ x }}"]
)
def test_a_vm_cannot_say_more_than_one_address(said: str) -> None:
    with pytest.raises(Failure):
        seen_network(said)


@pytest.mark.parametrize("items", [[], [""], ["here", "anywhere"], ["here", "10.0.0.0/8"], ["home"], ["10.0.0.1/8"]])
def test_what_is_no_answer_to_from_where_is_refused(items: list[str]) -> None:
    with pytest.raises(Failure) as caught:
        parse_ssh_from(items)
    assert (caught.value.kind, caught.value.field) == ("usage", "ssh_from") and caught.value.remedy


def test_addresses_become_networks() -> None:
    assert parse_ssh_from([" 203.0.113.7 ", "10.0.0.0/8", "203.0.113.7/32", "2001:db8::1"]) == [
        "203.0.113.7/32",
        "10.0.0.0/8",
        "2001:db8::1/128",
    ]
