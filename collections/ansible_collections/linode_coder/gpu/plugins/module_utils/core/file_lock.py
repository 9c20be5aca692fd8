# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One process at a time, among those of a machine: a lock that goes with its holder, however that one ends, and with the boot."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# How often a lock is tried that another process has.
_TRY_S = 0.05


def open_lock(path: str | Path) -> int:
    """A descriptor of the lock's file, which is made when it is missing, as is its directory, for their owner alone.

    One that is there can be held on a disk that takes nothing: it is then open for reading only.
    """
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), mode=0o700, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        try:
            return os.open(path, os.O_RDONLY)
        except OSError:
            raise error from None


def take(descriptor: int, patience: float | None = None, shared: bool = False) -> bool:
    """Whether the lock is held now: tried for ``patience`` seconds, 0 for once, None for as long as it takes.

    Held until the descriptor, with all that were inherited from it, is closed. Taking it again with another ``shared`` changes
    it, and others may get it in between.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    if patience is None:
        fcntl.flock(descriptor, kind)
        return True
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_TRY_S)
        else:
            return True


@contextmanager
def file_lock(path: str | Path) -> Iterator[int]:
    """Wait until nobody else holds the lock, and hold it until the block ends. The descriptor of its file is for what is kept in
    it; OSError when there is no file to be had.
    """
    descriptor = open_lock(path)
    try:
        take(descriptor)
        yield descriptor
    finally:
        os.close(descriptor)
