"""The history takes several processes at once, from the first moment on."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

WRITER = """
import sys, time
from linode_coder import history
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
