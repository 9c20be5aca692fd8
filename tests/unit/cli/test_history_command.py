# SPDX-License-Identifier: GPL-3.0-or-later
"""`history` shows what was done, the newest first, of what it is asked for, and no text of it is obeyed."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.controller.playbooks import PLAYBOOKS
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.record import address, jobs, rows, tables

from linode_coder.cli import app
from linode_coder.local import history, unrecorded
from tests.hostile import CORPUS
from tests.unit.cli.terminal import at_terminal, foreign


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LINODE_CODER_HOME", str(tmp_path))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setattr(unrecorded, "_noted", set())
    monkeypatch.setattr(history, "_locked", False)
    return tmp_path / "state"


def wrote(who: str, *runs: rows.Run, days: float = 0.0) -> None:
    began = time.time() - days * 86400
    history._doer = lambda: rows.Doer(who, "laptop")  # type: ignore[assignment]
    for run in runs:
        history.ran(run.session, run.command, began, run.exit_code, run.changed, run.message)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "_doer", history._doer)
    wrote("alice", rows.Run("demo", "up", 7, None, "No place has capacity."), days=9)
    wrote("bob", rows.Run("demo", "up", 0, True, None), rows.Run("team", "extend", 0, False, None), days=2)
    wrote("alice", rows.Run("demo", "down", 0, True, None), rows.Run("team", "up", 130, None, "interrupted"))


def told(capsys: pytest.CaptureFixture[str], *options: str) -> list[tuple[str, str, str]]:
    assert app.run(["history", "--json", *options]) == 0
    return [(run["who"], run["session"], run["command"]) for run in json.loads(capsys.readouterr().out)["runs"]]


NEWEST = [
    ("alice", "team", "up"),
    ("alice", "demo", "down"),
    ("bob", "team", "extend"),
    ("bob", "demo", "up"),
    ("alice", "demo", "up"),
]


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize(
    ("options", "places"),
    [
        ((), (0, 1, 2, 3, 4)),
        (("--session", "demo"), (1, 3, 4)),
        (("--command", "up"), (0, 3, 4)),
        (("--who", "bob"), (2, 3)),
        (("--since", "7d"), (0, 1, 2, 3)),
        (("--since", "2020-01-01"), (0, 1, 2, 3, 4)),
        (("--failed",), (0, 4)),
        (("--failed", "--session", "demo", "--who", "alice", "--command", "up"), (4,)),
        (("--limit", "2"), (0, 1)),
        (("--who", "' OR 1=1 --"), ()),
    ],
)
def test_filters(capsys: pytest.CaptureFixture[str], options: tuple[str, ...], places: tuple[int, ...]) -> None:
    assert told(capsys, *options) == [NEWEST[place] for place in places]


@pytest.mark.usefixtures("recorded")
def test_a_line_for_each_says_how_it_ended(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["history", "--wide", "--limit", "4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["STARTED", "WHO", "SESSION", "COMMAND", "RESULT", "TOOK", "WHERE", "MESSAGE"]
    assert [("ok" in line, "no change" in line, "interrupted" in line) for line in lines[1:5]] == [
        (False, False, True),
        (True, False, False),
        (False, True, False),
        (True, False, False),
    ]
    assert lines[5] == "There are older ones: --limit 40"


@pytest.mark.parametrize("text", ["soon", "7", "2026-13-01", "-1d", ""])
def test_what_is_no_time_is_refused(capsys: pytest.CaptureFixture[str], text: str) -> None:
    assert app.run(["history", "--since", text]) == 2
    assert "7d, 12h, 2026-12-24" in capsys.readouterr().err


def test_what_cannot_be_read_is_not_called_empty(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["history"]) == 0
    assert "Nothing is recorded yet." in capsys.readouterr().out
    with sqlite3.connect(home / "history.sqlite3") as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    assert app.run(["history", "--json"]) == 5
    shown = capsys.readouterr()
    assert (
        "newer linode-coder" in shown.err and json.loads(shown.out.splitlines()[-1])["error"]["kind"] == "unreachable"
    )


def test_no_text_is_obeyed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for text in (*CORPUS.values(), "=1+1", "+1", "-1", "@x", " =1"):
        monkeypatch.setattr(history, "_doer", lambda text=text: rows.Doer(text, text))
        history.ran(text, text, time.time(), 5, None, text)
    seen = at_terminal(monkeypatch, "history", "--limit", "1000", columns=120)
    assert seen.code == 0 and foreign(seen.out) == ""
    assert app.run(["history", "--csv", "--limit", "1000"]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(lines) == len(CORPUS) + 5
    for line in lines:
        assert not any(cell.lstrip().startswith(("=", "+", "-", "@")) for cell in line.values())
        assert not any("\n" in cell or "\x1b" in cell for cell in line.values())


def test_both_databases_can_hold_every_text() -> None:
    for text in CORPUS.values():
        kept = tables.storable(text)
        assert type(kept) is str and "\0" not in kept and kept.encode()
    assert tables.storable("a\0b\udc80") == "a\\x00b\\udc80"
    assert [tables.storable(value) for value in (True, None, 1.5, b"\0")] == [1, None, 1.5, b"\0"]


@pytest.mark.parametrize(
    ("text", "place", "secrets"),
    [
        ("postgresql://db.example.com/history", "db.example.com/history", ()),
        ("postgres://coder:p%40ss@db:5433/history?sslmode=verify-full", "db:5433/history", ("p%40ss", "p@ss")),
        ("postgresql://a,b:5433/x?target_session_attrs=read-write", "a,b:5433/x", ()),
        ("postgresql://[::1]:5432/x?password=y%3D", "[::1]:5432/x", ("y%3D", "y=")),
        ("postgresql:///x?host=/run/postgresql", "/run/postgresql/x", ()),
        ("postgresql://?service=history", "history", ()),
        ("postgresql://", "the server", ()),
    ],
)
def test_addresses(text: str, place: str, secrets: tuple[str, ...]) -> None:
    found = address.read_address(text)
    assert (found.url, found.place, found.secrets) == (text, place, secrets)
    assert found.quoted("nothing of it") == "nothing of it" and all(found.quoted(f"x{one}x") is None for one in secrets)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "history.sqlite3",
        "mysql://db/x",
        "postgresql://u:p@q@h/x",
        "postgresql://u:p/q@h/x",
        "postgresql://h:port/x",
        "postgresql://h/%zz",
        "postgresql://h/x?a",
        "postgresql://h /x",
        "host=h password=secret",
        *CORPUS.values(),
    ],
)
def test_what_is_no_address_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(ValueError, match=r"postgresql://coder@db\.example\.com/history") as caught:
        address.read_address(text)
    assert len(text) < 3 or text not in str(caught.value)


def test_without_the_library_it_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    monkeypatch.setenv("LINODE_CODER_HISTORY_URL", "postgresql://db.invalid/history")
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    history.ran("demo", "down", time.time(), 0, True, None)
    history.ended(7, 1, 0.5)
    said = capsys.readouterr().err
    assert said.count("note:") == 1 and "pip install 'linode-coder[postgres]'" in said
    assert not history.path().exists()


def job(
    playbook: str, data: dict[str, Any] | None = None, failure: Failure | None = None, **variables: Any
) -> rows.Record:
    return jobs.of_job(jobs.Job(playbook, variables, data or {}, failure, changed=True))


VIEW = {
    **{"name": "demo", "label": "lc-demo-1", "linode_id": 7, "plan": "p", "region": "r", "model": "m", "owner": "o"},
    **{"created": "2026-01-01T00:00:00Z", "hourly": 0.5},
}


def test_what_a_job_leaves() -> None:
    up = job("up", {"session": VIEW, "account": "a"}, session="demo")
    assert up.runs == [rows.Run("demo", "up", 0, True, None)] and up.seen == [VIEW] and up.account == "a"
    down = job("down", {"session": VIEW, "hours": 2, "cost": 1.0}, session="demo")
    assert down.ended == [rows.Ended(7, 2, 1.0)] and not down.seen
    failed = job("switch_model", failure=Failure("capacity", "No place."), session="demo")
    assert failed.runs == [rows.Run("demo", "switch-model", 7, None, "No place.")]
    rung = {"attempt": {"id": "1"}, "step": {"rung": "reboot"}, "outcome": "failed"}
    assert job("heal", {"report": rung}, session="demo").runs == [rows.Run("demo", "heal", 6, True, "reboot")]
    assert job("cleanup", {"removed": ["a", "b"]}, remove="all").runs == [rows.Run("all", "cleanup", 0, True, "a, b")]
    assert job("warm_drop", volume="v").runs == [rows.Run("all", "warm drop", 0, True, "v")]
    keys = job("keys", {"added": ["SHA256:a"], "removed": []}, session="demo", keys_present=["ssh-ed25519 AAAA ada"])
    assert keys.runs == [rows.Run("demo", "keys", 0, True, "added SHA256:a")]
    assert not any(
        [
            job("cleanup"),
            job("keys", session="demo"),
            job("list", {"sessions": [VIEW]}),
            job("watchdog"),
            job("their_own"),
        ]
    )


def test_of_every_playbook_it_is_known_whether_it_only_looks() -> None:
    looks = {"awx", "check", "collect", "list", "replace", "status", "team_usage", "validate", "validate_perf"}
    assert {playbook.name for playbook in PLAYBOOKS} == looks | set(jobs.COMMANDS) and not looks & set(jobs.COMMANDS)


def test_who_does_it() -> None:
    assert jobs.doer({}, "me", "here") == rows.Doer("me", "here")
    assert jobs.doer({"awx_user_name": "", "tower_user_name": "bob", "awx_job_id": 3}, "me", "here") == rows.Doer(
        "bob", "job 3"
    )
    scheduled = {"awx_parent_job_schedule_name": "nightly", "awx_job_id": 4}
    assert jobs.doer(scheduled, "me", "here") == rows.Doer("schedule nightly", "job 4")
