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
  - Runs on the VM. The key that user-data brought is known to the metadata service, so it is replaced
    after first contact.
  - Interrupted at any point, the same two steps finish the job.
attributes:
  check_mode:
    description: Says what it would do.
    support: full
  diff_mode:
    description: Shows the public halves of the keys. In check mode that of a new one is not known yet.
    support: full
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
from typing import NoReturn

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.core.atomic_file import move, replace_file
from ..module_utils.core.vm_module import HOST_KEY_MARKER


def public_of(path: str) -> str:
    with open(path + ".pub", encoding="ascii") as file:
        return " ".join(file.read().split()[:2])


def derived(module: AnsibleModule, private: str) -> str | None:
    """Public half of a private key file; None for one that SSH could not use."""
    if not os.path.exists(private):
        return None
    code, out, _err = module.run_command(["ssh-keygen", "-y", "-P", "", "-f", private])
    return " ".join(out.split()[:2]) if code == 0 else None


def refuse(module: AnsibleModule, message: str, cause: str) -> NoReturn:
    remedy = "Run up again; if that does not help, take the session down and up afresh."
    failure = {"kind": "host_key", "message": message, "cause": cause, "remedy": remedy}
    module.fail_json(msg=f"{message} Cause: {cause}. {remedy}", failure=failure)
    raise AssertionError("fail_json ends the module")


def prepare(module: AnsibleModule, live: str, new: str) -> tuple[bool, str | None]:
    """Whether a new key is needed, and the public half to announce."""
    announced = public_of(new) if os.path.exists(new + ".pub") else None
    if announced and announced == derived(module, new):
        return False, announced
    # Stopped after the new key went live and before that was written down: it stays the one that was announced.
    if announced and announced == derived(module, live):
        return False, announced
    if module.check_mode:
        return True, None
    draft = new + ".draft"
    for path in (draft, draft + ".pub"):
        if os.path.exists(path):
            os.unlink(path)
    module.run_command(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", draft], check_rc=True)
    move(draft, new, durable=True)
    move(draft + ".pub", new + ".pub", durable=True)
    return True, public_of(new)


def activate(module: AnsibleModule, live: str, new: str, marker: str) -> str:
    if not os.path.exists(new + ".pub"):
        refuse(module, "There is no new host key to put in place.", f"{new}.pub is missing")
    public = public_of(new)
    if derived(module, new) == public:
        # The private half first: sshd reads only that one, and the new public half is still there to finish the job.
        move(new, live, durable=True)
    elif derived(module, live) != public:
        refuse(module, "The new host key does not fit its public half, so the old one stays.", f"{new} is damaged")
    replace_file(live + ".pub", public + "\n", 0o644, durable=True)
    code, out, err = module.run_command(["systemctl", "reload", "ssh"])
    if code:
        refuse(module, "The SSH server did not take the new host key.", (err or out).strip())
    replace_file(marker, public + "\n", 0o644, parents=True, durable=True)
    os.unlink(new + ".pub")
    return public


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["prepared", "active"], "required": True},
            "directory": {"type": "path", "default": "/etc/ssh"},
            "marker": {"type": "path", "default": HOST_KEY_MARKER},
        },
        supports_check_mode=True,
    )
    live = os.path.join(module.params["directory"], "ssh_host_ed25519_key")
    new = live + ".next"
    marker = module.params["marker"]
    if os.path.exists(marker):
        module.exit_json(changed=False, replaced=True, public_key=public_of(live))
    if module.params["state"] == "prepared":
        changed, public = prepare(module, live, new)
        shown = {"before": {}, "after": {"next_host_key": public or "(a new one)"}} if changed else {}
        module.exit_json(changed=changed, replaced=False, public_key=public, **({"diff": shown} if shown else {}))
    before = public_of(live) if os.path.exists(live + ".pub") else None
    if module.check_mode:
        after = public_of(new) if os.path.exists(new + ".pub") else "(the next one)"
        diff = {"before": {"host_key": before}, "after": {"host_key": after}}
        module.exit_json(changed=True, replaced=False, public_key=None, diff=diff)
    public = activate(module, live, new, marker)
    diff = {"before": {"host_key": before, "replaced": False}, "after": {"host_key": public, "replaced": True}}
    module.exit_json(changed=True, replaced=True, public_key=public, diff=diff)


if __name__ == "__main__":
    main()
