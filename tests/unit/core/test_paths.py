# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core import paths


def test_one_variable_moves_everything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LINODE_CODER_HOME", str(tmp_path))
    for found in (
        paths.config_dir(),
        paths.ssh_key_path(),
        paths.session_dir("x"),
        paths.sandbox_dir(),
        paths.runs_dir(),
    ):
        assert found.is_relative_to(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_otherwise_the_xdg_directories(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LINODE_CODER_HOME", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert paths.state_dir() == tmp_path / "state" / "linode-coder"
    assert paths.config_dir() == Path.home() / ".config" / "linode-coder"


@pytest.mark.parametrize("home", ["/tmp/a", "/a/very/long/" + "directory/" * 30])
def test_sockets_fit_into_their_address(monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    monkeypatch.setenv("LINODE_CODER_HOME", home)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    assert len(str(paths.runtime_dir())) < 60
