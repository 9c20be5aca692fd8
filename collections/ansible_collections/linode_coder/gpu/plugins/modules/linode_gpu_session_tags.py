#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: linode_gpu_session_tags
short_description: Change what the tags of a session say
version_added: 0.1.0
description:
  - Replaces our part of the tags of a session's Linode and keeps every other tag.
extends_documentation_fragment:
  - linode_coder.gpu.linode
  - linode_coder.gpu.linode.attributes
options:
  session:
    description: Name of the session.
    type: str
    required: true
  host_key:
    description: Public host key that the VM presents, an C(ssh-ed25519) line. Ends a replacement.
    type: str
  next_host_key:
    description: Public host key that the VM is about to present, beside the present one.
    type: str
  model:
    description: Id of the model that the session serves.
    type: str
"""

EXAMPLES = r"""
- name: Announce the key that the VM is about to present
  linode_coder.gpu.linode_gpu_session_tags:
    session: demo
    next_host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4
"""

RETURN = r"""
session:
  description: The session's view with the new tags.
  returned: success
  type: dict
  sample: {"name": "demo"}
connection:
  description: Connection variables that pin the host keys in the tags.
  returned: success
  type: dict
  sample: {"ansible_host": "203.0.113.7"}
"""

import time

from ..module_utils.failure import Failure
from ..module_utils.host_key import connection_vars, from_openssh
from ..module_utils.linode_module import run
from ..module_utils.session_name import validate_session_name
from ..module_utils.session_tags import MARKER, decode, encode, merge, with_changes
from ..module_utils.session_view import session_view


def work(module, api, result):
    params = module.params
    name = validate_session_name(params["session"])
    found = [row for row in api.list("linode/instances", {"tags": MARKER}) if decode(row["tags"]).session == name]
    if len(found) != 1:
        raise Failure(
            "not_found", f"{len(found)} Linodes carry the tags of session {name!r}, not one.", field="session"
        )
    instance = found[0]
    tags = decode(instance["tags"]).whole()
    changes = {}
    if params["host_key"]:
        changes.update(host_key=from_openssh(params["host_key"]), next_host_key=None)
    if params["next_host_key"]:
        changes["next_host_key"] = from_openssh(params["next_host_key"])
    if params["model"]:
        changes["model"] = params["model"]
    wanted = with_changes(tags, **changes)
    result["changed"] = wanted != tags
    result["diff"] = {"before": "\n".join(encode(tags)) + "\n", "after": "\n".join(encode(wanted)) + "\n"}
    if result["changed"] and not module.check_mode:
        instance = api.put(f"linode/instances/{instance['id']}", {"tags": merge(instance["tags"], wanted)})
    view = session_view(instance, int(time.time()))
    result["session"] = view
    result["connection"] = connection_vars(view["address"], [from_openssh(key) for key in view["host_keys"]])


def main():
    run(
        {
            "session": {"type": "str", "required": True},
            "host_key": {"type": "str"},
            "next_host_key": {"type": "str", "no_log": False},
            "model": {"type": "str"},
        },
        work,
    )


if __name__ == "__main__":
    main()
