# SPDX-License-Identifier: GPL-3.0-or-later
"""A lock is held by one process, and goes with it however that one ends."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.file_lock import file_lock, open_lock, take

_HOLD = """
import fcntl, sys
lock = open(sys.argv[1], "a")
fcntl.flock(lock, fcntl.LOCK_SH if sys.argv[2] == "shared" else fcntl.LOCK_EX)
print("", flush=True)
sys.stdin.read()
"""


@contextmanager
def another(path: Path, kind: str = "alone") -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds the lock."""
    command = [sys.executable, "-c", _HOLD, str(path), kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout and process.stdout.readline()
            yield process
        finally:
            process.kill()


@contextmanager
def opened(path: Path) -> Iterator[int]:
    descriptor = open_lock(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def test_what_is_missing_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "run" / "lock"
    with file_lock(path) as descriptor:
        assert os.path.samestat(os.fstat(descriptor), path.stat())
        os.pwrite(descriptor, b"kept", 0)
    modes = [stat.S_IMODE(each.stat().st_mode) for each in (path, path.parent)]
    assert (path.read_text(), modes) == ("kept", [0o600, 0o700])
    with file_lock(path) as descriptor:
        assert os.read(descriptor, 9) == b"kept"


def test_one_that_another_process_holds_is_not_had(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with another(path) as process, opened(path) as descriptor:
        assert not take(descriptor, 0) and not take(descriptor, 0, shared=True)
        began = time.monotonic()
        assert not take(descriptor, 0.2)
        assert time.monotonic() - began >= 0.2
        process.kill()
        process.wait()
        assert take(descriptor, 0)


@pytest.mark.parametrize("patience", [None, 60.0])
def test_it_comes_when_its_holder_is_killed(tmp_path: Path, patience: float | None) -> None:
    path = tmp_path / "lock"
    with another(path) as process, opened(path) as descriptor:
        assert not take(descriptor, 0)
        timer = threading.Timer(0.2, process.kill)
        timer.start()
        assert take(descriptor, patience)
        timer.join()


def test_several_may_share_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with another(path, "shared"), opened(path) as descriptor:
        assert take(descriptor, 0, shared=True) and not take(descriptor, 0)
        # Trying for more has not lost what was held, or has: it can be had again.
        assert take(descriptor, 0, shared=True)


def test_it_ends_with_the_block_also_when_that_raises(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with pytest.raises(KeyboardInterrupt), file_lock(path), opened(path) as other:
        assert not take(other, 0)
        raise KeyboardInterrupt
    with opened(path) as descriptor:
        assert take(descriptor, 0)


def test_programs_that_are_started_do_not_keep_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with file_lock(path):
        started = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    try:
        with opened(path) as descriptor:
            assert take(descriptor, 0)
    finally:
        started.communicate()


def test_one_that_is_there_is_held_on_a_disk_that_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    really = os.open

    def read_only(name: str | Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_RDWR:
            raise OSError(errno.EROFS, "Read-only file system")
        return really(name, flags, mode)

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(OSError, match="Read-only"):
        open_lock(path)
    path.write_text("")
    with file_lock(path), opened(path) as other:
        assert not take(other, 0)


def test_a_file_in_place_of_its_directory_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises((FileExistsError, NotADirectoryError)), file_lock(tmp_path / "run" / "lock"):
        raise AssertionError("nothing is held")
