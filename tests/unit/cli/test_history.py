"""The history takes several processes at once, from the first moment on."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from linode_coder.cli.down import still_open
from linode_coder.cli.watchdog import record
from linode_coder.local import history, unrecorded

WRITER = """
import sys, time
from linode_coder.local import history
for number in range(20):
    view = {"name": "one", "label": "lc-one-1", "linode_id": int(sys.argv[1]) * 100 + number, "plan": "p", "region": "r",
            "model": "m", "owner": "o", "created": "2026-01-01T00:00:00Z", "hourly": 0.5}
    history.saw([view])
    history.ran("one", "up", time.time(), 0, True, None)
"""


def test_concurrent_processes_lose_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "LINODE_CODER_HOME": str(tmp_path)}
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(n)], env=environment) for n in range(1, 6)]
    assert [writer.wait(60) for writer in writers] == [0] * 5
    with sqlite3.connect(tmp_path / "state" / "history.sqlite3") as connection:
        assert connection.execute("SELECT count(*) FROM sessions").fetchone() == (100,)
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (100,)


VIEW: dict[str, Any] = {
    **{"name": "one", "label": "lc-one-1", "linode_id": 7, "plan": "p", "region": "r", "model": "m", "owner": "o"},
    **{"created": "2026-01-01T00:00:00Z", "hourly": 0.5},
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LINODE_CODER_HOME", str(tmp_path))
    monkeypatch.setattr(unrecorded, "_noted", set())
    monkeypatch.setattr(history, "_locked", False)
    (tmp_path / "state").mkdir()
    return tmp_path / "state"


def broken(directory: Path, how: str) -> bytes:
    file = directory / "history.sqlite3"
    if how == "text":
        file.write_text("this is no database, although it is long enough to be looked at twice\n" * 40)
    elif how == "other tables":
        with sqlite3.connect(file) as connection:
            connection.execute("CREATE TABLE sessions (something)")
    else:
        history.saw([VIEW])
        whole = bytearray(file.read_bytes())
        whole[4096:] = os.urandom(len(whole) - 4096)
        file.write_bytes(whole)
    return file.read_bytes()


@pytest.mark.parametrize("how", ["text", "other tables", "damaged page"])
def test_a_broken_file_is_set_aside_and_work_goes_on(home: Path, capsys: pytest.CaptureFixture[str], how: str) -> None:
    content = broken(home, how)
    history.saw([VIEW])
    history.ran("one", "up", 0.0, 0, True, None)
    assert [record["linode_id"] for record in history.known("one")] == [7]
    kept = list(home.glob("history.broken-*.sqlite3"))
    assert len(kept) == 1
    assert kept[0].read_bytes() == content
    assert capsys.readouterr().err.count("note:") == 1


def test_a_file_out_of_reach_is_done_without(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "history.sqlite3").mkdir()
    history.saw([VIEW])
    history.ended(7, 1, 0.5)
    assert history.known() == []
    assert capsys.readouterr().err.count("note:") == 1
    assert (home / "history.sqlite3").is_dir()


def test_processes_that_find_it_broken_together_keep_what_they_write(tmp_path: Path, home: Path) -> None:
    broken(home, "text")
    environment = {**os.environ, "LINODE_CODER_HOME": str(tmp_path)}
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(n)], env=environment, stderr=subprocess.PIPE, text=True)
        for n in range(1, 6)
    ]
    said = [writer.communicate(timeout=120)[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 5, said
    assert "".join(said).count("set aside") == 1
    with sqlite3.connect(home / "history.sqlite3") as connection:
        assert connection.execute("SELECT count(*) FROM sessions").fetchone() == (100,)


def test_only_its_owner_reads_it(tmp_path: Path, home: Path) -> None:
    """Also where it was made otherwise."""
    history.saw([VIEW])
    file = home / "history.sqlite3"
    file.chmod(0o644)
    home.chmod(0o755)
    history.ran("one", "up", 0.0, 0, True, None)
    assert [place.stat().st_mode & 0o777 for place in (home, file)] == [0o700, 0o600]
    file.unlink()
    before = os.umask(0)
    try:
        history.saw([VIEW])
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == 0o600


def test_one_of_a_newer_program_is_left_alone(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    history.saw([VIEW])
    with sqlite3.connect(home / "history.sqlite3") as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    content = (home / "history.sqlite3").read_bytes()
    history.saw([{**VIEW, "linode_id": 8}])
    assert history.known() == []
    assert (home / "history.sqlite3").read_bytes() == content
    assert not list(home.glob("history.broken-*"))
    said = capsys.readouterr().err
    assert said.count("note:") == 1
    assert "newer linode-coder" in said


def test_a_locked_one_is_waited_for_once(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    history.saw([VIEW])
    assert history.QUICK_S <= 2
    waits = []
    connect = sqlite3.connect

    def watched(*arguments: Any, timeout: float, **options: Any) -> sqlite3.Connection:
        waits.append(timeout)
        return connect(*arguments, timeout=min(timeout, 0.1), **options)

    monkeypatch.setattr(history.sqlite3, "connect", watched)
    other = connect(home / "history.sqlite3", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    history.saw([{**VIEW, "linode_id": 8}], patience=history.QUICK_S)
    history.ran("one", "up", 0.0, 0, True, None)
    assert history.known() == []
    other.execute("ROLLBACK")
    other.close()
    assert waits == [history.QUICK_S, 0.0, 0.0]
    said = capsys.readouterr().err
    assert said.count("note:") == 1
    assert "locked" in said


@pytest.mark.parametrize("what", ["a file in its way", "nothing can be made"])
def test_a_home_that_takes_nothing_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    monkeypatch.setattr(unrecorded, "_noted", set())
    place = Path("/proc/nowhere") if what == "nothing can be made" else tmp_path / "file"
    if what == "a file in its way":
        place.write_text("")
    monkeypatch.setenv("LINODE_CODER_HOME", str(place))
    history.saw([VIEW])
    history.ended(7, 1, 0.5)
    assert history.known() == []
    with unrecorded.recorded():
        (place / "state" / "current").write_text("one")
    said = capsys.readouterr().err
    assert said.count("note:") == 1
    assert f"{place}/state cannot be written" in said


def test_refusals_are_remembered_until_an_up_succeeds(home: Path) -> None:
    attempt = {"plan": "g2", "region": "us-ord", "outcome": "no capacity", "reason": "None left."}
    history.refused("one", attempt)
    history.refused("other", attempt)
    (row,) = history.refused_before("one")
    assert history.describe_attempt(row) == "g2 in us-ord: no capacity (None left.)"
    history.ran("one", "up", row["at"], 130, None, "interrupted")
    assert len(history.refused_before("one")) == 1
    history.ran("one", "up", row["at"], 0, True, None)
    assert history.refused_before("one") == [] and len(history.refused_before("other")) == 1


def test_what_phases_took_is_kept_by_plan_and_model(home: Path) -> None:
    for seconds in (9.0, 8.0):
        history.took("g2", "acme/Coder", {"vm": seconds, "engine": 3.0})
    assert history.phases_before("g2", "acme/Coder") == {"vm": [8.0, 9.0], "engine": [3.0, 3.0]}
    assert history.phases_before("g2", "acme/Other") == {}


def test_a_rung_is_recorded_with_what_came_of_it_and_an_acknowledgement_is_none(home: Path) -> None:
    taken = {"attempt": {"id": "1"}, "step": {"rung": "reboot"}, "outcome": "healed"}
    assert history.healing("demo", 1.0, taken)
    assert history.healing("demo", 2.0, {**taken, "outcome": "failed"})
    assert not history.healing("demo", 3.0, None)
    assert not history.healing("demo", 4.0, {"attempt": None, "step": None, "outcome": None})
    assert history.heals() == [
        {"session": "demo", "healed": False, "times": 1},
        {"session": "demo", "healed": True, "times": 1},
    ]


def test_a_watcher_that_deletes_leaves_how_long_it_was_idle(home: Path) -> None:
    gone = {"linode_id": 7, "name": "one", "label": "lc-one-1", "hours": 2, "cost": 1.0, "sentence": "It is deleted."}
    record({"sessions": [{**VIEW, "idle_s": 2700}], "deleted": [gone]}, 0.0)
    (kept,) = history.known("one")
    assert (kept["hours"], kept["cost"], kept["idle_s"]) == (2, 1.0, 2700.0)
    # Whoever finds later that it is gone knows nothing of that.
    history.ended(7, 2, 1.0)
    assert history.known("one")[0]["idle_s"] == 2700.0


def test_a_session_of_the_same_name_in_another_account_keeps_nobody_from_ending_this_one(home: Path) -> None:
    history.saw([VIEW], "account-of-ours")
    history.saw([{**VIEW, "linode_id": 8}], "account-of-others")
    records = history.known("one")
    assert [record["account"] for record in still_open(records, VIEW)] == ["account-of-ours"]
    # One that the history has never seen may be somebody else's, and a name alone is of all accounts.
    assert len(still_open(records, {**VIEW, "linode_id": 9})) == len(still_open(records, None)) == 2
    history.ended(7, 1, 0.5)
    assert still_open(history.known("one"), VIEW) == []
