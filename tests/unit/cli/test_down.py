# SPDX-License-Identifier: GPL-3.0-or-later
"""What `down` asks beside the VM, and does without."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from typer.testing import CliRunner

from linode_coder.cli import down

VIEW = {
    **{"name": "demo", "label": "lc-demo-1", "linode_id": 7, "group": None, "plan": "p", "region": "r"},
    **{"started_hours": 1, "cost_so_far": 0.5, "hourly": 0.5},
}


@pytest.mark.parametrize(
    ("said", "note"),
    [
        ([{"linode_id": 8}], ""),
        (Failure("cloud", "The API answers GET volumes with 502."), "not known: The API answers GET volumes with 502."),
    ],
)
def test_volumes_that_nobody_tells_of_keep_no_vm(monkeypatch: pytest.MonkeyPatch, said: Any, note: str) -> None:
    def volumes(_reader: object) -> Any:
        if isinstance(said, Failure):
            raise said
        return said

    monkeypatch.setattr(down, "LinodeReader", lambda: None)
    monkeypatch.setattr(down, "all_sessions", lambda _reader: [VIEW])
    monkeypatch.setattr(down.history, "known", lambda _name: [])
    monkeypatch.setattr(down, "all_warm", volumes)
    done = CliRunner().invoke(down.app, ["demo", "--dry-run"])
    assert done.exit_code == 0, done.output
    assert note in done.stderr and "`down` would delete" in done.stdout
