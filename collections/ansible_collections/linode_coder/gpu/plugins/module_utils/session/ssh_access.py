# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may reach SSH on a VM: the addresses that people named, or those that this project's machines were seen to come from.

The API does not say from which address it is asked, and that need not be the one that a VM sees. The VM's sshd does, at the
first connection: until then SSH is open to every address, to keys only, and after it to what was seen.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..core.failure import Failure

# Labels of the rules, by which a firewall tells what it is.
NAMED, SEEN, UNTIL_SEEN = "ssh", "ssh-here", "ssh-until-seen"
WORLD = ("0.0.0.0/0", "::/0")
# Addresses of a family that are let in side by side, the newest first: a laptop, a watcher, and the networks the laptop was in before.
KEPT = 4


@dataclass(frozen=True)
class SshAccess:
    """``named`` networks, or ``seen`` addresses as networks, and whether it is ``open`` to all until one is seen."""

    named: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    open: bool = False

    def as_dict(self) -> dict[str, Any]:
        return {"named": list(self.named), "seen": list(self.seen), "open": self.open}


def parse_ssh_from(items: list[str] | tuple[str, ...]) -> list[str]:
    """``["here"]``, ``["anywhere"]`` or networks in the form that the API shows; Failure(usage) for anything else."""
    words = [item.strip() for item in items if item.strip()]
    if words in (["here"], ["anywhere"]):
        return words
    networks = []
    for word in words:
        try:
            networks.append(str(ipaddress.ip_network(word, strict=True)))
        except ValueError as error:
            raise Failure(
                "usage",
                f"ssh_from has {word!r}, which is no network.",
                cause=str(error),
                remedy="Write here or anywhere alone, or networks such as 203.0.113.0/24 and addresses such as 203.0.113.7.",
                field="ssh_from",
                value=word,
            ) from error
    if not networks:
        raise Failure(
            "usage",
            "ssh_from is empty, so not even this control node could reach the VM.",
            remedy="Write here, anywhere, or the network of this control node.",
            field="ssh_from",
        )
    return list(dict.fromkeys(networks))


def seen_network(address: str) -> str:
    """The network of the one address that a VM says it was reached from; Failure(cloud) for what is none."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError as error:
        raise Failure(
            "cloud",
            f"The VM says that it was reached from {address[:60]!r}, which is no address.",
            remedy="SSH stays as it is. Name the addresses yourself: linode-coder up NAME --ssh-from CIDR",
            field="seen",
        ) from error
    return str(ipaddress.ip_network(found))


def access_of(rules: Mapping[str, Any]) -> SshAccess:
    """What the rules of a firewall let in to SSH."""
    found: dict[str, tuple[str, ...]] = {}
    for rule in rules.get("inbound") or []:
        addresses = rule.get("addresses") or {}
        found[rule.get("label") or ""] = (*(addresses.get("ipv4") or ()), *(addresses.get("ipv6") or ()))
    return SshAccess(found.get(NAMED, ()), found.get(SEEN, ()), UNTIL_SEEN in found)


def wanted_access(
    current: SshAccess | None, ssh_from: list[str] | None = None, seen: str | None = None, reopen: bool = False
) -> SshAccess:
    """What is to be let in. ``current`` is None when there is no firewall yet.

    :param ssh_from: what people want now, as `parse_ssh_from` returns it; None leaves it as it is, anywhere to begin with.
    :param seen: the address that a machine of ours was just seen to come from.
    :param reopen: a machine of ours is not let in, maybe since its address has changed. Only undoes what was seen:
        what people named stays.
    """
    access = current or SshAccess()
    if ssh_from == ["here"]:
        access = SshAccess((), access.seen, access.open or not access.seen)
    elif ssh_from:
        access = SshAccess(WORLD if ssh_from == ["anywhere"] else tuple(ssh_from))
    elif not (access.named or access.seen or access.open):
        access = SshAccess(WORLD)
    if access.named:
        return SshAccess(access.named)
    if reopen:
        access = SshAccess((), access.seen, True)
    if seen is None:
        return access
    network = seen_network(seen)
    if network in access.seen:
        return SshAccess((), access.seen)
    families = _by_family((network, *access.seen))
    return SshAccess((), tuple(kept for family in families.values() for kept in family[:KEPT]))


def rules_for(access: SshAccess) -> dict[str, Any]:
    """The rules of the firewall: SSH by ``access``, ICMP, and nothing else."""
    parts = ((NAMED, access.named), (SEEN, access.seen), (UNTIL_SEEN, WORLD if access.open else ()))
    return {
        "inbound_policy": "DROP",
        "inbound": [
            *(
                {
                    "label": label,
                    "action": "ACCEPT",
                    "protocol": "TCP",
                    "ports": "22",
                    "addresses": _by_family(networks),
                }
                for label, networks in parts
                if networks
            ),
            {"label": "icmp", "action": "ACCEPT", "protocol": "ICMP", "addresses": _by_family(WORLD)},
        ],
        "outbound_policy": "ACCEPT",
        "outbound": [],
    }


def _by_family(networks: tuple[str, ...]) -> dict[str, list[str]]:
    families = {"ipv4": [net for net in networks if ":" not in net], "ipv6": [net for net in networks if ":" in net]}
    return {family: found for family, found in families.items() if found}
