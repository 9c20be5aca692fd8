# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the downloads are that go on in the background of this VM: for whoever waits there for something else."""

from __future__ import annotations

import os
from typing import Any

from ..core import program
from ..core.docker_compose import compose_command
from .downloads import events_of, pull_phase, pull_progress, weights_phase, weights_progress
from .pull_record import DIRECTORY, text_of

SERVICE = "weights"
_LOG_S = 30.0


def weights_events(compose: list[str]) -> list[dict[str, Any]]:
    """What the download of the weights said; ``compose`` is the command of its project."""
    command = [*compose, "logs", "--no-color", "--no-log-prefix", "--tail", "2000", SERVICE]
    return events_of(program.run(command, _LOG_S).text)


def weights_now(project_dir: str, docker: str = "docker") -> dict[str, Any] | None:
    """``phase`` and ``progress`` of the weights; None when nobody fetches any here."""
    if not os.path.exists(os.path.join(project_dir, "compose.yaml")):
        return None
    events = weights_events(compose_command(project_dir, docker=docker))
    return {"phase": weights_phase(events), "progress": weights_progress(events)} if events else None


def images_now(directory: str = DIRECTORY) -> dict[str, Any] | None:
    """The same of the image with the most layers to come; None when none was pulled since the VM booted."""
    try:
        logs = [
            text_of(os.path.join(directory, name)) for name in sorted(os.listdir(directory)) if name.endswith(".log")
        ]
    except OSError:
        return None
    found = [{"phase": pull_phase(log), "progress": pull_progress(log)} for log in logs]

    def to_come(row: dict[str, Any]) -> int:
        far = row["progress"]
        return far["total"] - far["done"] if far else 1

    return max(found, key=to_come) if found else None
