# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

from ..module_utils.heal.guest import LOCK_S
from ..plugin_utils.look_action import LookAction


class ActionModule(LookAction):
    """The module, for so long and no longer: what it only decides or writes down is a look, and a rung takes its time."""

    def _seconds(self, task_vars: dict[str, Any]) -> float:
        if self._task.args.get("state", "healed") == "healed":
            return float(LOCK_S)
        return super()._seconds(task_vars)
