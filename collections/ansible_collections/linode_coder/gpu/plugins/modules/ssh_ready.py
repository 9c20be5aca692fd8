#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: ssh_ready
short_description: Wait until a VM answers SSH with the host key it has to have
version_added: 0.1.0
description:
  - Runs on the control node. Another host key than the pinned ones ends the waiting at once.
attributes:
  check_mode:
    description: Only looks, so it does the same in check mode.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
options:
  address:
    description: Address of the VM.
    type: str
    required: true
  host_keys:
    description: Public host keys of which the VM has to present one, C(ssh-ed25519) lines.
    type: list
    elements: str
    required: true
  session:
    description: Name of the session, for messages.
    type: str
    required: true
  timeout:
    description: Seconds to wait.
    type: int
    default: 300
author:
  - linode_coder contributors (@linode-coder)
"""

EXAMPLES = r"""
- name: Wait for SSH
  linode_coder.gpu.ssh_ready:
    session: demo
    address: "{{ vm.instance.address }}"
    host_keys: "{{ vm.instance.host_keys }}"
  delegate_to: localhost
"""

RETURN = r"""
elapsed:
  description: Seconds waited.
  returned: success
  type: float
  sample: 12.5
seen:
  description: Address that the VM saw this control node come from, as its sshd says; null when it does not.
  returned: success
  type: str
  sample: 203.0.113.7
"""

import subprocess
import time
from typing import Any

from ..module_utils.core.failure import Failure
from ..module_utils.core.local_module import Call, LocalModule
from ..module_utils.core.paths import ssh_key_path
from ..module_utils.core.ssh_refusal import key_refused, unknown_key
from ..module_utils.core.told import tell
from ..module_utils.session.host_key import fingerprint, from_openssh
from ..module_utils.session.ssh import ssh_options, ssh_port

# cloud-init may still be writing authorized_keys when sshd already answers.
DENIED_PATIENCE_S = 30


def attempt(address: str, keys: list[bytes]) -> tuple[int, str, str]:
    """Exit code, error text and output of one connection: SSH_CLIENT says from which address it came."""
    command = [
        "ssh",
        "-i",
        str(ssh_key_path()),
        "-p",
        str(ssh_port()),
        *ssh_options(keys),
        f"root@{address}",
        'echo "$SSH_CLIENT"',
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL, check=False
        )
    except subprocess.TimeoutExpired:
        return 255, "no answer within 30 s", ""
    except OSError as error:
        raise Failure("config", "ssh cannot be run.", cause=str(error), remedy="Install the OpenSSH client.") from error
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return done.returncode, lines[-1].strip() if lines else "", done.stdout


def wait(params: dict[str, Any]) -> tuple[float, str | None]:
    keys = [from_openssh(key) for key in params["host_keys"]]
    started = time.monotonic()
    denied_since = None
    while True:
        code, said, output = attempt(params["address"], keys)
        elapsed = time.monotonic() - started
        if code == 0:
            return round(elapsed, 1), next(iter(output.split()), None)
        if "host key verification failed" in said.lower() or "host identification has changed" in said.lower():
            expected = " or ".join(fingerprint(key) for key in keys)
            raise Failure(
                "host_key",
                f"{params['address']} presents another host key than the one session {params['session']!r} was made "
                f"with ({expected}), so nothing was sent to it.",
                cause=said,
                remedy="Somebody may be intercepting the connection, or the VM was rebuilt by hand. Delete it and start over: "
                f"linode-coder down {params['session']}.",
                field="host_key",
            )
        if key_refused(said):
            denied_since = denied_since or elapsed
            if elapsed - denied_since > DENIED_PATIENCE_S:
                raise unknown_key(params["session"], said)
        if elapsed > params["timeout"]:
            raise Failure(
                "timeout",
                f"{params['address']} did not answer SSH within {params['timeout']} s.",
                cause=said,
                remedy=f"Look at the VM's console in Cloud Manager, or run linode-coder up {params['session']} again.",
            )
        tell(detail="waiting for SSH")
        time.sleep(0.5 if elapsed < 20 else 3)


def work(module: Call, result: dict[str, Any]) -> None:
    result["elapsed"], result["seen"] = wait(module.params)


MODULE = LocalModule(
    {
        "address": {"type": "str", "required": True},
        "host_keys": {"type": "list", "elements": "str", "required": True, "no_log": False},
        "session": {"type": "str", "required": True},
        "timeout": {"type": "int", "default": 300},
    },
    work,
)


def main() -> None:
    MODULE.main()


if __name__ == "__main__":
    main()
