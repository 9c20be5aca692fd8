"""Session history of this control node: a record of what happened and what it cost, never the truth."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.paths import state_dir

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
)


def connect() -> sqlite3.Connection:
    """The database, migrated. Several processes may do this at the same moment."""
    directory = state_dir()
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    connection = sqlite3.connect(directory / "history.sqlite3", timeout=20, isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode=WAL")
    if connection.execute("PRAGMA user_version").fetchone()[0] < len(MIGRATIONS):
        connection.execute("BEGIN IMMEDIATE")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        for script in MIGRATIONS[version:]:
            for statement in script.split(";"):
                if statement.strip():
                    connection.execute(statement)
        connection.execute(f"PRAGMA user_version={len(MIGRATIONS)}")
        connection.execute("COMMIT")
    return connection


def saw(views: list[dict[str, Any]], account: str | None = None) -> None:
    """Sessions that exist, as their tags say."""
    with closing(connect()) as connection:
        for view in views:
            connection.execute(
                "INSERT INTO sessions (name, linode_id, account, plan, region, model, owner, created, hourly)"
                " VALUES (:name, :linode_id, :account, :plan, :region, :model, :owner, :created, :hourly)"
                " ON CONFLICT (linode_id) DO UPDATE SET account = coalesce(excluded.account, account), model = excluded.model,"
                " ended = NULL",
                {**view, "name": view["name"] or view["label"], "account": account},
            )


def ended(linode_id: int, hours: int, cost: float | None) -> None:
    with closing(connect()) as connection:
        connection.execute(
            "UPDATE sessions SET ended = strftime('%Y-%m-%dT%H:%M:%SZ', 'now'), hours = ?, cost = ? WHERE linode_id = ?",
            (hours, cost, linode_id),
        )


def ran(session: str, command: str, started: float, exit_code: int, changed: bool | None, message: str | None) -> None:
    with closing(connect()) as connection:
        connection.execute(
            "INSERT INTO runs (session, command, started, seconds, exit_code, changed, message) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (session, command, started, time.time() - started, exit_code, changed, message),
        )


def known(name: str | None = None) -> list[dict[str, Any]]:
    """Recorded sessions, newest first."""
    with closing(connect()) as connection:
        rows = connection.execute(
            "SELECT * FROM sessions WHERE ?1 IS NULL OR name = ?1 ORDER BY id DESC", (name,)
        ).fetchall()
    return [dict(row) for row in rows]
