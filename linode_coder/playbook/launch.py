"""Run a command that ends with the process that started it, and that holds the lock of the session it works on.

Run as a file, before anything else of this package is imported: PARENT LOCK COMMAND [ARGUMENT...], LOCK may be empty. A parent
that was killed can neither stop the command nor hold its lock any more; so the command gets an interrupt when its parent goes
(on Linux), and the lock is open in it and in all that it forks.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def _end_with_parent() -> None:
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    # An interrupt, not SIGKILL: ansible-playbook passes it on to its workers, which would go on otherwise.
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0):
        print(f"note: prctl: {os.strerror(ctypes.get_errno())}", file=sys.stderr)


def _hold(lock: str) -> None:
    """Shared, as the parent holds it; kept open from here on."""
    try:
        file = os.open(lock, os.O_RDWR | os.O_APPEND)
    except OSError:
        file = os.open(lock, os.O_RDONLY)  # a lock needs no more
    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    os.set_inheritable(file, True)


def main(parent: int, lock: str, command: list[str]) -> None:
    _end_with_parent()
    if lock:
        _hold(lock)
    # It may have gone before the lines above; then nothing was asked for any more.
    if os.getppid() != parent:
        sys.exit("What started this is gone.")
    os.execvp(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
