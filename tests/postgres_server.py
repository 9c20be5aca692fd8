# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL server of Debian's, for one test run: a cluster of its own below a temporary directory, on a free port of loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.free_port import free_port

PASSWORD = "s3cret-of-coder"


@dataclass(frozen=True)
class PostgresServer:
    port: int
    place: Path
    programs: Path
    before: tuple[str, ...]

    def url(self, database: str, user: str = "coder", password: str = PASSWORD) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def sql(self, statement: str, database: str = "postgres") -> str:
        """As the superuser, who comes through a socket that nobody else opens."""
        return self._run(
            "psql", "-X", "-q", "-A", "-t", "-h", str(self.place), "-p", str(self.port), "-d", database, "-c", statement
        )

    def new_database(self, name: str) -> str:
        self.sql(f"CREATE DATABASE {name} OWNER coder")
        return self.url(name)

    def stop(self) -> None:
        """At once, as if it were killed."""
        self._run("pg_ctl", "-D", str(self.place / "data"), "-m", "immediate", "-w", "stop")

    def start(self) -> None:
        options = f"-c listen_addresses=127.0.0.1 -p {self.port} -k {self.place} -c fsync=off -c ssl=on"
        log = str(self.place / "log")
        self._run("pg_ctl", "-D", str(self.place / "data"), "-l", log, "-o", options, "-w", "start")

    def pid(self) -> int:
        return int(self._run("cat", str(self.place / "data/postmaster.pid")).splitlines()[0])

    def _run(self, program: str, *arguments: str) -> str:
        path = self.programs / program
        command = [*self.before, str(path) if path.exists() else program, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd="/", check=False)
        if done.returncode:
            raise RuntimeError(f"{command}: {done.stdout}{done.stderr}")
        return done.stdout.strip()


def programs() -> Path | None:
    """Where the newest server's are; None when none is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


@contextmanager
def postgres_server(at: Path) -> Iterator[PostgresServer]:
    """Users ``coder``, who owns databases, and ``reader``, who only reads; both have to say the password. The server refuses to be
    root, so that it is Debian's user of it where this is."""
    place = Path(tempfile.mkdtemp(prefix="lc-pg-", dir="/tmp"))
    before: tuple[str, ...] = ()
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(place, user.pw_uid, user.pw_gid)
        before = ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")
    server = PostgresServer(free_port(), place, at, before)
    try:
        server._run(
            "initdb",
            "-D",
            str(place / "data"),
            "-A",
            "scram-sha-256",
            "--auth-local=peer",
            "-N",
            "-U",
            "postgres" if before else pwd.getpwuid(os.geteuid()).pw_name,
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
        )
        # Which nobody knows.
        certificate = (
            "-x509",
            "-nodes",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-subj",
            "/CN=nobody",
        )
        data = place / "data"
        server._run(
            "openssl", "req", *certificate, "-keyout", str(data / "server.key"), "-out", str(data / "server.crt")
        )
        server.start()
        try:
            server.sql(f"CREATE ROLE coder LOGIN PASSWORD '{PASSWORD}'")
            server.sql(f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}' IN ROLE pg_read_all_data")
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(place, ignore_errors=True)
