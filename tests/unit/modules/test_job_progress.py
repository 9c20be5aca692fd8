# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for the driver says how far images and weights are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine import downloads_look
from ansible_collections.linode_coder.gpu.plugins.modules import job_progress

PULL = "a1: Pulling fs layer\nb2: Pulling fs layer\nc3: Pulling fs layer\na1: Download complete\na1: Pull complete\n"
WEIGHTS = [
    {"event": "begin", "time": 100.0, "model": "acme/Coder"},
    {"event": "size", "time": 100.0, "done": 0, "total": 5_600_000_000},
    {"event": "progress", "time": 110.0, "done": 1_000_000_000, "total": 5_600_000_000},
]


@pytest.mark.parametrize(
    ("text", "ended"),
    [
        (None, True),
        ("", False),
        ('{"started": 1, "fini', False),
        ('{"started": 1, "finished": 0}', False),
        ('{"finished": 1, "rc": 0}', True),
        ('{"failed": true, "msg": "x"}', True),
        ("[]", True),
    ],
)
def test_only_an_end_is_one(text: str | None, ended: bool, tmp_path: Path) -> None:
    path = tmp_path / "job"
    if text is not None:
        path.write_text(text)
    assert job_progress.over(str(path)) is ended


def test_downloads_are_seen_meanwhile(
    call: Callable[..., dict[str, Any]],
    program: Callable[[str, str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "pulls").mkdir()
    (tmp_path / "pulls" / "one.log").write_text(PULL)
    (tmp_path / "pulls" / "other.log").write_text("z9: Pulling fs layer\nz9: Pull complete\n")
    monkeypatch.setattr(downloads_look.images_now, "__defaults__", (str(tmp_path / "pulls"),))
    (tmp_path / "compose.yaml").write_text("services: {}\n")
    (tmp_path / "log").write_text("".join(json.dumps(event) + "\n" for event in WEIGHTS))
    program("docker", f"cat {tmp_path}/log\n")
    (tmp_path / "job").write_text('{"started": 1, "finished": 0}')
    for check in (False, True):
        found = call(
            "job_progress", check=check, results_file=str(tmp_path / "job"), weights_dir=str(tmp_path), slice=0
        )
        assert (found["changed"], found["over"]) == (False, False)
        assert found["downloads"]["image"] == {
            "phase": "1 of 3 layers fetched, 1 unpacked",
            "progress": {"done": 1, "total": 3, "unit": "layers", "rate": None},
        }
        assert found["downloads"]["weights"]["progress"] == {
            "done": 1_000_000_000,
            "total": 5_600_000_000,
            "unit": "bytes",
            "rate": 100_000_000,
        }


def test_without_downloads_nothing_is_known(call: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    assert downloads_look.images_now(str(tmp_path / "none")) is None
    found = call("job_progress", results_file=str(tmp_path / "none"), weights_dir=str(tmp_path))
    assert (found["over"], found["downloads"]["weights"]) == (True, None)
    assert call("job_progress")["msg"] == "missing required arguments: results_file"
