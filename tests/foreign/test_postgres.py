# SPDX-License-Identifier: GPL-3.0-or-later
"""The history of a team on a real PostgreSQL server: `make test-foreign`."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.record import postgres, tables
from ansible_collections.linode_coder.gpu.plugins.module_utils.record.address import read_address

from linode_coder.cli import app
from linode_coder.local import history, unrecorded
from tests import history_calls, product, programs
from tests.hostile import CORPUS
from tests.postgres_server import PASSWORD, PostgresServer, postgres_server
from tests.sandbox_fixture import start_sandbox

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server(programs.postgres()) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LINODE_CODER_HOME", str(tmp_path))
    monkeypatch.delenv("LINODE_CODER_HISTORY_URL", raising=False)
    afresh(monkeypatch)
    return tmp_path


@pytest.fixture
def url(server: PostgresServer, home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of an empty database, which is that of the history."""
    made = server.new_database(f"history_{next(_numbers)}")
    monkeypatch.setenv("LINODE_CODER_HISTORY_URL", made)
    return made


def afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a command begins."""
    monkeypatch.setattr(unrecorded, "_noted", set())
    monkeypatch.setattr(history, "_away", None)


def test_every_function_says_the_same_of_both_databases(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: history_calls.NOW)
    said = []
    for where in (url, ""):
        monkeypatch.setenv("LINODE_CODER_HISTORY_URL", where)
        history_calls.written()
        said.append(history_calls.said())
    assert said[0] == said[1]
    assert (
        history.path().exists()
        and len(said[0]["runs"]) > len(CORPUS)
        and all(said[0][key] for key in said[0] if key != "runs of nobody")
    )


def at_version(url: str, version: int) -> None:
    """As a program that knew so many migrations left it."""
    with closing(postgres.Server(read_address(url), 5)) as connection, connection.writing():
        for number in range(version):
            for statement in itertools.islice(
                tables.statements(number, postgres.OWN_ID), tables.MIGRATIONS[number].count(";")
            ):
                connection.execute(statement)
        connection.execute(f"CREATE TABLE {postgres.VERSIONS} (version BIGINT NOT NULL)")
        connection.execute(f"INSERT INTO {postgres.VERSIONS} VALUES ({version})")


@pytest.mark.parametrize("version", range(1, len(tables.MIGRATIONS)))
def test_a_database_of_each_version_is_brought_to_the_newest(server: PostgresServer, url: str, version: int) -> None:
    at_version(url, version)
    name = url.rpartition("/")[2]
    server.sql(
        "SET ROLE coder; INSERT INTO runs (session, command, started, seconds, exit_code) VALUES ('old', 'up', 1.5, 2, 0)",
        name,
    )
    history.ran("new", "down", time.time(), 0, True, None)
    runs = history.runs(history.Filter(), 9)
    assert runs and [(run["session"], run["who"] is None) for run in runs] == [("new", False), ("old", True)]
    fresh = server.new_database(f"{name}_fresh")
    postgres.connect(read_address(fresh), 5).close()
    described = "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"
    assert server.sql(described, name) == server.sql(described, f"{name}_fresh")


WRITER = """
import sys, time
from linode_coder.local import history
for number in range(10):
    view = {"name": "one", "label": "lc-one-1", "linode_id": int(sys.argv[1]) * 100 + number, "plan": "p", "region": "r",
            "model": "m", "owner": "o", "created": "2026-01-01T00:00:00Z", "hourly": 0.5}
    history.saw([view, {**view, "linode_id": 7}])
    history.ran("one", "up", time.time(), 0, True, None)
"""


def test_control_nodes_that_begin_together_lose_nothing(server: PostgresServer, url: str) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(n)], stderr=subprocess.PIPE, text=True) for n in range(1, 6)
    ]
    said = [writer.communicate(timeout=60)[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 5 and said == [""] * 5
    assert (
        server.sql("SELECT (SELECT count(*) FROM sessions), (SELECT count(*) FROM runs)", url.rpartition("/")[2])
        == "51|50"
    )


def test_who_waited_for_a_migration_sees_what_it_made(server: PostgresServer, url: str) -> None:
    with closing(postgres.Server(read_address(url), 20)) as first:
        with first.writing():
            first.execute(f"CREATE TABLE {postgres.VERSIONS} (version BIGINT NOT NULL)")
            for statement in tables.statements(0, postgres.OWN_ID):
                first.execute(statement)
            first.execute(f"INSERT INTO {postgres.VERSIONS} VALUES ({len(tables.MIGRATIONS)})")
            second = threading.Thread(target=history.ran, args=("one", "up", time.time(), 0, True, None))
            second.start()
            name = url.rpartition("/")[2]
            waiting = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND wait_event = 'advisory'"
            until = time.monotonic() + 10
            while server.sql(waiting) != "1" and time.monotonic() < until:
                time.sleep(0.02)
        second.join(20)
    assert [run["session"] for run in history.runs(history.Filter(), 9) or []] == ["one"]


def test_who_only_reads_reads(
    server: PostgresServer, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    history.ran("one", "up", time.time(), 0, True, None)
    monkeypatch.setenv("LINODE_CODER_HISTORY_URL", server.url(url.rpartition("/")[2], "reader"))
    history.ran("two", "up", time.time(), 0, True, None)
    history.ran("three", "up", time.time(), 0, True, None)
    assert "permission denied for table runs" in (said := capsys.readouterr().err) and said.count("note:") == 1
    assert app.run(["history", "--json"]) == 0
    assert [run["session"] for run in json.loads(capsys.readouterr().out)["runs"]] == ["one"]


def test_a_newer_one_is_left_alone(server: PostgresServer, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    history.ran("one", "up", time.time(), 0, True, None)
    server.sql(f"UPDATE {postgres.VERSIONS} SET version = 99", url.rpartition("/")[2])
    history.ran("two", "up", time.time(), 0, True, None)
    said = capsys.readouterr().err
    assert said.count("note:") == 1 and "a newer linode-coder wrote it (version 99" in said
    assert server.sql("SELECT count(*) FROM runs", url.rpartition("/")[2]) == "1"


WRONG = "wr0ng-secret"
TROUBLES = {
    "password": (
        f"postgresql://coder:{WRONG}@127.0.0.1:PORT/postgres",
        'password authentication failed for user "coder"',
    ),
    "no password": ("postgresql://coder@127.0.0.1:PORT/postgres", "no password supplied"),
    "database": (f"postgresql://coder:{PASSWORD}@127.0.0.1:PORT/nowhere", 'database "nowhere" does not exist'),
    "port": (f"postgresql://coder:{WRONG}@127.0.0.1:1/history", "Connection refused"),
    "host": (f"postgresql://coder:{WRONG}@nowhere.invalid/history", "nowhere.invalid"),
    "no authority": (
        f"postgresql://coder:{WRONG}@127.0.0.1:PORT/postgres?sslmode=verify-full",
        "root certificate file",
    ),
    "certificate": (
        f"postgresql://coder:{WRONG}@127.0.0.1:PORT/postgres?sslrootcert=system",
        "certificate verify failed",
    ),
    "option": (f"postgresql://127.0.0.1:PORT/postgres?password={WRONG}&nonsense=1", "nonsense"),
    "said by the server": (f"postgresql://{WRONG}:{WRONG}@127.0.0.1:PORT/postgres", "is not shown"),
    "an @ in it": (f"postgresql://coder:p@{WRONG}@127.0.0.1:PORT/postgres", "written as %40"),
    "a / in it": (f"postgresql://coder:p/{WRONG}@127.0.0.1:PORT/postgres", "written as %40"),
    "a # in it": (f"postgresql://coder:{WRONG}#p@127.0.0.1:PORT/postgres", "written as %40"),
    "a % in it": (f"postgresql://coder:{WRONG}%p@127.0.0.1:PORT/postgres", "written as %40"),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_why_it_cannot_be_used_is_one_sentence_without_a_secret(
    server: PostgresServer,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    trouble: str,
) -> None:
    """Whatever is wrong, the command goes on."""
    url, why = TROUBLES[trouble]
    monkeypatch.setenv("LINODE_CODER_HISTORY_URL", url.replace("PORT", str(server.port)))
    monkeypatch.setenv("PGPASSFILE", str(home / "none"))
    began = time.monotonic()
    history.ran("one", "down", time.time(), 0, True, None)
    history.ended(7, 1, 0.5)
    assert history.known() == []
    assert time.monotonic() - began < 8
    shown = capsys.readouterr()
    assert shown.err.count("note:") == shown.err.count("\n") == 1 and why in shown.err
    assert app.run(["history"]) == 5
    app.run(["-v", "config", "show"])
    app.run(["-v", "config", "validate"])
    later = capsys.readouterr()
    for text in (shown.out, shown.err, later.out, later.err):
        assert WRONG not in text and PASSWORD not in text
    assert not history.path().exists()


def test_a_server_that_dies_is_done_without_and_asked_again_later(
    server: PostgresServer, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    history.ran("one", "up", time.time(), 0, True, None)
    connection = history.connect()
    server.stop()
    try:
        with pytest.raises(tables.Unusable), closing(connection), connection.writing():
            connection.execute("SELECT 1")
        history.ran("two", "up", time.time(), 0, True, None)
        assert history.known() == []
        assert "Connection refused" in (said := capsys.readouterr().err) and said.count("note:") == 1
    finally:
        server.start()
    assert history.runs(history.Filter(), 9) is None  # not at once
    afresh(monkeypatch)
    assert [run["session"] for run in history.runs(history.Filter(), 9) or []] == ["one"]


@pytest.mark.parametrize("when", ["before", "between"])
def test_a_server_that_hangs_is_left(
    server: PostgresServer, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], when: str
) -> None:
    history.ran("one", "up", time.time(), 0, True, None)
    monkeypatch.setattr(history, "PATIENCE_S", 1.0)
    monkeypatch.setattr(history, "_SERVER_S", 1.0)
    connection = history.connect(1.0)
    backend = connection.execute("SELECT pg_backend_pid() AS pid").fetchone()["pid"]
    stopped = server.pid() if when == "before" else backend
    os.kill(stopped, signal.SIGSTOP)
    began = time.monotonic()
    try:
        if when == "before":
            history.ran("two", "up", time.time(), 0, True, None)
            assert "timeout" in capsys.readouterr().err
        else:
            with pytest.raises(tables.Unusable, match="did not answer within 1 s"):
                connection.execute("SELECT 1")
        history.ended(7, 1, 0.5)
        assert time.monotonic() - began < 6
    finally:
        os.kill(stopped, signal.SIGCONT)
        connection.close()


class Job:
    """A playbook as a controller runs it, with variables in a file; nothing of the command line runs."""

    def __init__(self, place: Path, url: str, **environment: str) -> None:
        self.place = place
        self.environment = {
            **{name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ},
            **{"HOME": str(place), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_CALLBACKS_ENABLED": "linode_coder.gpu.history"},
            **{"LINODE_CODER_HISTORY_URL": url, "LINODE_CODER_RETRY_SCALE": "0.001", **environment},
        }

    def run(self, playbook: str, *options: str, code: int, given: str, **environment: str) -> str:
        """What it says."""
        variables = self.place / "variables.yml"
        variables.write_text(given)
        command = [
            str(product.BIN / "ansible-playbook"),
            f"linode_coder.gpu.{playbook}",
            "-e",
            f"@{variables}",
            *options,
        ]
        environment = {**self.environment, **environment}
        done = subprocess.run(command, env=environment, cwd=self.place, capture_output=True, text=True, timeout=120)
        said = done.stdout + done.stderr
        assert done.returncode == code and PASSWORD not in said, said
        return said


def test_a_job_of_a_controller_says_who_started_it(url: str, tmp_path: Path) -> None:
    with start_sandbox(tmp_path, hosts="none") as sandbox:
        job = Job(tmp_path, url, **{name: sandbox.env[name] for name in ("LINODE_API_URL", "LINODE_TOKEN")})
        hostile = '{session: demo, awx_user_name: !unsafe "{{ 7 * 6 }}\\e[31mAlice", awx_job_id: 42}'
        assert "history" not in job.run("down", code=0, given=hostile)
        failing = "{session: demo, extend: soon, tower_schedule_name: every night, tower_job_id: 43}"
        job.run("extend", code=2, given=failing)
        # What only looks, check mode, and what the command line records itself.
        job.run("list", code=0, given=hostile)
        job.run("down", "--check", code=0, given=hostile)
        job.run("down", code=0, given=hostile, LINODE_CODER_TOLD=str(tmp_path / "told"))
    extend, down = history.runs(history.Filter(), 9) or []
    assert (down["who"], down["control_node"]) == ("{{ 7 * 6 }}\x1b[31mAlice", "job 42")
    assert [down[key] for key in ("session", "command", "exit_code", "changed", "message")] == [
        "demo",
        "down",
        0,
        False,
        None,
    ]
    assert (extend["who"], extend["control_node"]) == ("schedule every night", "job 43")
    assert (extend["command"], extend["exit_code"], extend["changed"]) == ("extend", 9, None)
    assert "demo" in extend["message"]


def test_a_job_whose_database_is_away_says_so_and_goes_on(tmp_path: Path) -> None:
    wrong = f"postgresql://coder:{WRONG}@127.0.0.1:1/history"
    with start_sandbox(tmp_path, hosts="none") as sandbox:
        job = Job(tmp_path, wrong, **{name: sandbox.env[name] for name in ("LINODE_API_URL", "LINODE_TOKEN")})
        said = job.run("down", code=0, given="{session: demo}")
    assert "What this run did is not in the history: 127.0.0.1:1/history: connection failed" in said
    assert "failed=0" in said and WRONG not in said
