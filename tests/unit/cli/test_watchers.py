# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether anybody watches, what it costs when nobody does, and the file that a timer reads."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from typer.testing import CliRunner

from linode_coder.cli import watchdog
from linode_coder.playbook.variables import Watchdog
from linode_coder.watchdog import timer as watch_timer
from linode_coder.watchdog import watchers

NOW = 1_800_000_000


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith(("LINODE", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LINODE_CODER_HOME", str(tmp_path))
    return tmp_path


def test_nobody_watches_until_somebody_did_and_a_while_after() -> None:
    said = watchers.describe(None, NOW, 0.52)
    assert said.startswith("none is known: ") and "$12.48 a day" in said and "watchdog install" in said
    record = {"by": "ada@desk", "at": NOW - 300, "interval": 300}
    assert watchers.describe(record, NOW, 0.52) == "ada@desk looked 5 min ago, every 5 min"
    late = watchers.describe({**record, "at": NOW - 3 * 300 - 121}, NOW, 0.52)
    assert late.startswith("none is known now, ada@desk looked last ") and "$12.48 a day" in late
    assert "$" not in watchers.describe(None, NOW)


def test_a_pass_is_remembered(home: Path) -> None:
    assert watchers.last_pass() is None
    watchers.record_pass(300, True, [{"linode_id": 1, "idle_s": 7}, {"linode_id": 2, "idle_s": None}])
    record = watchers.last_pass()
    assert record is not None and record["interval"] == 300
    assert watchers.watching(record, record["at"] + 60) and watchers.idle_seen(record["at"]) == ({1: 7}, record["at"])
    (home / "state" / "watcher.json").write_text("{")
    assert watchers.last_pass() is None


def test_findings_of_a_pass_are_remembered(home: Path) -> None:
    assert watchers.health_seen() == {}
    sessions = [{"linode_id": 1, "idle_s": 7, "label": "lc-a-1"}, {"linode_id": 2, "idle_s": None, "label": "lc-b-1"}]
    seen = {"severity": "fail", "at": 100, "findings": {"fail": 2}}
    watchers.record_pass(300, True, sessions, health={"lc-a-1": seen, "lc-gone-1": seen})
    assert watchers.health_seen() == {1: {"at": 100.0, "findings": {"fail": 2}}}
    (home / "state" / "watcher.json").write_text('{"health": {"1": {"at": "x"}}}')
    assert watchers.health_seen() == {}


SESSIONS = [{"linode_id": 1, "idle_s": 7}]


def test_a_pass_by_hand_is_no_watcher_and_hides_none(home: Path) -> None:
    watchers.record_pass(None, True, SESSIONS)
    now = int(time.time())
    assert watchers.last_pass() is None and watchers.idle_seen(now)[0] == {1: 7}
    assert watchers.describe(watchers.last_pass(), now).startswith("none is known: ")
    watchers.record_pass(300, True, [])
    timer = watchers.last_pass()
    watchers.record_pass(None, True, SESSIONS)
    assert timer is not None and watchers.last_pass() == timer and watchers.idle_seen(now)[0] == {1: 7}
    assert watchers.idle_seen(now + 3600)[0] == {}
    watchers.forget()
    assert watchers.last_pass() is None
    (home / "state" / "watcher.json").write_text('["of another version"]')
    assert watchers.last_pass() is None and watchers.idle_seen(now)[0] == {}


def test_a_process_that_watches_does_so_while_it_lives(home: Path) -> None:
    watchers.record_pass(300, True, [], os.getpid())
    assert watchers.last_pass() is not None
    process = subprocess.Popen(["true"])
    process.wait()
    watchers.record_pass(300, True, [], process.pid)
    assert watchers.last_pass() is None


def test_of_several_watchers_one_that_still_looks_counts() -> None:
    late = {"by": "a", "at": NOW - 4000, "interval": 3600}
    gone = {"by": "b", "at": NOW - 3000, "interval": 60}
    assert watchers.newest((late, gone, None), NOW) == late
    assert watchers.newest((gone, {**gone, "at": NOW - 2000}), NOW) == {**gone, "at": NOW - 2000}
    assert watchers.newest((None, None), NOW) is None


@pytest.mark.parametrize(
    ("options", "again", "one_off"),
    [
        (["--once"], None, True),
        (["--once", "--interval", "5m"], 300, False),
        (["--interval", "2m"], 120, False),
        ([], 300, False),
    ],
)
def test_only_who_says_when_it_looks_again_is_written_down(
    home: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], again: int | None, one_off: bool
) -> None:
    passes: list[tuple[Any, ...]] = []

    def one_pass(_console: Any, variables: Watchdog, _started: float, *more: Any) -> Failure:
        passes.append((variables.one_off, *more))
        return Failure("transient", "The API does not answer.")

    monkeypatch.setattr(watchdog, "one_pass", one_pass)
    monkeypatch.setattr(watchdog, "export_credentials", lambda: None)
    monkeypatch.setattr(watchdog.time, "sleep", lambda _seconds: (_ for _ in ()).throw(KeyboardInterrupt))
    CliRunner().invoke(watchdog.app, options)  # ends with the failure of its one pass, or interrupted
    assert passes == [(one_off, again, None if "--once" in options else os.getpid())]


def test_the_file_of_a_timer_follows_the_environment_that_installs_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Failure, match="There is no Linode token"):
        watch_timer.write_environment()
    path = watch_timer.environment_file()
    assert not path.exists()
    monkeypatch.setenv("LINODE_TOKEN", "of-the-sandbox")
    monkeypatch.setenv("LINODE_API_URL", "http://127.0.0.1:1/")
    monkeypatch.setenv("LINODE_CODER_NOTIFY_URL", "https://hook.example/secret")
    assert watch_timer.write_environment() == "made"
    assert path.stat().st_mode & 0o777 == 0o600
    monkeypatch.delenv("LINODE_API_URL")
    monkeypatch.delenv("LINODE_TOKEN")
    monkeypatch.delenv("LINODE_CODER_NOTIFY_URL")
    assert watch_timer.write_environment() == "kept"
    # Another token is for another place: the address of the old one must not stay with it.
    monkeypatch.setenv("LINODE_TOKEN", "of-the-account")
    assert watch_timer.write_environment() == "changed"
    assert path.stat().st_mode & 0o777 == 0o600
    kept = dict(line.split("=", 1) for line in path.read_text().splitlines() if not line.startswith("#"))
    assert kept == {
        "LINODE_TOKEN": "of-the-account",
        "LINODE_CODER_HOME": str(home),
        "LINODE_CODER_NOTIFY_URL": "https://hook.example/secret",
    }
    path.chmod(0o640)
    with pytest.raises(Failure, match="can be read by others"):
        watch_timer.load_environment(path)
    path.chmod(0o600)
    watch_timer.load_environment(path)
    assert os.environ["LINODE_TOKEN"] == "of-the-account"
    for wrong in (home / "nothing", home):
        with pytest.raises(Failure, match="cannot be read"):
            watch_timer.load_environment(wrong)


def test_timers_quote_what_their_readers_would_misread(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINODE_CODER_HOME", str(home / "100% $me"))
    units = watch_timer.systemd_units(90)
    assert "100%% $$me" in units["linode-coder-watchdog.service"]
    assert "OnUnitActiveSec=90s" in units["linode-coder-watchdog.timer"]
    line = watch_timer.cron_lines(600).splitlines()[1]
    assert line.startswith("*/10 * * * * ") and "100\\% $me" in line
    assert watch_timer.cron_lines(3600).splitlines()[1].startswith("0 * * * * ")
    for seconds in (90, 420):
        with pytest.raises(Failure, match="cron cannot run every"):
            watch_timer.cron_lines(seconds)
