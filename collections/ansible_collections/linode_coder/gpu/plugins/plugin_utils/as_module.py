# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the module of an action's name as Ansible would if there were no action."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase


class AsModule(ActionBase):
    """An action that has its module run."""

    def _as_module(self, task_vars: dict[str, Any]) -> dict[str, Any]:
        normal = self._shared_loader_obj.action_loader.get(
            "ansible.legacy.normal",
            task=self._task,
            connection=self._connection,
            play_context=self._play_context,
            loader=self._loader,
            templar=self._templar,
            shared_loader_obj=self._shared_loader_obj,
        )
        result: dict[str, Any] = normal.run(task_vars=task_vars)
        return result
