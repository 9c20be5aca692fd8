"""What is known on this machine of a session's tunnel: where it leads, who keeps it and how it is.

All of it lies in the session's directory, which only its owner enters, or in the runtime directory where a home takes no files: a
tunnel needs none. A file that is damaged counts as none.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypedDict

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.atomic_file import replace_file
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.file_lock import file_lock, take
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import runtime_dir, session_dir, state_dir

LOG_LIMIT = 256 * 1024
# A keeper says who it is every two seconds.
CLAIM_S = 5.0
# Bytes that a tunnel's files may take, but for the log.
_ROOM = 64 * 1024


class Target(TypedDict):
    """What a keeper is started for. ``port`` is the local one, ``host_keys`` are OpenSSH lines."""

    port: int
    linode_id: int
    address: str
    host_keys: list[str]


class State(TypedDict):
    """How a tunnel is, as its keeper wrote it. Times are Unix seconds.

    ``why`` tells of the last loss, also once the tunnel is up again; ``down_s`` is how long that was. ``looks`` counts the
    times that the keeper was asked to look.
    """

    up: bool
    since: float
    why: str | None
    down_s: float | None
    host_key: bool
    looks: int
    ssh: int | None
    linode_id: int


def runtime_path(name: str, suffix: str) -> Path:
    """A socket of the session, in a directory that nobody else can enter."""
    directory = runtime_dir()
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise Failure(
            "config",
            f"{directory} cannot be made, which tunnels need.",
            cause=error.strerror,
            remedy="Set XDG_RUNTIME_DIR to a directory of yours, in memory if possible.",
        ) from error
    for path in (directory, directory.parent):
        if path.stat().st_uid != os.getuid():
            raise Failure(
                "config", f"{path} belongs to somebody else.", remedy="Set XDG_RUNTIME_DIR to a directory of yours."
            )
    return directory / f"{name}.{suffix}"


def _stand_in(name: str) -> Path:
    """For the session's directory, when that takes no files."""
    return runtime_path(name, "tunnel")


def drop_stand_in(name: str) -> None:
    shutil.rmtree(_stand_in(name), ignore_errors=True)


def tunnel_directory(name: str) -> Path:
    stand_in = _stand_in(name)
    return stand_in if stand_in.is_dir() else session_dir(name)


def known_tunnels() -> list[str]:
    """Sessions that have, or had, a tunnel."""
    found = {path.stem for path in runtime_dir().glob("*.tunnel")}
    return sorted(found | {path.parent.name for path in (state_dir() / "sessions").glob("*/tunnel.json")})


def target_file(name: str) -> Path:
    return tunnel_directory(name) / "tunnel.json"


def state_file(name: str) -> Path:
    return tunnel_directory(name) / "tunnel-state.json"


def keeper_file(name: str) -> Path:
    """Locked by the keeper for as long as it lives, with its process number in it."""
    return tunnel_directory(name) / "tunnel-keeper.lock"


def log_file(name: str) -> Path:
    return tunnel_directory(name) / "tunnel.log"


def read_target(name: str) -> Target | None:
    found = _read(target_file(name))
    try:
        return Target(
            port=_port(found["port"]),
            linode_id=int(found["linode_id"]),
            address=str(found.get("address", "")),
            host_keys=[str(key) for key in found.get("host_keys", [])],
        )
    except (LookupError, TypeError, ValueError, OverflowError):
        return None


def _port(value: Any) -> int:
    port = int(value)
    if not 0 < port < 65536:
        raise ValueError(port)
    return port


def read_state(name: str) -> State | None:
    found = _read(state_file(name))
    try:
        return State(
            up=found["up"] is True,
            since=float(found["since"]),
            why=None if found["why"] is None else str(found["why"]),
            down_s=None if found["down_s"] is None else float(found["down_s"]),
            host_key=found["host_key"] is True,
            looks=int(found["looks"]),
            ssh=None if found["ssh"] is None else int(found["ssh"]),
            linode_id=int(found["linode_id"]),
        )
    except (LookupError, TypeError, ValueError, OverflowError):
        return None


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def write(path: Path, document: Target | State) -> None:
    """Whole or not at all, for its owner only."""
    replace_file(path, json.dumps(document))


def keeper(name: str, patience: float = 0.0) -> int | None:
    """The process that keeps the tunnel, None when there is none: only a living one holds the lock.

    One that has not said who it is, or whose word was damaged, says so within ``patience`` seconds.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            with keeper_file(name).open() as file:
                if take(file.fileno(), 0):
                    return None
                with suppress(ValueError):
                    return int(file.read())
        except OSError:
            return None
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.05)


def stop_keeper(name: str) -> bool:
    """Whether there was one. It takes its ssh with it."""
    pid, deadline = keeper(name, CLAIM_S), time.monotonic() + 10
    if pid is None:
        return False
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        # One that was stopped would not hear it.
        os.kill(pid, signal.SIGCONT)
    while keeper(name) == pid:
        if time.monotonic() > deadline:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    return True


def _takes_files(directory: Path) -> bool:
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (directory / "tunnel-turn.lock").open("ab") as file:
            # A full disk still takes a file, and the lock's own page again.
            file.write(bytes(_ROOM))
            file.flush()
            file.truncate(0)
    except OSError:
        return False
    return True


@contextmanager
def turn(name: str) -> Iterator[None]:
    """One command at a time opens or closes a tunnel."""
    if not _takes_files(tunnel_directory(name)):
        # Nor could its keeper say any more how it is.
        stop_keeper(name)
        _stand_in(name).mkdir(exist_ok=True, mode=0o700)
    with file_lock(tunnel_directory(name) / "tunnel-turn.lock"):
        yield
