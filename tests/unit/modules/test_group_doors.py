# SPDX-License-Identifier: GPL-3.0-or-later
"""What `up` makes of a group before anything is spent, by what the account has."""

from __future__ import annotations

import time

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import SessionTags, encode
from scripted_linode import ScriptedLinode
from typer.testing import CliRunner

from linode_coder.cli import up, up_group


def existing(api: ScriptedLinode, name: str, model: str = "openai/gpt-oss-20b", group: str | None = "team") -> None:
    now = int(time.time())
    tags = SessionTags(name, 1, "ada", now + 7200, now + 9000, 45, 520_000, model, bytes(32), group=group)
    api.add(f"lc-{name}-1", encode(tags))


@pytest.fixture
def account(api: ScriptedLinode, monkeypatch: pytest.MonkeyPatch) -> ScriptedLinode:
    monkeypatch.setenv("LINODE_TOKEN", "planted-secret-token")
    monkeypatch.setenv("LINODE_API_URL", api.url)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return api


@pytest.mark.parametrize(
    ("arguments", "kind", "says"),
    [
        (["other", "--replicas", "2"], "conflict", "There is a session other"),
        (["taken", "--replicas", "2"], "conflict", "taken-2 exists and is not of the group"),
        (["team"], "conflict", "is the name of a group of 2 sessions"),
        (["team", "--replicas", "1"], "usage", "has 2 sessions"),
        (["team", "--replicas", "9"], "usage", "no number of sessions from 1 to 8"),
        (["team-3", "--group", "team", "--replicas", "2"], "usage", "has none itself"),
        (["lonely", "--group", "team"], "usage", "is not how a session of the group"),
        (["team", "--replicas", "3", "--model", "Qwen/Qwen2.5-Coder-7B-Instruct-AWQ"], "refused", "serves"),
    ],
)
def test_what_does_not_go_together_is_said_before_anything_is_spent(
    account: ScriptedLinode, arguments: list[str], kind: str, says: str
) -> None:
    for name, group in (("team-1", "team"), ("team-2", "team"), ("other", None), ("taken-2", None)):
        existing(account, name, group=group)
    done = CliRunner().invoke(up.app, [*arguments, "--yes"])
    assert isinstance(done.exception, Failure), (done.output, done.exception)
    assert (done.exception.kind, says in done.exception.message) == (kind, True), done.exception.message
    assert done.exception.remedy
    assert {call.method for call in account.calls} <= {"GET"}


def test_a_new_member_serves_what_the_group_serves(
    account: ScriptedLinode, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    existing(account, "team-1", "Qwen/Qwen2.5-Coder-7B-Instruct-AWQ")
    options: dict[str, list[str]] = {}
    monkeypatch.setattr(up_group, "_same_key", lambda *_arguments: None)
    monkeypatch.setattr(up_group, "_run_all", lambda _console, _group, words: options.update(words) or {})
    monkeypatch.setattr(up_group, "_report", lambda *_arguments: None)
    wanted = ["team", "--replicas", "2", "--yes", "--lease", "2h", "--max-cost", "9", "--webui"]
    done = CliRunner().invoke(up.app, wanted)
    assert done.exception is None, done.exception
    assert options["team-1"] == ["--lease=2h", "--webui"]
    assert options["team-2"] == [
        "--lease=2h",
        "--webui",
        "--model=Qwen/Qwen2.5-Coder-7B-Instruct-AWQ",
        "--max-cost=9.0",
    ]
