#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: session_keys
short_description: Read and change the SSH keys that a VM knows
version_added: 0.1.0
description:
  - Runs on the VM. Keeps the lines of root's C(authorized_keys). A line that is not named stays as it is, and so does every line
    with options.
  - What a removed key has open stays open until the connection ends.
attributes:
  check_mode:
    description: Says which keys would come and go.
    support: full
  diff_mode:
    description: Shows the keys before and after.
    support: full
options:
  present:
    description: Public keys that the VM is to know, without options.
    type: list
    elements: str
    default: []
  absent:
    description: Fingerprints, or comments, of the keys that go. One that is not there is no error.
    type: list
    elements: str
    default: []
  own:
    description: Public key of the control node that asks. It only goes with O(lock_out); the last key never goes.
    type: str
  lock_out:
    description: Whether O(own) may go.
    type: bool
    default: false
  path:
    description: Path of the file.
    type: path
    default: /root/.ssh/authorized_keys
author:
  - linode_coder contributors (@linode-coder)
"""

EXAMPLES = r"""
- name: Let a colleague in
  linode_coder.gpu.session_keys:
    own: "{{ client.public_key }}"
    present: ["{{ lookup('ansible.builtin.file', 'ada.pub') }}"]
"""

RETURN = r"""
known:
  description: The keys that the VM knows now, or would.
  returned: success
  type: list
  elements: dict
  sample: [{"kind": "ssh-ed25519", "comment": "ada", "fingerprint": "SHA256:fKRz", "line": "ssh-ed25519 AAAA ada"}]
added:
  description: Fingerprints of those that came, or would.
  returned: success
  type: list
  elements: str
  sample: []
removed:
  description: Fingerprints of those that went, or would.
  returned: success
  type: list
  elements: str
  sample: []
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.core.atomic_file import replace_file
from ..module_utils.core.failure import Failure
from ..module_utils.core.module_fail import fail
from ..module_utils.session.client_keys import changed_keys, plain_keys


def read(path: str) -> str:
    try:
        # Bytes that are no text, of lines that are not ours, come out as they went in.
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def work(module: AnsibleModule) -> None:
    params = module.params
    before = read(params["path"])
    after, added, removed = changed_keys(before, params["present"], params["absent"], params["own"], params["lock_out"])
    if after != before and not module.check_mode:
        replace_file(
            params["path"],
            after.encode("utf-8", "surrogateescape"),
            owner=(os.geteuid(), os.getegid()),
            parents=True,
            durable=True,
        )
    shown = {
        name: "".join(f"{key.line}\n" for key in plain_keys(text))
        for name, text in (("before", before), ("after", after))
    }
    header = {"before_header": params["path"], "after_header": params["path"]}
    module.exit_json(
        changed=after != before,
        known=[key.as_dict() for key in plain_keys(after)],
        added=[key.fingerprint for key in added],
        removed=[key.fingerprint for key in removed],
        **({"diff": {**shown, **header}} if after != before else {}),
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "present": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "absent": {"type": "list", "elements": "str", "default": []},
            "own": {"type": "str", "no_log": False},
            "lock_out": {"type": "bool", "default": False},
            "path": {"type": "path", "default": "/root/.ssh/authorized_keys"},
        },
        supports_check_mode=True,
    )
    try:
        work(module)
    except Failure as failure:
        fail(module, failure)


if __name__ == "__main__":
    main()
