"""The account's objects in memory, written through to one SQLite file so that they survive a killed server."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

from .envelope import Json

Key = int | str


class Store:
    """Tables of JSON records by key, in insertion order. `put` and `drop` are durable after the next `flush`.

    Durable against a killed process, not against power loss: the sandbox is scratch, so nothing waits for the disk.
    """

    def __init__(self, path: Path | None) -> None:
        self._tables: dict[str, dict[Key, Json]] = {}
        self._dirty: dict[tuple[str, Key], None] = {}
        self._db: sqlite3.Connection | None = None
        if path is not None:
            self._open(path)

    def _open(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS record (kind TEXT NOT NULL, key NOT NULL, body TEXT NOT NULL,"
            " PRIMARY KEY (kind, key)) WITHOUT ROWID"
        )
        for kind, key, body in self._db.execute("SELECT kind, key, body FROM record ORDER BY kind, key"):
            self.table(kind)[key] = json.loads(body)

    def table(self, kind: str) -> dict[Key, Json]:
        """Live view of one kind; change records through `put` and `drop` only."""
        return self._tables.setdefault(kind, {})

    def kinds(self) -> list[str]:
        """Of the tables that there are."""
        return list(self._tables)

    def put(self, kind: str, key: Key, record: Json) -> None:
        self.table(kind)[key] = record
        self._dirty[kind, key] = None

    def drop(self, kind: str, key: Key) -> None:
        if self.table(kind).pop(key, None) is not None:
            self._dirty[kind, key] = None

    def next_id(self, kind: str) -> int:
        """A number never given to an object of this kind before, also not to one that is gone."""
        counters = self.table("counter")
        number = int(counters.get(kind, {"next": _FIRST.get(kind, 1001)})["next"])
        self.put("counter", kind, {"next": number + 1})
        return number

    def flush(self) -> None:
        """Write what changed since the last flush, all of it or nothing."""
        if not self._dirty:
            return
        dirty, self._dirty = self._dirty, {}
        if self._db is None:
            return
        rows: list[tuple[str, Any, str]] = []
        gone: list[tuple[str, Any]] = []
        for kind, key in dirty:
            record = self._tables.get(kind, {}).get(key)
            if record is None:
                gone.append((kind, key))
            else:
                rows.append((kind, key, json.dumps(record)))
        self._db.execute("BEGIN")
        self._db.executemany("INSERT OR REPLACE INTO record VALUES (?, ?, ?)", rows)
        self._db.executemany("DELETE FROM record WHERE kind = ? AND key = ?", gone)
        self._db.execute("COMMIT")

    def clear(self) -> None:
        """Forget every object; numbers already given stay given."""
        for kind, table in self._tables.items():
            if kind != "counter":
                for key in list(table):
                    self.drop(kind, key)
        self.flush()

    def close(self) -> None:
        self.flush()
        if self._db is not None:
            self._db.close()
            self._db = None


# Numbers look like the real ones: eight digits for instances, nine for events.
_FIRST = {
    "instance": 70_000_001,
    "event": 900_000_001,
    "disk": 130_000_001,
    "config": 80_000_001,
    "firewall": 2_000_001,
    "firewall_device": 3_000_001,
    "volume": 5_000_001,
    "interface": 400_001,
    "image": 30_000_001,
}
