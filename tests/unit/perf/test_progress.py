# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that can be taken before its end, and that ends when it is taken."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.perf import progress
from ansible_collections.linode_coder.gpu.plugins.module_utils.perf.received import take
from ansible_collections.linode_coder.gpu.plugins.module_utils.perf.verdict import judge

from linode_coder.cli.validate_perf import document_of
from tests.hostile import CORPUS
from tests.unit.perf.perf_runs import run


def test_the_file_has_what_was_measured_and_goes_with_the_run(tmp_path: Path) -> None:
    path, measured = tmp_path / "run" / "perf-1.json", {"levels": [{"concurrency": 1}], "gpu_samples": [{"gpu": 0}]}
    with progress.kept(measured, str(path)) as tell:
        assert not path.exists()
        tell("1 stream ...")
        assert json.loads(path.read_text()) == measured and path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()


def test_who_takes_the_file_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_LOOK_S", 0.01)
    path, measured = tmp_path / "perf-1.json", {"levels": [], "gpu_samples": []}
    before, ended, went_on = signal.getsignal(signal.SIGINT), threading.Event(), False
    with progress.kept(measured, str(path)) as tell:
        tell("1 stream ...")
        path.unlink()
        # Until the interrupt, which may come before the next line.
        went_on = ended.wait(60)
    assert not went_on and signal.getsignal(signal.SIGINT) is before and not path.exists()


def test_ctrl_c_stays_one(tmp_path: Path) -> None:
    path, measured = tmp_path / "perf-1.json", {"levels": [], "gpu_samples": []}
    with pytest.raises(KeyboardInterrupt), progress.kept(measured, str(path)) as tell:
        tell("1 stream ...")
        signal.raise_signal(signal.SIGINT)
    assert not path.exists()


def test_a_disk_that_takes_no_file_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with progress.kept({"levels": [], "gpu_samples": []}, str(tmp_path / "file" / "perf-1.json")) as tell:
        tell("1 stream ...")
    with progress.kept({"levels": [], "gpu_samples": []}, None) as tell:
        tell("1 stream ...")


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/run/linode-coder/heal.lock",
        "/run/linode-coder/../perf-1",
        "perf-1",
        "/run/linode-coder/a/perf-1",
    ],
)
def test_no_other_file_is_written_or_removed(path: str) -> None:
    with pytest.raises(Failure, match="no file that a measurement may write"):
        progress.check_path(path)


def test_its_own_is() -> None:
    progress.check_path(progress.path_of({"id": "20261130T070000Z-ab12"}))
    progress.check_path(None)


@pytest.mark.parametrize("text", ["", "[1]", "null", '{"levels": ', "[" * 100_000])
def test_what_is_no_document_is_none(text: str) -> None:
    assert document_of(text) is None


@pytest.mark.parametrize("text", CORPUS.values())
def test_of_any_text_only_figures_are_taken(text: str) -> None:
    here = run(levels=[], gpu_samples=[])
    take(here, document_of(text))
    take(here, document_of(json.dumps({"levels": [{"concurrency": 1, "errors": {text: text}}], "engine": text})))
    assert judge(here)["severity"] == "unknown"


def test_a_document_is_one() -> None:
    said: dict[str, Any] = {"levels": []}
    assert document_of(json.dumps(said)) == said
