# SPDX-License-Identifier: GPL-3.0-or-later
"""What a group's keeper and the commands tell each other by files."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import session_dir

from linode_coder.endpoint.group_files import Member, drain, drained, read_members, undrain, write_members
from tests.hostile import CORPUS

ONE: dict[str, Member] = {"team-1": Member(url="http://127.0.0.1:18000", use="serves", why=None)}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINODE_CODER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    session_dir("team").mkdir(parents=True)


def test_what_is_written_is_read_back() -> None:
    write_members("team", ONE)
    assert read_members("team") == ONE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '{"team-1": null}',
        '{"team-1": {"url": null}}',
        '{"team-1": {"url": null, "use": "x", "why": null}}',
        '{"../x": {"url": null, "use": "away", "why": null}}',
        "[" * 100_000,
        *CORPUS.values(),
    ],
)
def test_what_is_damaged_is_none(text: str) -> None:
    (session_dir("team") / "group.json").write_text(text, errors="surrogatepass")
    assert read_members("team") == {}


def test_who_drained_a_member_and_was_killed_leaves_it_out_for_a_while_only() -> None:
    drain("team", "team-1", 60)
    drain("team", "team-2", -1)
    assert drained("team") == {"team-1"}
    undrain("team", "team-1")
    undrain("team", "team-1")
    assert drained("team") == set()
    (session_dir("team") / "drained" / "team-3").write_text("soon\n")
    assert drained("team") == set()
    assert float((session_dir("team") / "drained" / "team-2").read_text()) < time.time()
