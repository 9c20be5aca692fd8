# SPDX-License-Identifier: GPL-3.0-or-later
"""Which services a start would make anew, from what Docker says of them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core import program
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.program import Probed
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.compose_project import ComposeProject

MADE, STARTED = "2027-01-15T07:10:00.123456789Z", "2027-01-15T07:30:00.123456789Z"
WRITTEN = 1_799_997_600  # 07:20


class Docker:
    """A module whose Docker has one container, which serves what its files say."""

    def __init__(self, restarts: int) -> None:
        self.restarts = restarts

    def get_bin_path(self, name: str, required: bool) -> str:
        return name

    def run_command(self, argv: list[str], data: str | None = None) -> tuple[int, str, str]:
        if "inspect" in argv:
            return (
                0,
                json.dumps([{"Created": MADE, "RestartCount": self.restarts, "State": {"StartedAt": STARTED}}]),
                "",
            )
        return 0, "vllm abc" if "--hash" in argv else "services: {}", ""


@pytest.mark.parametrize(("restarts", "recreate"), [(0, []), (3, ["vllm"])])
def test_one_that_restarts_by_itself_is_made_anew_when_a_file_changed_since_it_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restarts: int, recreate: list[str]
) -> None:
    label = "com.docker.compose.config-hash=abc"
    row = json.dumps({"Service": "vllm", "Name": "vllm-1", "State": "restarting", "Labels": label})
    monkeypatch.setattr(program, "run", lambda _argv, _limit: Probed(row, 0, 0.0))
    flags = tmp_path / "vllm.yaml"
    flags.write_text("model: acme/Coder\n")
    os.utime(flags, (WRITTEN, WRITTEN))
    module: Any = Docker(restarts)
    found = ComposeProject(module, str(tmp_path)).differences({"vllm": ["vllm.yaml"]})
    assert (found.recreate, found.differs) == (recreate, bool(recreate))
