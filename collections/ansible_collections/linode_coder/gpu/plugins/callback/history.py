# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: history
type: notification
short_description: Write what a playbook of this collection did into the team's history
version_added: 0.1.0
author:
  - linode_coder contributors (@linode-coder)
description:
  - The command line writes into the history what it did. With this callback a job of a controller, or any C(ansible-playbook), does so
    too, in a PostgreSQL database that a team shares.
  - A run is one row, with its session, how it ended, how long it took, and who did it. In a job that is the user of the controller
    who started it, or the schedule that did; otherwise the login name.
  - Playbooks of others, those that only look, and check mode leave nothing there. No run fails because of it.
  - Nothing is written without an address, nor by a run that the command line started.
requirements:
  - psycopg[binary] >= 3.2.1, where Ansible runs
  - Enabled in C(callbacks_enabled), as the C(ansible.cfg) of this project does it.
options:
  url:
    description: Address of the database, for example C(postgresql://coder@db.example.com/history). A secret where it has a password.
    type: str
    env:
      - name: LINODE_CODER_HISTORY_URL
"""

import os
import socket
import time
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.callback import CallbackBase

from ..module_utils.core.failure import Failure
from ..module_utils.core.this_user import this_user
from ..module_utils.core.told import VARIABLE
from ..module_utils.record import postgres
from ..module_utils.record.address import read_address
from ..module_utils.record.jobs import Job, doer, of_job
from ..module_utils.record.rows import Record, write
from ..module_utils.record.tables import Unusable
from ..plugin_utils.local_action import plain

# The first task of every playbook of ours.
_OURS = "linode_coder.gpu.plain_variables"
# As long as the command line waits for others that write.
_PATIENCE_S = 20.0


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "linode_coder.gpu.history"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._playbook, self._started, self._ours = "", time.time(), False
        self._variables: dict[str, Any] = {}
        self._failure: Failure | None = None

    def v2_playbook_on_start(self, playbook: Any) -> None:
        self._playbook = Path(playbook._file_name).stem

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._variables = dict(play.get_variable_manager().extra_vars)

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._ours = self._ours or task.resolved_action == _OURS

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            self._failed(result, "The task failed.")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._failed(result, "The VM cannot be reached over SSH.", "unreachable")

    def _failed(self, result: Any, otherwise: str, kind: str = "internal") -> None:
        said = plain(dict(result.result)) if hasattr(result, "result") else plain(dict(result._result))
        given = said.get("failure")
        self._failure = (
            Failure.from_dict(given)
            if isinstance(given, dict)
            else Failure(kind, otherwise if kind == "unreachable" else str(said.get("msg") or otherwise))
        )

    def v2_playbook_on_stats(self, stats: Any) -> None:
        url = self.get_option("url")
        if not url or not self._ours or os.environ.get(VARIABLE) or context.CLIARGS.get("check"):
            return
        variables = plain(self._variables)
        record = of_job(self._job(variables, stats))
        try:
            if record:
                self._write(url, record, variables)
        except Unusable as error:
            self._display.warning(f"What this run did is not in the history: {error}.")
        except ValueError as error:
            self._display.warning(f"What this run did is not in the history: LINODE_CODER_HISTORY_URL is {error}.")

    def _job(self, variables: dict[str, Any], stats: Any) -> Job:
        """Failed is what a host says at the end, and not what was put right again."""
        data = plain(stats.custom.get("_run") or {}).get("linode_coder") or {}
        failure = None
        if stats.failures or stats.dark:
            reported = data.get("failure")
            failure = Failure.from_dict(reported) if isinstance(reported, dict) else self._failure
            failure = failure or Failure("internal", f"The playbook {self._playbook} ended early.")
        return Job(self._playbook, variables, data, failure, any(stats.changed.values()))

    def _write(self, url: str, record: Record, variables: dict[str, Any]) -> None:
        by = doer(variables, this_user(), socket.gethostname())
        connection = postgres.connect(read_address(url), _PATIENCE_S)
        try:
            write(connection, record, self._started, by)
        finally:
            connection.close()
