"""Session history of this control node: a record of what happened and what it cost, never the truth.

So no command fails because of it: what cannot be recorded is said once, and a file that is no database any more is set aside.
"""

from __future__ import annotations

import functools
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import format_time
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import EXIT_CODES
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.file_lock import file_lock
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import state_dir
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.budget import month_start

from .unrecorded import note_once, note_unwritable, recorded

P = ParamSpec("P")
T = TypeVar("T")

MIGRATIONS = (
    """
    CREATE TABLE sessions (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, linode_id INTEGER NOT NULL UNIQUE, account TEXT, plan TEXT, region TEXT,
        model TEXT, owner TEXT, created TEXT, hourly REAL, ended TEXT, hours INTEGER, cost REAL
    );
    CREATE TABLE runs (
        id INTEGER PRIMARY KEY, session TEXT NOT NULL, command TEXT NOT NULL, started REAL NOT NULL, seconds REAL NOT NULL,
        exit_code INTEGER NOT NULL, changed INTEGER, message TEXT
    );
    """,
    """
    CREATE TABLE speeds (
        id INTEGER PRIMARY KEY, spec TEXT NOT NULL, session TEXT NOT NULL, measured REAL NOT NULL, stream_tps REAL NOT NULL,
        baseline INTEGER NOT NULL
    );
    """,
    """
    CREATE TABLE attempts (
        id INTEGER PRIMARY KEY, session TEXT NOT NULL, at REAL NOT NULL, plan TEXT NOT NULL, region TEXT NOT NULL,
        outcome TEXT NOT NULL, reason TEXT
    );
    CREATE TABLE phases (
        id INTEGER PRIMARY KEY, plan TEXT NOT NULL, model TEXT NOT NULL, at REAL NOT NULL, phase TEXT NOT NULL, seconds REAL NOT NULL
    );
    """,
    # The document of each run, compressed; see perf_history.py.
    """
    CREATE TABLE perf_runs (
        id INTEGER PRIMARY KEY, run TEXT NOT NULL UNIQUE, session TEXT NOT NULL, spec TEXT NOT NULL, severity TEXT NOT NULL,
        summary TEXT NOT NULL, baseline INTEGER NOT NULL, head TEXT NOT NULL, document BLOB NOT NULL
    );
    CREATE INDEX perf_runs_of_spec ON perf_runs (spec);
    """,
    """
    ALTER TABLE sessions ADD COLUMN idle_s REAL;
    DROP TABLE speeds;
    """,
    # What an engine had counted at the last look of a month; see token_history.py.
    """
    CREATE TABLE tokens (
        linode_id INTEGER NOT NULL, engine INTEGER NOT NULL, month TEXT NOT NULL, prompt INTEGER NOT NULL,
        generated INTEGER NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (linode_id, engine, month)
    );
    """,
)


def path() -> Path:
    return state_dir() / "history.sqlite3"


# How long another process that writes is waited for: by whoever looks, and by whoever has done something worth a record.
QUICK_S, PATIENCE_S = 1.5, 20.0


def _private() -> None:
    """The file and its directory are their owner's alone, also those that were made otherwise."""
    directory = path().parent
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path().exists():
        os.close(os.open(path(), os.O_RDWR | os.O_CREAT, 0o600))
    for place, mode in ((directory, 0o700), (path(), 0o600)):
        if place.stat().st_mode & 0o077 and place.stat().st_uid == os.getuid():
            with recorded():
                place.chmod(mode)


def _version(connection: sqlite3.Connection) -> int:
    """Of its tables; OperationalError when only a newer program knows them."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > len(MIGRATIONS):
        raise sqlite3.OperationalError(
            f"a newer linode-coder wrote it (version {version}, this one knows {len(MIGRATIONS)}), so nothing is recorded"
        )
    return version


def connect(patience: float = QUICK_S) -> sqlite3.Connection:
    """The database, migrated. Several processes may do this at the same moment."""
    _private()
    connection = sqlite3.connect(path(), timeout=0.0 if _locked else patience, isolation_level=None)
    try:
        connection.row_factory = sqlite3.Row
        # Not in WAL mode: the last connection to close locks the others out for a moment, and they fail instead of waiting.
        if _version(connection) < len(MIGRATIONS):
            connection.execute("BEGIN IMMEDIATE")
            version = _version(connection)
            for script in MIGRATIONS[version:]:
                for statement in script.split(";"):
                    if statement.strip():
                        connection.execute(statement)
            connection.execute(f"PRAGMA user_version={len(MIGRATIONS)}")
            connection.execute("COMMIT")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


# After one wait in vain the rest is tried at once: a command has more than one thing to record.
_locked = False


def _without(error: sqlite3.OperationalError | OSError) -> None:
    """Say why this goes unrecorded."""
    global _locked
    if isinstance(error, OSError):
        note_unwritable(error.strerror or type(error).__name__)
    elif any(words in str(error) for words in ("readonly", "disk is full", "unable to open", "disk I/O")):
        note_unwritable(str(error))
    elif "locked" in str(error):
        _locked = True
        note_once("another process keeps the session history locked; what this command did may not be in it.")
    else:
        note_once(f"the session history cannot be used: {error}.")


def _bad_file(error: sqlite3.Error) -> bool:
    """Whether the file itself is bad, and not only locked, full or out of reach."""
    if isinstance(error, sqlite3.OperationalError):
        # Tables that are not as they were made.
        return "no such" in str(error) or "already exists" in str(error)
    return isinstance(error, sqlite3.InternalError) or type(error) is sqlite3.DatabaseError


def _check() -> None:
    """Read all of it, so that what is bad shows."""
    with closing(connect()) as connection:
        for table in ("sessions", "runs", "attempts", "phases", "perf_runs"):
            connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 - names of ours
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(found)


def _set_aside() -> None:
    """Move a bad file out of the way. Only one process does, and nobody moves the new one."""
    with file_lock(state_dir() / "history.lock"):
        try:
            _check()
        except sqlite3.Error as error:
            if not _bad_file(error):
                raise
        else:
            return
        aside = path().with_name(f"history.broken-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}.sqlite3")
        # While the bad file is in its place the journal is its own; afterwards it may be that of a process that writes the new one.
        path().with_name(path().name + "-journal").unlink(missing_ok=True)
        path().rename(aside)
    note_once(f"the session history could not be read; it is set aside as {aside}, and a new one begins.")


def storable(value: Any) -> Any:
    """A text that SQLite can hold: what is half of a character, which JSON may hold, is written as its escape."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def never_in_the_way(fallback: Callable[[], Any]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Begin a new file when the old one is bad; do without when that does not help either."""

    def decorate(work: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(work)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                try:
                    return work(*args, **kwargs)
                except sqlite3.DatabaseError as error:
                    if not _bad_file(error):
                        raise
                    _set_aside()
                    return work(*args, **kwargs)
            except (sqlite3.OperationalError, OSError) as error:
                _without(error)
                return cast("T", fallback())

        return guarded

    return decorate


@never_in_the_way(lambda: None)
def saw(views: list[dict[str, Any]], account: str | None = None, patience: float = PATIENCE_S) -> None:
    """Sessions that exist, as their tags say."""
    if not views:
        return
    with closing(connect(patience)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for view in views:
            connection.execute(
                "INSERT INTO sessions (name, linode_id, account, plan, region, model, owner, created, hourly)"
                " VALUES (:name, :linode_id, :account, :plan, :region, :model, :owner, :created, :hourly)"
                " ON CONFLICT (linode_id) DO UPDATE SET account = coalesce(excluded.account, account), model = excluded.model,"
                " ended = NULL",
                {
                    key: storable(value)
                    for key, value in {**view, "name": view["name"] or view["label"], "account": account}.items()
                },
            )
        connection.execute("COMMIT")


@never_in_the_way(lambda: None)
def ended(
    linode_id: int, hours: int | None, paid: float | None, at: str | None = None, idle_s: float | None = None
) -> None:
    """It is gone, ``at`` a time like all of them here; now when it is not said. ``idle_s``: seconds since its last token then."""
    with closing(connect(PATIENCE_S)) as connection:
        connection.execute(
            "UPDATE sessions SET ended = coalesce(?, strftime('%Y-%m-%dT%H:%M:%SZ', 'now')), hours = ?, cost = ?,"
            " idle_s = coalesce(?, idle_s) WHERE linode_id = ?",
            (at, hours, paid, idle_s, linode_id),
        )


@never_in_the_way(lambda: None)
def ran(session: str, command: str, started: float, exit_code: int, changed: bool | None, message: str | None) -> None:
    with closing(connect(PATIENCE_S)) as connection:
        connection.execute(
            "INSERT INTO runs (session, command, started, seconds, exit_code, changed, message) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (storable(session), command, started, time.time() - started, exit_code, changed, storable(message)),
        )


def healing(session: str, started: float, report: dict[str, Any] | None) -> bool:
    """What came of a run of healing, as its playbook reports it; whether a rung was taken, which a bare acknowledgement does not."""
    if not report or not (report["attempt"] and report["step"]):
        return False
    code = 0 if report["outcome"] == "healed" else EXIT_CODES["unhealthy"]
    ran(session, "heal", started, code, True, report["step"]["rung"])
    return True


@never_in_the_way(list)
def known(name: str | None = None) -> list[dict[str, Any]]:
    """Recorded sessions, newest first."""
    with closing(connect()) as connection:
        rows = connection.execute(
            "SELECT * FROM sessions WHERE ?1 IS NULL OR name = ?1 ORDER BY id DESC", (storable(name),)
        ).fetchall()
    return [dict(row) for row in rows]


@never_in_the_way(list)
def this_month() -> list[dict[str, Any]]:
    """What the account does not tell of sessions that existed this month (UTC): above all what those that are gone cost."""
    start = format_time(month_start(int(time.time())))
    with closing(connect()) as connection:
        rows = connection.execute(
            "SELECT linode_id, account, created, ended, hourly FROM sessions WHERE ended IS NULL OR ended >= ?",
            (start,),
        ).fetchall()
    return [dict(row) for row in rows]


@never_in_the_way(list)
def heals() -> list[dict[str, Any]]:
    """How often something was done to heal a session, by ``session`` and whether it ``healed``."""
    with closing(connect()) as connection:
        rows = connection.execute(
            "SELECT session, exit_code = 0 AS healed, count(*) AS times FROM runs WHERE command = 'heal' AND changed"
            " AND message IS NOT NULL GROUP BY session, exit_code = 0 ORDER BY session"
        ).fetchall()
    return [{**dict(row), "healed": bool(row["healed"])} for row in rows]


@never_in_the_way(lambda: None)
def refused(session: str, attempt: dict[str, Any]) -> None:
    """A place that was tried for a VM, in vain: ``plan``, ``region``, ``outcome`` and ``reason``."""
    with closing(connect(PATIENCE_S)) as connection:
        connection.execute(
            "INSERT INTO attempts (session, at, plan, region, outcome, reason) VALUES (?, ?, ?, ?, ?, ?)",
            (
                storable(session),
                time.time(),
                *(storable(str(attempt.get(key) or "")) for key in ("plan", "region", "outcome")),
                storable(attempt.get("reason")),
            ),
        )


# An `up` that is asked for later than that is another one.
_SAME_UP_S = 12 * 3600.0


@never_in_the_way(list)
def refused_before(session: str) -> list[dict[str, Any]]:
    """What runs of this `up` that were interrupted or found no place have tried in vain, oldest first: since one succeeded."""
    with closing(connect()) as connection:
        rows = connection.execute(
            "SELECT at, plan, region, outcome, reason FROM attempts WHERE session = ?1 AND at > ?2 AND at > coalesce((SELECT"
            " max(started + seconds) FROM runs WHERE session = ?1 AND exit_code = 0 AND command IN ('up', 'down')), 0) ORDER BY id",
            (storable(session), time.time() - _SAME_UP_S),
        ).fetchall()
    return [dict(row) for row in rows]


def describe_attempt(attempt: dict[str, Any]) -> str:
    """One try of a place, for people."""
    reason = f" ({attempt['reason']})" if attempt.get("reason") else ""
    return f"{attempt.get('plan')} in {attempt.get('region')}: {attempt.get('outcome')}{reason}"


@never_in_the_way(lambda: None)
def took(plan: str, model: str, phases: dict[str, float]) -> None:
    """How many seconds each phase of bringing a VM up needed."""
    with closing(connect(PATIENCE_S)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            "INSERT INTO phases (plan, model, at, phase, seconds) VALUES (?, ?, ?, ?, ?)",
            [(storable(plan), storable(model), time.time(), name, seconds) for name, seconds in phases.items()],
        )
        connection.execute("COMMIT")


_RUNS_REMEMBERED = 5


@never_in_the_way(dict)
def phases_before(plan: str, model: str) -> dict[str, list[float]]:
    """Seconds of each phase in the newest runs of the same plan and model, newest first."""
    found: dict[str, list[float]] = {}
    with closing(connect()) as connection:
        for row in connection.execute(
            "SELECT phase, seconds FROM phases WHERE plan = ? AND model = ? ORDER BY id DESC LIMIT 200",
            (storable(plan), storable(model)),
        ):
            rows = found.setdefault(row["phase"], [])
            if len(rows) < _RUNS_REMEMBERED:
                rows.append(float(row["seconds"]))
    return found
