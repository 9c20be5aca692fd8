"""Session history: a record of what happened and what it cost, never the truth. A file of this control node, or a team's server.

So no command fails because of it: what cannot be recorded is said once, and a file that is no database any more is set aside.
"""

from __future__ import annotations

import functools
import os
import socket
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import format_time
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.file_lock import file_lock
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import state_dir
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.this_user import this_user
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.budget import month_start
from ansible_collections.linode_coder.gpu.plugins.module_utils.record import rows
from ansible_collections.linode_coder.gpu.plugins.module_utils.record.jobs import healed
from ansible_collections.linode_coder.gpu.plugins.module_utils.record.tables import (
    MIGRATIONS,
    TABLES,
    Connection,
    Unusable,
    newer,
    statements,
    stored,
)

from ..settings.config import only
from .unrecorded import note_once, note_unwritable, recorded

P = ParamSpec("P")
T = TypeVar("T")


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


class _File:
    """The file of this machine as a connection."""

    def __init__(self, patience: float) -> None:
        self._raw = sqlite3.connect(path(), timeout=patience, isolation_level=None)
        self._raw.row_factory = sqlite3.Row

    def execute(self, statement: str, values: Mapping[str, Any] | None = None) -> sqlite3.Cursor:
        return self._raw.execute(statement, stored(values))

    def each(self, statement: str, rows: Iterable[Mapping[str, Any]]) -> None:
        self._raw.executemany(statement, [stored(values) for values in rows])

    @contextmanager
    def writing(self) -> Iterator[None]:
        self.execute("BEGIN IMMEDIATE")
        yield
        self.execute("COMMIT")

    def version(self) -> int:
        return int(self.execute("PRAGMA user_version").fetchone()[0])

    def migrate(self) -> None:
        """Several processes may do this at the same moment."""
        # Not in WAL mode: the last connection to close locks the others out for a moment, and they fail instead of waiting.
        if self.version() < len(MIGRATIONS):
            with self.writing():
                for statement in statements(self.version(), "INTEGER PRIMARY KEY"):
                    self.execute(statement)
                self.execute(f"PRAGMA user_version={len(MIGRATIONS)}")
        if self.version() > len(MIGRATIONS):
            raise newer(self.version())

    def close(self) -> None:
        self._raw.close()


# A server that was away is not asked again at once: a command has more than one thing to record, and a watcher many passes.
_AWAY_S = 60.0
# It may be far away, and what is waited for there is not another process of this machine.
_SERVER_S = 5.0
_away: tuple[float, Unusable] | None = None


def _server(url: str, patience: float) -> Connection:
    global _away
    from ansible_collections.linode_coder.gpu.plugins.module_utils.record import address, postgres

    if _away is not None and time.monotonic() < _away[0] + _AWAY_S:
        raise Unusable(str(_away[1]), away=True)
    try:
        return postgres.connect(address.read_address(url), max(patience, _SERVER_S))
    except Unusable as unusable:
        if unusable.away:
            _away = time.monotonic(), unusable
        raise


def _url() -> str | None:
    """Where the history is, when it is no file of this machine."""
    try:
        return only("history_url").history_url
    except Failure as failure:
        raise Unusable(failure.message.rstrip(".")) from None


def connect(patience: float = QUICK_S) -> Connection:
    """The database, migrated. sqlite3.Error, OSError or Unusable."""
    url = _url()
    if url:
        return _server(url, patience)
    _private()
    connection = _File(0.0 if _locked else patience)
    try:
        connection.migrate()
    except (sqlite3.Error, Unusable):
        connection.close()
        raise
    return connection


# After one wait in vain the rest is tried at once: a command has more than one thing to record.
_locked = False


def _without(error: sqlite3.Error | OSError | Unusable) -> None:
    """Say why this goes unrecorded."""
    global _locked
    if isinstance(error, Unusable):
        note_once(f"the session history cannot be used: {error}.")
    elif isinstance(error, OSError):
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
        for table in TABLES:
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
            except (sqlite3.OperationalError, sqlite3.IntegrityError, OSError, Unusable) as error:
                _without(error)
                return cast("T", fallback())

        return guarded

    return decorate


def _doer() -> rows.Doer:
    return rows.Doer(this_user(), socket.gethostname())


@never_in_the_way(lambda: None)
def write(record: rows.Record, started: float, patience: float = PATIENCE_S) -> None:
    """``started``: when its runs began."""
    if record:
        with closing(connect(patience)) as connection:
            rows.write(connection, record, started, _doer())


def saw(views: list[dict[str, Any]], account: str | None = None, patience: float = PATIENCE_S) -> None:
    """Sessions that exist, as their tags say."""
    write(rows.Record(seen=list(views), account=account), time.time(), patience)


def ended(
    linode_id: int, hours: int | None, paid: float | None, at: str | None = None, idle_s: float | None = None
) -> None:
    """It is gone, ``at`` a time like all of them here; now when it is not said. ``idle_s``: seconds since its last token then."""
    write(rows.Record(ended=[rows.Ended(linode_id, hours, paid, at, idle_s)]), time.time())


def ran(session: str, command: str, started: float, exit_code: int, changed: bool | None, message: str | None) -> None:
    write(rows.Record([rows.Run(session, command, exit_code, changed, message)]), started)


def healing(session: str, started: float, report: dict[str, Any] | None) -> bool:
    """What came of a run of healing, as its playbook reports it; whether a rung was taken, which a bare acknowledgement does not."""
    run = healed(session, report)
    if run is not None:
        write(rows.Record([run]), started)
    return run is not None


_CONDITIONS = {
    "session": "session = :session",
    "command": "command = :command",
    "who": "who = :who",
    "since": "started >= :since",
}


@dataclass(frozen=True)
class Filter:
    """Which runs: those of all that is given. ``since``: seconds since the epoch."""

    session: str | None = None
    command: str | None = None
    who: str | None = None
    since: float | None = None
    failed: bool = False


@never_in_the_way(lambda: None)
def runs(wanted: Filter, limit: int) -> list[dict[str, Any]] | None:
    """Recorded runs, newest first; None, and not an empty list, when the history could not be read."""
    values = {
        name: value
        for name, value in (
            *(("session", wanted.session), ("command", wanted.command), ("who", wanted.who)),
            *(("since", wanted.since), ("limit", limit)),
        )
        if value is not None
    }
    conditions = [_CONDITIONS[name] for name in values if name in _CONDITIONS]
    conditions += ["exit_code <> 0"] if wanted.failed else []
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    with closing(connect(PATIENCE_S)) as connection:
        found = connection.execute(
            "SELECT session, command, started, seconds, exit_code, changed, message, who, control_node FROM runs"  # noqa: S608 - ours
            f"{where} ORDER BY started DESC, id DESC LIMIT :limit",
            values,
        ).fetchall()
    changed = {None: None, 0: False}
    return [{**dict(row), "changed": changed.get(row["changed"], True)} for row in found]


@never_in_the_way(list)
def known(name: str | None = None) -> list[dict[str, Any]]:
    """Recorded sessions, newest first."""
    with closing(connect()) as connection:
        found = connection.execute(
            f"SELECT * FROM sessions {'' if name is None else 'WHERE name = :name'} ORDER BY id DESC",  # noqa: S608 - ours
            {"name": name},
        ).fetchall()
    return [dict(row) for row in found]


@never_in_the_way(list)
def this_month() -> list[dict[str, Any]]:
    """What the account does not tell of sessions that existed this month (UTC): above all what those that are gone cost."""
    start = format_time(month_start(int(time.time())))
    with closing(connect()) as connection:
        found = connection.execute(
            "SELECT linode_id, account, created, ended, hourly FROM sessions WHERE ended IS NULL OR ended >= :start"
            " ORDER BY id",
            {"start": start},
        ).fetchall()
    return [dict(row) for row in found]


@never_in_the_way(list)
def heals() -> list[dict[str, Any]]:
    """How often something was done to heal a session, by ``session`` and whether it ``healed``."""
    with closing(connect()) as connection:
        found = connection.execute(
            "SELECT session, exit_code = 0 AS healed, count(*) AS times FROM runs WHERE command = 'heal' AND changed = 1"
            " AND message IS NOT NULL GROUP BY session, exit_code = 0"
        ).fetchall()
    # Sorted here: the order of texts is not the same in every database.
    return sorted(
        ({**dict(row), "healed": bool(row["healed"])} for row in found), key=lambda row: (row["session"], row["healed"])
    )


@never_in_the_way(lambda: None)
def refused(session: str, attempt: dict[str, Any]) -> None:
    """A place that was tried for a VM, in vain: ``plan``, ``region``, ``outcome`` and ``reason``."""
    with closing(connect(PATIENCE_S)) as connection:
        connection.execute(
            "INSERT INTO attempts (session, at, plan, region, outcome, reason)"
            " VALUES (:session, :at, :plan, :region, :outcome, :reason)",
            {
                **{key: str(attempt.get(key) or "") for key in ("plan", "region", "outcome")},
                **{"session": session, "at": time.time(), "reason": attempt.get("reason")},
            },
        )


# An `up` that is asked for later than that is another one.
_SAME_UP_S = 12 * 3600.0


@never_in_the_way(list)
def refused_before(session: str) -> list[dict[str, Any]]:
    """What runs of this `up` that were interrupted or found no place have tried in vain, oldest first: since one succeeded."""
    with closing(connect()) as connection:
        found = connection.execute(
            "SELECT at, plan, region, outcome, reason FROM attempts WHERE session = :session AND at > :since AND at >"
            " coalesce((SELECT max(started + seconds) FROM runs WHERE session = :session AND exit_code = 0"
            " AND command IN ('up', 'down')), 0) ORDER BY id",
            {"session": session, "since": time.time() - _SAME_UP_S},
        ).fetchall()
    return [dict(row) for row in found]


def describe_attempt(attempt: dict[str, Any]) -> str:
    """One try of a place, for people."""
    reason = f" ({attempt['reason']})" if attempt.get("reason") else ""
    return f"{attempt.get('plan')} in {attempt.get('region')}: {attempt.get('outcome')}{reason}"


@never_in_the_way(lambda: None)
def took(plan: str, model: str, phases: dict[str, float]) -> None:
    """How many seconds each phase of bringing a VM up needed."""
    with closing(connect(PATIENCE_S)) as connection, connection.writing():
        connection.each(
            "INSERT INTO phases (plan, model, at, phase, seconds) VALUES (:plan, :model, :at, :phase, :seconds)",
            [
                {"plan": plan, "model": model, "at": time.time(), "phase": name, "seconds": seconds}
                for name, seconds in phases.items()
            ],
        )


_RUNS_REMEMBERED = 5


@never_in_the_way(dict)
def phases_before(plan: str, model: str) -> dict[str, list[float]]:
    """Seconds of each phase in the newest runs of the same plan and model, newest first."""
    found: dict[str, list[float]] = {}
    with closing(connect()) as connection:
        for row in connection.execute(
            "SELECT phase, seconds FROM phases WHERE plan = :plan AND model = :model ORDER BY id DESC LIMIT 200",
            {"plan": plan, "model": model},
        ).fetchall():
            of_it = found.setdefault(row["phase"], [])
            if len(of_it) < _RUNS_REMEMBERED:
                of_it.append(float(row["seconds"]))
    return found
