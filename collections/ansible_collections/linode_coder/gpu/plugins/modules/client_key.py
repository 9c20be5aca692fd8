#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: client_key
short_description: Make the SSH key of this control node
version_added: 0.1.0
description:
  - Runs on the control node. Makes the ed25519 key that opens the VMs of all sessions, once.
attributes:
  check_mode:
    description: Says whether a key would be made.
    support: full
  diff_mode:
    description: Shows the public half of a key that is made; in check mode, that one would be made.
    support: full
author:
  - linode_coder contributors (@linode-coder)
"""

EXAMPLES = r"""
- name: Make sure that there is a key
  linode_coder.gpu.client_key:
  register: client
"""

RETURN = r"""
path:
  description: Path of the private key.
  returned: success
  type: str
  sample: /home/me/.local/state/linode-coder/ssh/id_ed25519
public_key:
  description: Its public half, or null in check mode when there is none yet.
  returned: success
  type: str
  sample: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4 linode-coder
"""

import os
import subprocess
from typing import Any

from ..module_utils.core.failure import Failure
from ..module_utils.core.local_module import Call, LocalModule
from ..module_utils.core.paths import ssh_key_path


def work(module: Call, result: dict[str, Any]) -> None:
    path = ssh_key_path()
    public = path.with_suffix(".pub")
    result["changed"] = not (path.exists() and public.exists())
    if result["changed"] and not module.check_mode:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Two control processes at once: the one that links first wins, the other uses the winner's key.
        draft = path.with_name(f"new-{os.getpid()}")
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "linode-coder", "-f", str(draft)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failure(
                "config", "ssh-keygen failed.", cause=done.stderr.strip(), remedy="Install the OpenSSH client."
            )
        try:
            os.link(draft, path)
            draft.with_suffix(".pub").replace(public)
        except FileExistsError:
            draft.with_suffix(".pub").unlink()
        draft.unlink()
    result["path"] = str(path)
    result["public_key"] = public.read_text().strip() if public.exists() else None
    if result["changed"]:
        made = "(a new ed25519 key)" if module.check_mode else result["public_key"]
        result["diff"] = {"before": "", "after": f"{made}\n", "before_header": str(public), "after_header": str(public)}


MODULE = LocalModule({}, work)


def main() -> None:
    MODULE.main()


if __name__ == "__main__":
    main()
