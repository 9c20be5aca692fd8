# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module says while it goes on reaches whoever started the playbook, as data."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.told import VARIABLE, newer, tell

from tests.hostile import CORPUS


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    tell(detail="booting")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "gone" / "told"))
    tell(detail="booting")
    assert newer(tmp_path / "gone" / "told", 0) == ([], 0) and newer(None, 0) == ([], 0)


@pytest.mark.parametrize("text", CORPUS.values(), ids=CORPUS)
def test_any_text_comes_as_it_was_said(text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "told"
    monkeypatch.setenv(VARIABLE, str(path))
    tell(detail="before")
    _first, place = newer(path, 0)
    tell(detail=text)
    assert newer(path, place)[0] == [{"detail": text}]


def test_each_line_comes_once_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "told"
    path.write_text('{"a": 1}\nnonsense\n[1]\n{"b": ')
    facts, place = newer(path, 0)
    assert facts == [{"a": 1}]
    path.write_text(path.read_text() + "2}\n")
    assert newer(path, place)[0] == [{"b": 2}]
