# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of the history, in SQL that SQLite and PostgreSQL read alike: migrations, and how values and errors pass.

SQLite takes a BIGINT, a DOUBLE PRECISION and a BYTEA as it takes its own names; PostgreSQL's own REAL and INTEGER are too small for
seconds since the epoch and for counts of tokens. Statements name their values, as ``:name``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

# ``{id}`` is a number that the database gives itself.
MIGRATIONS = (
    """
    CREATE TABLE sessions (
        id {id}, name TEXT NOT NULL, linode_id BIGINT NOT NULL UNIQUE, account TEXT, plan TEXT, region TEXT, model TEXT,
        owner TEXT, created TEXT, hourly DOUBLE PRECISION, ended TEXT, hours BIGINT, cost DOUBLE PRECISION
    );
    CREATE TABLE runs (
        id {id}, session TEXT NOT NULL, command TEXT NOT NULL, started DOUBLE PRECISION NOT NULL,
        seconds DOUBLE PRECISION NOT NULL, exit_code BIGINT NOT NULL, changed BIGINT, message TEXT
    );
    """,
    """
    CREATE TABLE speeds (
        id {id}, spec TEXT NOT NULL, session TEXT NOT NULL, measured DOUBLE PRECISION NOT NULL,
        stream_tps DOUBLE PRECISION NOT NULL, baseline BIGINT NOT NULL
    );
    """,
    """
    CREATE TABLE attempts (
        id {id}, session TEXT NOT NULL, at DOUBLE PRECISION NOT NULL, plan TEXT NOT NULL, region TEXT NOT NULL,
        outcome TEXT NOT NULL, reason TEXT
    );
    CREATE TABLE phases (
        id {id}, plan TEXT NOT NULL, model TEXT NOT NULL, at DOUBLE PRECISION NOT NULL, phase TEXT NOT NULL,
        seconds DOUBLE PRECISION NOT NULL
    );
    """,
    # The document of each performance run, compressed.
    """
    CREATE TABLE perf_runs (
        id {id}, run TEXT NOT NULL UNIQUE, session TEXT NOT NULL, spec TEXT NOT NULL, severity TEXT NOT NULL,
        summary TEXT NOT NULL, baseline BIGINT NOT NULL, head TEXT NOT NULL, document BYTEA NOT NULL
    );
    CREATE INDEX perf_runs_of_spec ON perf_runs (spec);
    """,
    """
    ALTER TABLE sessions ADD COLUMN idle_s DOUBLE PRECISION;
    DROP TABLE speeds;
    """,
    # What an engine had counted at the last look of a month.
    """
    CREATE TABLE tokens (
        linode_id BIGINT NOT NULL, engine BIGINT NOT NULL, month TEXT NOT NULL, prompt BIGINT NOT NULL,
        generated BIGINT NOT NULL, at BIGINT NOT NULL, PRIMARY KEY (linode_id, engine, month)
    );
    """,
    # Who did it, and on which machine or in which job.
    """
    ALTER TABLE runs ADD COLUMN who TEXT;
    ALTER TABLE runs ADD COLUMN control_node TEXT;
    """,
)
TABLES = ("sessions", "runs", "attempts", "phases", "perf_runs", "tokens")


def statements(version: int, own_id: str) -> Iterator[str]:
    """What brings the tables of a version to the newest. ``own_id``: how a number that the database gives is declared there."""
    for script in MIGRATIONS[version:]:
        for statement in script.replace("{id}", own_id).split(";"):
            if statement.strip():
                yield statement


class Unusable(Exception):
    """Why the history cannot be used, as one sentence without its end. ``away``: the server was not there, or did not answer."""

    def __init__(self, message: str, away: bool = False) -> None:
        super().__init__(message)
        self.away = away


def newer(version: int) -> Unusable:
    return Unusable(
        f"a newer linode-coder wrote it (version {version}, this one knows {len(MIGRATIONS)}), so nothing is recorded"
    )


class Found(Protocol):
    """The rows of a query: mappings of their columns."""

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...


class Connection(Protocol):
    def execute(self, statement: str, values: Mapping[str, Any] | None = None) -> Found: ...

    def each(self, statement: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """The same with each of the rows, in as few trips as the database allows."""

    def writing(self) -> AbstractContextManager[None]:
        """A transaction in which nobody else writes."""

    def close(self) -> None: ...


def storable(value: Any) -> Any:
    """What both databases hold: a zero character and half of a character, which JSON may hold, are written as their escapes; a
    truth is a number. Also of types that are derived of these."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
    if isinstance(value, int):
        return int(value)
    return float(value) if isinstance(value, float) else value


def stored(values: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: storable(value) for name, value in (values or {}).items()}
