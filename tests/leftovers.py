# SPDX-License-Identifier: GPL-3.0-or-later
"""What a test may not leave behind: VMs with half of their tags, secrets in files, processes, namespaces, mounts."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from ansible_collections.linode_coder.gpu.plugins.module_utils.session import tags as session_tags
from linode_api4 import LinodeClient

NAMESPACES = ("mnt", "net", "pid", "uts", "ipc")


class Processes:
    """Those of one sandbox: the server's descendants, and whatever runs with its home."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._started: dict[int, str] = {}  # by pid, since a number is used again
        # Held open: the number of a namespace that has ended goes to the next one, which may be another sandbox's.
        self._namespaces: dict[str, int] = {}

    def remember(self, server: int) -> None:
        """Note what runs now, and in which namespaces; call it before the server is stopped."""
        own = _namespaces(os.getpid())
        for pid in _descendants(server):
            self._started[pid] = _start_time(pid)
            for name in _namespaces(pid) - own - set(self._namespaces):
                with suppress(OSError):  # it has ended
                    held = os.open(f"/proc/{pid}/ns/{name.partition(':')[0]}", os.O_RDONLY)
                    self._namespaces[name] = held

    def assert_gone(self) -> None:
        """Fail when something still runs, or is mounted; what ends by itself (an ssh whose host is gone) has 30 s for it."""
        until = time.monotonic() + 30
        while (left := self._left()) and time.monotonic() < until:
            time.sleep(0.2)
        for held in self._namespaces.values():
            os.close(held)
        assert not left, left
        assert str(self._home) not in Path("/proc/self/mounts").read_text()

    def _left(self) -> list[str]:
        left = []
        for pid in _pids():
            ours = _start_time(pid) == self._started.get(pid, "never")
            inside = bool(_namespaces(pid) & set(self._namespaces))
            named = str(self._home).encode() in _read(pid, "cmdline")
            started_for = f"LINODE_CODER_HOME={self._home}".encode() in _read(pid, "environ").split(b"\0")
            if pid != os.getpid() and (ours or inside or named or started_for):
                left.append(f"{pid}: " + _read(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace"))
        return left


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _read(pid: int, name: str) -> bytes:
    """A file of its /proc; nothing when it has ended."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def _stat(pid: int) -> list[str]:
    """State, parent and so on: what follows the name, which may hold anything."""
    return _read(pid, "stat").decode(errors="replace").rpartition(")")[2].split()


def _start_time(pid: int) -> str:
    stat = _stat(pid)
    return stat[19] if stat and stat[0] != "Z" else ""


def _namespaces(pid: int) -> set[str]:
    found = set()
    for name in NAMESPACES:
        try:
            found.add(str(Path(f"/proc/{pid}/ns/{name}").readlink()))
        except OSError:
            continue
    return found


def _descendants(root: int) -> set[int]:
    parents = {pid: int(stat[1]) for pid in _pids() if (stat := _stat(pid))}
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def assert_tags_complete(url: str, token: str) -> None:
    """Every VM that carries our tag tells its whole session: what nobody can read nobody deletes in time."""
    # In one page: others may still go meanwhile, which linode_api4 does not take between two.
    client = LinodeClient(token, base_url=f"{url}v4", retry_rate_limit_interval=1.0, retry_max=60, page_size=500)
    for row in client.linode.instances():
        if "linode-coder" in row.tags:
            assert session_tags.decode(row.tags).complete, (row.label, row.tags)


def assert_secret_nowhere(secret: str, *directories: Path) -> None:
    """In no file, whatever its name; what lies inside a VM is the VM's, and a secret that it was given belongs there."""
    for directory in directories:
        for path in directory.rglob("*"):
            if path.is_file() and not path.is_symlink() and "sandbox/hosts" not in str(path):
                assert secret.encode() not in path.read_bytes(), path
