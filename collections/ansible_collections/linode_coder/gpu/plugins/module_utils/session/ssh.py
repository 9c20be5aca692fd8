# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How ssh and Ansible reach a VM: the port, the options that pin its host key, the connection variables."""

from __future__ import annotations

import os
from typing import Any

from ..core.paths import ssh_key_path
from .host_key import to_openssh


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
