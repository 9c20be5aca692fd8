#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: linode_gpu_instance_info
short_description: Read the sessions of an account from their tags
version_added: 0.1.0
description:
  - Answers every session that the tags of the account's Linodes describe, in one request per 500 Linodes.
  - For a VM that has been on its way (booting, rebooting, ...) for longer than a start takes, its events are read as well.
extends_documentation_fragment:
  - linode_coder.gpu.linode
  - linode_coder.gpu.linode.reading
options:
  session:
    description: Only this session.
    type: str
  must_exist:
    description: Whether it is a failure when there is no such session.
    type: bool
    default: false
  running_only:
    description: Whether RV(hosts) leaves out VMs that do not run.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Read all sessions
  linode_coder.gpu.linode_gpu_instance_info:
  register: found
"""

RETURN = r"""
sessions:
  description: The views of the sessions, the most expensive first. C(status_age) of one that is on its way is how many
    seconds ago its last event was.
  returned: success
  type: list
  elements: dict
  sample: [{"name": "demo", "status": "running", "hourly": 0.52}]
hosts:
  description: The VMs that can be connected to, each with its view as C(session), with what it should have and the connection
    variables that pin the host keys in its tags. Not those whose label cannot be a host's name, or means another host, such as localhost.
  returned: success
  type: list
  elements: dict
  sample: [{"label": "lc-demo-1", "name": "demo", "linode_id": 123, "expected": {"gpus": 1}, "connection": {"ansible_host": "203.0.113.7"}}]
"""

import time
from typing import Any

from ..module_utils.core.cost import parse_time
from ..module_utils.core.did_you_mean import did_you_mean, nearest
from ..module_utils.core.failure import Failure
from ..module_utils.core.local_module import Call
from ..module_utils.health.catalogue import limit
from ..module_utils.health.outside import ON_ITS_WAY
from ..module_utils.linode.client import LinodeApi
from ..module_utils.linode.module import api_module
from ..module_utils.session.expected import expected_of
from ..module_utils.session.host_key import from_openssh
from ..module_utils.session.name import is_host_name, validate_session_name
from ..module_utils.session.ssh import connection_vars
from ..module_utils.session.tags import MARKER
from ..module_utils.session.view import session_view


def not_found(name: str, known: list[str]) -> Failure:
    return Failure(
        "not_found",
        f"There is no session {name!r} in this account.",
        remedy=did_you_mean(nearest(name, known, cutoff=0.4), "See them all: linode-coder list"),
        field="session",
        value=name,
    )


def status_age(api: LinodeApi, view: dict[str, Any], now: int) -> int | None:
    """Seconds since the last event of a VM that is on its way; None when the token may not read the events."""
    age = now - parse_time(view["created"])
    if age < limit("vm.status", "starting"):
        return age
    newest = {"entity.id": view["linode_id"], "entity.type": "linode", "+order_by": "created", "+order": "desc"}
    try:
        events = api.get("account/events?page_size=25", newest)["data"]
    except Failure as failure:
        if failure.kind in ("scope", "auth"):
            return None
        raise
    # A changed tag says nothing about the state.
    times = [parse_time(event["created"]) for event in events if event["action"] != "linode_update"]
    return now - max(times, default=now - age)


def work(module: Call, api: LinodeApi, result: dict[str, Any]) -> None:
    now = int(time.time())
    views = [session_view(instance, now) for instance in api.list("linode/instances", {"tags": MARKER})]
    wanted = module.params["session"]
    if module.params["must_exist"]:
        validate_session_name(wanted or "")
    if wanted:
        found = [view for view in views if view["name"] == wanted]
        if module.params["must_exist"] and not found:
            raise not_found(wanted, [str(view["name"]) for view in views])
        views = found
    for view in views:
        if view["status"] in ON_ITS_WAY:
            view["status_age"] = status_age(api, view, now)
    result["sessions"] = sorted(views, key=lambda view: (-(view["hourly"] or 0), view["label"]))

    result["hosts"] = [
        {
            "label": view["label"],
            "name": view["name"],
            "linode_id": view["linode_id"],
            "status": view["status"],
            "session": view,
            "expected": expected_of(view),
            "connection": connection_vars(view["address"], [from_openssh(key) for key in view["host_keys"]]),
        }
        for view in result["sessions"]
        if (view["status"] == "running" or not module.params["running_only"])
        and view["address"]
        and view["host_keys"]
        and view["name"]
        and is_host_name(view["label"])
    ]


MODULE = api_module(
    {
        "session": {"type": "str"},
        "must_exist": {"type": "bool", "default": False},
        "running_only": {"type": "bool", "default": True},
    },
    work,
)


def main() -> None:
    MODULE.main()


if __name__ == "__main__":
    main()
