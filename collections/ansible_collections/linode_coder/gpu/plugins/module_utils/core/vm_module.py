# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules that run on a VM share: where files are, programs in the background, and Docker's answers."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

STATE_FILE = "/var/lib/linode-coder/engine.json"
RUN_DIRECTORY = "/run/linode-coder"
# Says that the bootstrap host key was replaced.
HOST_KEY_MARKER = "/var/lib/linode-coder/host-key-replaced"


def start_ticks(pid: int) -> str | None:
    """When a process began, to tell it from a later one with its number; None when it is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def start_in_background(argv: list[str], log: str) -> int:
    """Start a program that outlives the module, its output in the file ``log``; its process number."""
    with open(log, "wb") as output:
        return subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        ).pid


def inspect(module: AnsibleModule, docker: str, name: str) -> dict[str, Any] | None:
    code, out, _err = module.run_command([docker, "inspect", "--type", "container", name])
    if code:
        return None
    found: dict[str, Any] = json.loads(out)[0]
    return found
