# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at a VM for so long and no longer: one that lets SSH in and never answers is one that cannot be reached.

A task's own ``timeout`` is a failure that neither ``failed_when`` nor ``ignore_unreachable`` applies to: it ends the play for
that host, and leaves its ssh behind. Without a limit the pass over all other sessions waits with it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure

from .as_module import AsModule

# Seconds. The looks limit each of their questions themselves; these together are well below it.
LIMIT_S = 180.0
VARIABLE = "look_timeout"
_AGAIN_S = 0.5


def children(table: str, parent: int) -> list[int]:
    """The processes whose parent is ``parent``, from lines of PID and PPID."""
    rows = [line.split() for line in table.splitlines()]
    return [int(row[0]) for row in rows if len(row) == 2 and row[1] == str(parent)]


class Limit:
    """Ends this process's children once the time is over, again and again until the work is done; only ``passed`` after it.

    Ansible's worker has no children but its ssh, and waits for it: when that ends, the work does.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.passed = False

    def __enter__(self) -> Limit:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        if self._done.wait(self._seconds):
            return
        self.passed = True
        while True:
            with subprocess.Popen(["ps", "-A", "-o", "pid=,ppid="], stdout=subprocess.PIPE, text=True) as ps:
                table = ps.communicate()[0]
            for child in children(table, os.getpid()):
                if child != ps.pid:
                    with contextlib.suppress(ProcessLookupError):  # ended by itself
                        os.kill(child, signal.SIGTERM)
            if self._done.wait(_AGAIN_S):
                return


class LookAction(AsModule):
    """The action of a module that looks at a VM."""

    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        if self._connection.transport == "local" or self._task.async_val:
            return self._as_module(task_vars)
        seconds = self._seconds(task_vars)
        result: dict[str, Any] = {}
        with Limit(seconds) as limit:
            try:
                result = self._as_module(task_vars)
            except Exception:
                # What comes of an ssh that was ended says nothing more.
                if not limit.passed:
                    raise
        if limit.passed:
            raise AnsibleConnectionFailure(f"The VM did not answer in {seconds:g} s.")
        return result

    def _seconds(self, task_vars: dict[str, Any]) -> float:
        given = self._templar.template(task_vars.get(VARIABLE)) or LIMIT_S
        try:
            seconds = float(given)
        except (TypeError, ValueError):
            seconds = 0.0
        if not 1 <= seconds <= 3600:
            raise AnsibleActionFail(f"{VARIABLE} {given!r} is not a number of seconds from 1 to 3600.")
        return seconds
