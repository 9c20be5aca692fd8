# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How ssh and Ansible reach a VM: the port, the options that pin its host key, the connection variables."""

from __future__ import annotations

import os
import re
from typing import Any

from ..core.failure import Failure
from ..core.paths import ssh_key_path
from .host_key import to_openssh

# What ssh says when the VM knows none of the keys that it was shown; a file that may not be read has no such list.
_REFUSED = re.compile(r"permission denied \(", re.IGNORECASE)


def key_refused(said: str) -> bool:
    """Whether ssh reached the VM, and the VM does not know this control node's key."""
    return _REFUSED.search(said) is not None


def unknown_key(session: str | None, cause: str | None = None) -> Failure:
    """The VM does not know this control node's key: who can change that, and how."""
    name = session or "NAME"
    return Failure(
        "auth",
        f"The VM of session {session!r} does not know this machine's SSH key."
        if session
        else "The VM does not know this machine's SSH key.",
        cause=cause,
        remedy=f"Somebody whose key it knows lets you in: linode-coder keys add FILE {name}. "
        f"FILE is a copy of {ssh_key_path().with_suffix('.pub')} from here.",
        field="ssh_key",
    )


def ssh_port() -> int:
    """22 on Linode. The sandbox says otherwise where it may not bind that port."""
    return int(os.environ.get("LINODE_CODER_SSH_PORT") or 22)


def ssh_options(keys: list[bytes]) -> list[str]:
    """ssh arguments that accept these host keys and no other, and leave every known_hosts file alone.

    KnownHostsCommand is run by ssh without a shell; %H is the name ssh looks for, a literal percent sign is doubled.
    """
    lines = " ".join(f'"%H {to_openssh(key)}"' for key in keys)
    options = {
        "KnownHostsCommand": f'/usr/bin/printf "%%s\\n" {lines}' if keys else "none",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": "/dev/null",
        "GlobalKnownHostsFile": "/dev/null",
        "HostKeyAlgorithms": "ssh-ed25519",
        "UpdateHostKeys": "no",
        "CheckHostIP": "no",
        "IdentitiesOnly": "yes",
        "BatchMode": "yes",
        "ConnectTimeout": "10",
        "ServerAliveInterval": "15",
        "ServerAliveCountMax": "4",
    }
    return [part for name, value in options.items() for part in ("-o", f"{name}={value}")]


def connection_vars(address: str, keys: list[bytes]) -> dict[str, Any]:
    """Ansible's connection variables for a VM that has to present one of ``keys``."""
    arguments = ["'" + part + "'" if " " in part else part for part in ssh_options(keys)]
    return {
        "ansible_host": address,
        "ansible_port": ssh_port(),
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(ssh_key_path()),
        "ansible_ssh_common_args": " ".join(arguments),
        # One round trip for a module instead of four, also where no ansible.cfg says so.
        "ansible_pipelining": True,
        "ansible_python_interpreter": "/usr/bin/python3",
    }
