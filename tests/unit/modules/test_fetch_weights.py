# SPDX-License-Identifier: GPL-3.0-or-later
"""What the download leaves behind has to be what an engine without the Hub looks for."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[3] / "roles/vllm/files/fetch_weights.py"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def program() -> Any:
    spec = importlib.util.spec_from_file_location("fetch_weights", PROGRAM)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Hub:
    """As huggingface_hub 2.4: a name is noted under refs only when the download is asked for by that name."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.HfApi = lambda: self
        self.constants = SimpleNamespace(MAX_HTTP_DOWNLOAD_SIZE=50 * 10**9)

    def model_info(self, model: str, revision: str, files_metadata: bool) -> SimpleNamespace:
        return SimpleNamespace(
            sha=COMMIT, siblings=[SimpleNamespace(rfilename="config.json", size=2, lfs=None, blob_id="b")]
        )

    def snapshot_download(self, model: str, revision: str, max_workers: int) -> str:
        folder = self.home / "hub" / ("models--" + model.replace("/", "--"))
        snapshot = folder / "snapshots" / COMMIT
        snapshot.mkdir(parents=True)
        (snapshot / "config.json").write_text("{}")
        if revision != COMMIT:
            (folder / "refs").mkdir()
            (folder / "refs" / revision).write_text(COMMIT)
        return str(snapshot)


@pytest.mark.parametrize("revision", ["main", "v1", COMMIT])
def test_an_engine_without_the_hub_finds_what_was_asked_for(
    program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, revision: str
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert program.fetch(Hub(tmp_path), "org/name", revision) == 0
    folder = tmp_path / "hub" / "models--org--name"
    refs = {path.name: path.read_text() for path in folder.glob("refs/*")}
    assert refs == ({} if revision == COMMIT else {revision: COMMIT})
    assert json.loads((folder / "fetched.json").read_text())["revision"] == COMMIT


def test_what_the_disk_cannot_hold_is_not_begun(
    program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setattr(program.shutil, "disk_usage", lambda _path: SimpleNamespace(free=program.SPARE_BYTES + 1))
    assert program.fetch(Hub(tmp_path), "org/name", "main") == 1
    event = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (event["event"], event["kind"]) == ("failed", "disk_too_small")
    assert not list(tmp_path.glob("hub/*/snapshots"))
