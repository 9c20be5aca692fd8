# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is looked at again and again while a load runs, in a thread beside it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType


class Sampler:
    """Calls ``look`` when it begins and every ``period`` seconds until it is left."""

    def __init__(self, look: Callable[[], None], period: float) -> None:
        self._look, self._period = look, period
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def _work(self) -> None:
        while True:
            self._look()
            if self._over.wait(self._period):
                return

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if kind is None:
            self._thread.join()
