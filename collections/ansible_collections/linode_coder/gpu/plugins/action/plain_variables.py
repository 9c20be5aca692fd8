# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars

from ..module_utils.controller.playbooks import NAMES
from ..module_utils.core.failure import Failure


class ActionModule(ActionBase):
    """Look at the extra variables as they were given."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        self.validate_argument_spec({})
        failure = self.refused()
        return {**result, "changed": False} if failure is None else {**result, **failure.as_result(), "failed": True}

    def refused(self) -> Failure | None:
        """What is wrong with the first variable that is a template, at any depth."""
        given = load_extra_vars(self._loader)
        for name in sorted(NAMES & given.keys()):
            if self._templar.is_template(given[name]):
                return Failure(
                    "usage",
                    f"The variable {name} is a template, which would be run on this machine.",
                    remedy="Give the text itself. Text with braces stays text in a file: "
                    f"{name}: !unsafe 'text', handed over with -e @FILE.",
                    field=name,
                )
        return None
