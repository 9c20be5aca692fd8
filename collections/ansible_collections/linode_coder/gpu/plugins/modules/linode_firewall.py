#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: linode_firewall
short_description: Manage the Cloud Firewall of a session
version_added: 0.1.0
description:
  - Keeps one firewall per session that lets nothing in but SSH and ICMP.
extends_documentation_fragment:
  - linode_coder.gpu.linode
  - linode_coder.gpu.linode.attributes
options:
  session:
    description: Name of the session.
    type: str
    required: true
  state:
    description: Whether the firewall should exist.
    type: str
    choices: [present, absent]
    default: present
  ssh_allowed_cidrs:
    description: Addresses that may reach SSH.
    type: list
    elements: str
    default: ["0.0.0.0/0", "::/0"]
"""

EXAMPLES = r"""
- name: Let only the office in
  linode_coder.gpu.linode_firewall:
    session: demo
    ssh_allowed_cidrs: [203.0.113.0/24]
"""

RETURN = r"""
firewall:
  description: The firewall as the API shows it, or null.
  returned: success
  type: dict
  sample: {"id": 12, "label": "lc-demo", "status": "enabled"}
"""

import ipaddress
import time

from ..module_utils.failure import Failure
from ..module_utils.linode_module import api_module
from ..module_utils.retry import pause_s
from ..module_utils.session_name import firewall_label, validate_session_name
from ..module_utils.session_tags import MARKER, is_ours


def validate_cidrs(cidrs):
    """The networks in the form that the API shows; Failure(usage) for one that is none."""
    networks = []
    for cidr in cidrs:
        try:
            networks.append(str(ipaddress.ip_network(cidr, strict=True)))
        except ValueError as error:
            raise Failure(
                "usage",
                f"ssh_allowed_cidrs has {cidr!r}, which is no network.",
                cause=str(error),
                remedy="Write networks such as 203.0.113.0/24 or single addresses such as 203.0.113.7/32.",
                field="ssh_allowed_cidrs",
                value=cidr,
            ) from error
    if not networks:
        raise Failure(
            "usage",
            "ssh_allowed_cidrs is empty, so not even this control node could reach the VM.",
            remedy="Name at least the network of this control node.",
            field="ssh_allowed_cidrs",
        )
    return networks


def rules_for(cidrs):
    by_family = {"ipv4": [c for c in cidrs if ":" not in c], "ipv6": [c for c in cidrs if ":" in c]}
    addresses = {family: found for family, found in by_family.items() if found}
    return {
        "inbound_policy": "DROP",
        "inbound": [
            {"label": "ssh", "action": "ACCEPT", "protocol": "TCP", "ports": "22", "addresses": addresses},
            {
                "label": "icmp",
                "action": "ACCEPT",
                "protocol": "ICMP",
                "addresses": {"ipv4": ["0.0.0.0/0"], "ipv6": ["::/0"]},
            },
        ],
        "outbound_policy": "ACCEPT",
        "outbound": [],
    }


def comparable(rules):
    """The parts of rules that are ours to decide; the API adds versions, fingerprints and nulls."""
    keys = ("label", "action", "protocol", "ports", "addresses")
    shown = {name: rules.get(name) for name in ("inbound_policy", "outbound_policy")}
    for name in ("inbound", "outbound"):
        shown[name] = [{key: rule[key] for key in keys if rule.get(key)} for rule in rules.get(name) or []]
        for rule in shown[name]:
            rule["addresses"] = {family: sorted(found) for family, found in rule.get("addresses", {}).items() if found}
    return shown


def create(api, label, body):
    """The new firewall. After an unclear answer it is looked up by its label; it is never asked for twice."""
    try:
        return api.post("networking/firewalls", body)
    except Failure as failure:
        if failure.kind not in ("ambiguous", "conflict"):
            raise
        for pause in (0.5, 1, 2):
            time.sleep(pause_s(pause))
            found = [row for row in api.list("networking/firewalls", {"label": label}) if is_ours(row["tags"])]
            if found:
                return found[0]
        raise


def delete(api, number):
    """Delete a firewall; one that is gone already is gone."""
    for last_try in (False, True):
        try:
            return api.when_free(lambda: api.delete(f"networking/firewalls/{number}"))
        except Failure as failure:
            if failure.kind == "not_found":
                return None
            if failure.kind != "ambiguous" or last_try:
                raise
    return None


def work(module, api, result):
    session = validate_session_name(module.params["session"])
    label = firewall_label(session)
    found = [row for row in api.list("networking/firewalls", {"label": label}) if row["label"] == label]
    current = found[0] if found else None
    if current and not is_ours(current["tags"]):
        raise Failure(
            "conflict",
            f"The account has a firewall {label!r} that is not ours.",
            remedy="Choose another session name, or rename that firewall.",
            field="session",
            value=session,
        )
    wanted = rules_for(validate_cidrs(module.params["ssh_allowed_cidrs"]))
    before = {"status": current["status"], **comparable(current["rules"])} if current else {}
    after = {"status": "enabled", **comparable(wanted)} if module.params["state"] == "present" else {}
    result["changed"] = before != after
    result["diff"] = {"before": before, "after": after, "before_header": label, "after_header": label}
    result["firewall"] = current
    if module.check_mode or not result["changed"]:
        return
    if module.params["state"] == "absent":
        delete(api, current["id"])
        result["firewall"] = None
    elif current:
        if current["status"] != "enabled":
            api.put(f"networking/firewalls/{current['id']}", {"status": "enabled"})
        api.put(f"networking/firewalls/{current['id']}/rules", wanted)
        result["firewall"] = api.get(f"networking/firewalls/{current['id']}")
    else:
        body = {"label": label, "rules": wanted, "tags": [MARKER, f"lc:session:{session}"]}
        result["firewall"] = create(api, label, body)


MODULE = api_module(
    {
        "session": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "ssh_allowed_cidrs": {"type": "list", "elements": "str", "default": ["0.0.0.0/0", "::/0"]},
    },
    work,
)


def main():
    MODULE.main()


if __name__ == "__main__":
    main()
