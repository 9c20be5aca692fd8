# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Docker Compose project of the VM: what runs of it, and which of its services would have to be made anew."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..core.docker_compose import compose_command, compose_services
from ..core.docker_time import parse_docker_time
from ..core.failure import Failure
from ..core.module_fail import fail
from ..core.vm_module import inspect
from .diagnosis import known_refusal

UP = ("running", "restarting")


def _labels_of(row: dict[str, Any]) -> dict[str, str]:
    return dict(part.split("=", 1) for part in (row.get("Labels") or "").split(",") if "=" in part)


def _began_at(inspected: dict[str, Any]) -> float:
    """When somebody started the container, in seconds since the epoch; 0 for never.

    Once its restart policy has restarted it, that is when it was created: it may have read its files while they were being
    written, its log is still about the files before, and the policy may wait long before the next start.
    """
    text = inspected["Created"] if inspected["RestartCount"] else inspected["State"]["StartedAt"]
    return parse_docker_time(text) or 0.0


@dataclass(frozen=True)
class Differences:
    """``services`` are the states before anything is done. ``recreate`` have to be made anew, ``orphans`` are not wanted any more."""

    services: dict[str, str]
    recreate: list[str]
    orphans: list[str]
    differs: bool


class ComposeProject:
    def __init__(self, module: AnsibleModule, directory: str) -> None:
        self.module = module
        self.directory = directory
        self.docker = module.get_bin_path("docker", required=True)

    def compose(self, *arguments: str, data: str | None = None) -> str:
        code, out, err = self.module.run_command(
            compose_command(self.directory, *arguments, docker=self.docker), data=data
        )
        if code:
            said = (err or out).strip()
            known = known_refusal(said)
            failure = Failure(
                "unhealthy",
                f"docker compose {arguments[0]} failed on the VM." + (f" {known.sentence}" if known else ""),
                cause=said[-500:],
                remedy=known.remedy
                if known
                else f"Look at it on the VM: docker compose --project-directory {self.directory} logs",
            )
            fail(self.module, failure)
        return str(out)

    def _wanted(self, only: list[str]) -> dict[str, str]:
        """Service -> hash, of the services that are meant.

        Containers carry the hash of what env_file says as well, which `config --hash` leaves out unless it is resolved first.
        """
        hashes = self.compose("--file", "-", "config", "--hash", "*", data=self.compose("config"))
        lines = [line.split() for line in hashes.splitlines() if line.strip()]
        return {name: digest for name, digest in lines if not only or name in only}

    def _outdated(self, row: dict[str, Any], files: list[str]) -> bool:
        """Whether a file that the service reads when it starts is newer than its start."""
        inspected = inspect(self.module, self.docker, row["Name"]) if files else None
        if inspected is None:
            return False
        paths = [os.path.join(self.directory, name) for name in files]
        return any(os.path.getmtime(path) > _began_at(inspected) for path in paths if os.path.exists(path))

    def differences(self, files: dict[str, list[str]], only: list[str] | None = None) -> Differences:
        """What a start of the project would do, ``files`` being those that each service reads when it starts."""
        only = only or []
        wanted = self._wanted(only)
        rows = {
            name: row
            for name, row in compose_services(self.module, self.directory).items()
            if not only or name in {*only, *wanted}
        }
        before = {name: rows[name]["State"] if name in rows else "absent" for name in {**wanted, **rows}}
        recreate = sorted(
            name
            for name, digest in wanted.items()
            if name in rows
            and (
                _labels_of(rows[name]).get("com.docker.compose.config-hash") != digest
                or self._outdated(rows[name], files.get(name) or [])
            )
        )
        orphans = [] if only else [name for name in rows if name not in wanted]
        differs = bool(recreate or orphans) or any(before[name] not in UP for name in wanted)
        return Differences(before, recreate, orphans, differs)
