# SPDX-License-Identifier: GPL-3.0-or-later
"""What the arguments of processes show while something runs: anybody on the machine may read them."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import TracebackType

_ROUND_S = 0.003
# A process shows what it was forked from until it has begun its own program.
_SETTLED_ROUNDS = 60


class Arguments:
    """All that processes showed between entering and leaving: ``seen``, one line for each, its arguments joined by spaces.

    A process that begins and ends between two rounds, a few thousandths of a second, may be missed; what waits for a network, as
    ssh and Ansible do, is not.
    """

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Arguments:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def naming(self, *words: str) -> list[str]:
        """Those that hold one of the words."""
        return sorted(line[:2000] for line in self.seen if any(word in line for word in words))

    def _look(self) -> None:
        rounds: dict[str, int] = {}
        while not self._ended.wait(_ROUND_S):
            here = {name for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208 - every few milliseconds
            rounds = {name: rounds.get(name, 0) + 1 for name in here}
            for name, count in rounds.items():
                if count < _SETTLED_ROUNDS:
                    self._note(name)

    def _note(self, process: str) -> None:
        try:
            raw = Path("/proc", process, "cmdline").read_bytes()
        except OSError:
            return  # it has ended
        if raw:
            self.seen.add(raw.decode(errors="replace").replace("\0", " "))
