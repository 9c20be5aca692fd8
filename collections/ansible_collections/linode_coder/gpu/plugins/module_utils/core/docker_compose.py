# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker Compose on the VM: its command, and which services of a project have a container."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from . import program
from .failure import Failure
from .module_fail import fail

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def compose_command(project_dir: str, *words: str, docker: str = "docker") -> list[str]:
    return [docker, "compose", "--project-directory", project_dir, *words]


def compose_ps(project_dir: str, limit: float) -> tuple[program.Probed, dict[str, dict[str, Any]]]:
    """`docker compose ps`, which has ``limit`` seconds, and what it says of each service that has a container."""
    listed = program.run(compose_command(project_dir, "ps", "--all", "--format", "json"), limit)
    services: dict[str, dict[str, Any]] = {}
    for line in listed.text.splitlines() if listed.rc == 0 else ():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue  # a warning
        # Older Composes print one list, newer ones a line for each container; those of `compose run` come after.
        for entry in row if isinstance(row, list) else [row]:
            if isinstance(entry, dict) and "Service" in entry:
                services.setdefault(entry["Service"], entry)
    return listed, services


def compose_services(module: AnsibleModule, project_dir: str) -> dict[str, dict[str, Any]]:
    """As `compose_ps`; the module fails when Compose does not answer."""
    listed, services = compose_ps(project_dir, 60)
    if listed.rc != 0:
        fail(
            module,
            Failure(
                "unhealthy",
                "Docker Compose does not answer on the VM.",
                cause=listed.text.strip()[-300:] or listed.error or f"no end after {listed.seconds:.0f} s",
                remedy="Look at it on the VM: systemctl status docker",
            ),
        )
    return services
