"""One command at a time per session on this machine."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from ansible_collections.linode_coder.gpu.plugins.module_utils.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.paths import session_dir


@contextmanager
def session_lock(name: str) -> Iterator[None]:
    """Held until the block ends, or the process does."""
    directory = session_dir(name)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (directory / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Failure(
                "conflict",
                f"Another command is working on session {name!r}.",
                remedy="Wait until it is done.",
                field="session",
                value=name,
            ) from error
        yield
