# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

from ansible import constants as C
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils.session.report_text import report_lines
from ..plugin_utils.local_action import plain

SCHEMA = 1
# Callbacks whose whole output is one document for a program: there the report is part of the result.
_FOR_PROGRAMS = ("json", "jsonl", "ansible.posix.json", "ansible.posix.jsonl")


class ActionModule(ActionBase):
    """Hand a document on as `set_stats` does, and show it to people as lines of text."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _validation, given = self.validate_argument_spec(
            {"command": {"type": "str", "required": True}, "data": {"type": "dict", "required": True}}
        )
        document = plain({"linode_coder": {"schema": SCHEMA, "command": given["command"], **given["data"]}})
        for_programs = C.config.get_config_value("DEFAULT_STDOUT_CALLBACK") in _FOR_PROGRAMS
        if not for_programs:
            shown = {key: value for key, value in document["linode_coder"].items() if key != "command"}
            Display().display("\n".join(report_lines(shown)))
        return {
            "changed": False,
            "ansible_stats": {"data": document, "per_host": False, "aggregate": True},
            "_ansible_verbose_always": for_programs,
        }
