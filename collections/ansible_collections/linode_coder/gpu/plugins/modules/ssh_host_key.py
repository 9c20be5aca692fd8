#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: ssh_host_key
short_description: Replace the bootstrap host key of a VM
version_added: 0.1.0
description:
  - Runs on the VM. The key that user-data brought is known to the metadata service, so it is replaced after first contact.
  - Interrupted at any point, the same two steps finish the job.
attributes:
  check_mode:
    description: Says what it would do.
    support: full
  diff_mode:
    description: A key has nothing to show.
    support: none
options:
  state:
    description:
      - V(prepared) makes the new key beside the live one, V(active) puts it in place and reloads the SSH server.
    type: str
    choices: [prepared, active]
    required: true
  directory:
    description: Where the SSH server has its keys.
    type: path
    default: /etc/ssh
  marker:
    description: File that says that the key was replaced.
    type: path
    default: /var/lib/linode-coder/host-key-replaced
author:
  - linode_coder contributors (@linode-coder)
"""

EXAMPLES = r"""
- name: Make the new key
  linode_coder.gpu.ssh_host_key:
    state: prepared
  register: prepared
"""

RETURN = r"""
public_key:
  description: The new key's public half.
  returned: success, unless check mode has none to show
  type: str
  sample: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4
replaced:
  description: Whether the VM presents the new key already.
  returned: success
  type: bool
  sample: true
"""

import os

from ansible.module_utils.basic import AnsibleModule


def public_of(path):
    with open(path + ".pub", encoding="ascii") as file:
        return " ".join(file.read().split()[:2])


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["prepared", "active"], "required": True},
            "directory": {"type": "path", "default": "/etc/ssh"},
            "marker": {"type": "path", "default": "/var/lib/linode-coder/host-key-replaced"},
        },
        supports_check_mode=True,
    )
    live = os.path.join(module.params["directory"], "ssh_host_ed25519_key")
    new = live + ".next"
    marker = module.params["marker"]
    if os.path.exists(marker):
        module.exit_json(changed=False, replaced=True, public_key=public_of(live))
    if module.params["state"] == "prepared":
        changed = not (os.path.exists(new) and os.path.exists(new + ".pub"))
        if changed and not module.check_mode:
            draft = new + ".draft"
            for path in (draft, draft + ".pub"):
                if os.path.exists(path):
                    os.unlink(path)
            module.run_command(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", draft], check_rc=True)
            os.replace(draft + ".pub", new + ".pub")
            os.replace(draft, new)
        module.exit_json(
            changed=changed, replaced=False, public_key=None if changed and module.check_mode else public_of(new)
        )
    if not module.check_mode:
        if os.path.exists(new):
            # The public half first: a VM that stops in between still has a private key that SSH can use.
            with open(new + ".pub", encoding="ascii") as source:
                text = source.read()
            os.replace(new, live)
            with open(live + ".pub", "w", encoding="ascii") as target:
                target.write(text)
        module.run_command(["systemctl", "reload", "ssh"], check_rc=True)
        os.makedirs(os.path.dirname(marker), exist_ok=True)
        with open(marker, "w", encoding="ascii") as file:
            file.write(public_of(live) + "\n")
        if os.path.exists(new + ".pub"):
            os.unlink(new + ".pub")
    module.exit_json(
        changed=True, replaced=not module.check_mode, public_key=None if module.check_mode else public_of(live)
    )


if __name__ == "__main__":
    main()
