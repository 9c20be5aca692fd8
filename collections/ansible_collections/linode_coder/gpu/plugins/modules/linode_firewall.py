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

from ..module_utils.failure import Failure
from ..module_utils.linode_module import run
from ..module_utils.session_name import firewall_label, validate_session_name
from ..module_utils.session_tags import MARKER


def rules_for(cidrs):
    addresses = {}
    for family, found in (("ipv4", [c for c in cidrs if ":" not in c]), ("ipv6", [c for c in cidrs if ":" in c])):
        if found:
            addresses[family] = found
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
    inbound = [{key: rule[key] for key in keys if rule.get(key)} for rule in rules.get("inbound") or []]
    return {
        "inbound": inbound,
        "inbound_policy": rules.get("inbound_policy"),
        "outbound_policy": rules.get("outbound_policy"),
    }


def work(module, api, result):
    session = validate_session_name(module.params["session"])
    label = firewall_label(session)
    found = [row for row in api.list("networking/firewalls", {"label": label}) if row["label"] == label]
    current = found[0] if found else None
    if current and MARKER not in current["tags"]:
        raise Failure(
            "conflict",
            f"The account has a firewall {label!r} that is not ours.",
            remedy="Choose another session name, or rename that firewall.",
            field="session",
            value=session,
        )
    wanted = rules_for(module.params["ssh_allowed_cidrs"])
    before = comparable(current["rules"]) if current else {}
    after = comparable(wanted) if module.params["state"] == "present" else {}
    result["changed"] = before != after
    result["diff"] = {"before": before, "after": after, "before_header": label, "after_header": label}
    result["firewall"] = current
    if module.check_mode or not result["changed"]:
        return
    if module.params["state"] == "absent":
        api.delete(f"networking/firewalls/{current['id']}")
        result["firewall"] = None
    elif current:
        api.put(f"networking/firewalls/{current['id']}/rules", wanted)
        result["firewall"] = api.get(f"networking/firewalls/{current['id']}")
    else:
        body = {"label": label, "rules": wanted, "tags": [MARKER, f"lc:session:{session}"]}
        try:
            result["firewall"] = api.post("networking/firewalls", body)
        except Failure as failure:
            if failure.kind not in ("ambiguous", "conflict"):
                raise
            found = [row for row in api.list("networking/firewalls", {"label": label}) if MARKER in row["tags"]]
            if not found:
                raise
            result["firewall"] = found[0]


def main():
    run(
        {
            "session": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "ssh_allowed_cidrs": {"type": "list", "elements": "str", "default": ["0.0.0.0/0", "::/0"]},
        },
        work,
    )


if __name__ == "__main__":
    main()
