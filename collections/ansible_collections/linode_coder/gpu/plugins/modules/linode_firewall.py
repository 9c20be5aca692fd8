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
  ssh_from:
    description:
      - From where SSH may be reached. V(anywhere), networks, or V(here) for the addresses that control nodes were seen to
        come from, which is every address until the first of them was seen.
      - Without it a firewall that exists keeps what it lets in, and a new one lets in every address.
    type: list
    elements: str
  seen:
    description:
      - Address that the VM saw this control node come from. Where SSH is let in from V(here) it is let in from there, and
        no longer from every address.
    type: str
  reopen:
    description:
      - Lets in every address until the next one is seen, because this control node may have another address now. Changes
        nothing where people named the addresses, and makes no firewall.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Let only the office in
  linode_coder.gpu.linode_firewall:
    session: demo
    ssh_from: [203.0.113.0/24]
"""

RETURN = r"""
firewall:
  description: The firewall as the API shows it, or null.
  returned: success
  type: dict
  sample: {"id": 12, "label": "lc-demo", "status": "enabled"}
access:
  description: Who is let in to SSH. Networks that were named or addresses that were seen, and whether it is open until one is.
  returned: success
  type: dict
  sample: {"named": [], "seen": ["203.0.113.7/32"], "open": false}
"""

import time
from typing import Any

from ..module_utils.core.failure import Failure
from ..module_utils.core.local_module import Call
from ..module_utils.core.retry import pause_s
from ..module_utils.linode.client import LinodeApi
from ..module_utils.linode.module import api_module
from ..module_utils.session.name import firewall_label, validate_session_name
from ..module_utils.session.ssh_access import access_of, parse_ssh_from, rules_for, wanted_access
from ..module_utils.session.tags import MARKER, is_ours


def comparable(rules: dict[str, Any]) -> dict[str, Any]:
    """The parts of rules that are ours to decide; the API adds versions, fingerprints and nulls."""
    keys = ("label", "action", "protocol", "ports", "addresses")
    shown: dict[str, Any] = {name: rules.get(name) for name in ("inbound_policy", "outbound_policy")}
    for name in ("inbound", "outbound"):
        shown[name] = [{key: rule[key] for key in keys if rule.get(key)} for rule in rules.get(name) or []]
        for rule in shown[name]:
            rule["addresses"] = {family: sorted(found) for family, found in rule.get("addresses", {}).items() if found}
    return shown


def create(api: LinodeApi, label: str, body: dict[str, Any]) -> dict[str, Any]:
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


def delete(api: LinodeApi, number: int) -> None:
    """Delete a firewall; one that is gone already is gone."""
    for last_try in (False, True):
        try:
            api.when_free(lambda: api.delete(f"networking/firewalls/{number}"))
        except Failure as failure:
            if failure.kind == "not_found":
                return
            if failure.kind != "ambiguous" or last_try:
                raise
        else:
            return


def work(module: Call, api: LinodeApi, result: dict[str, Any]) -> None:
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
    params = module.params
    asked = None if params["ssh_from"] is None else parse_ssh_from(params["ssh_from"])
    known = access_of(current["rules"]) if current else None
    if params["reopen"] and known is None:
        result.update(firewall=None, access={"named": [], "seen": [], "open": False})
        return
    access = wanted_access(known, asked, params["seen"], params["reopen"])
    result["access"] = access.as_dict()
    wanted = rules_for(access)
    before = {"status": current["status"], **comparable(current["rules"])} if current else {}
    after = {"status": "enabled", **comparable(wanted)} if module.params["state"] == "present" else {}
    result["changed"] = before != after
    result["diff"] = {"before": before, "after": after, "before_header": label, "after_header": label}
    result["firewall"] = current
    if module.check_mode or not result["changed"]:
        return
    if current and module.params["state"] == "absent":
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
        "ssh_from": {"type": "list", "elements": "str"},
        "seen": {"type": "str"},
        "reopen": {"type": "bool", "default": False},
    },
    work,
)


def main() -> None:
    MODULE.main()


if __name__ == "__main__":
    main()
