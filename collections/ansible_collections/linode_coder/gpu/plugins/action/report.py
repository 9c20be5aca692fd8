# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ..plugin_utils.local_action import plain

SCHEMA = 1


class ActionModule(ActionBase):
    """Hand a document on as `set_stats` does, and show it as `debug` does."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _validation, given = self.validate_argument_spec(
            {"command": {"type": "str", "required": True}, "data": {"type": "dict", "required": True}}
        )
        document = {"schema": SCHEMA, "command": given["command"], **given["data"]}
        return {
            "changed": False,
            "ansible_stats": {"data": plain({"linode_coder": document}), "per_host": False, "aggregate": True},
            "_ansible_verbose_always": True,
        }
