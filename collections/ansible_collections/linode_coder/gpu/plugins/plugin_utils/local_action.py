# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the work of a module inside Ansible's own process where nothing speaks against it.

A module of its own costs a zip of module_utils, a Python and the compilation of all of it, each time. Where somebody wants
more than that (another host, another user, another Python, variables in the environment, async), it still is one.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

from ansible import constants as C
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.json import Direction, get_module_encoder
from ansible.module_utils.common.parameters import remove_values
from ansible.module_utils.errors import UnsupportedError
from ansible.utils.display import Display

from ..module_utils.core.local_module import LocalModule, given
from .as_module import AsModule

# Ansible would look for one, as on a localhost that an inventory names: it may find one without what our modules need.
_ANY_PYTHON = ("auto", "auto_silent", "auto_legacy", "auto_legacy_silent")


def plain(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments as a module gets them: data, without what Ansible knows of where it came from and whom it trusts."""
    encoder = get_module_encoder("legacy", Direction.CONTROLLER_TO_MODULE)
    data: dict[str, Any] = json.loads(json.dumps(arguments, cls=encoder))
    return data


class InProcessCall:
    """What the work uses of AnsibleModule."""

    def __init__(self, params: dict[str, Any], check_mode: bool) -> None:
        self.params = params
        self.check_mode = check_mode

    def warn(self, warning: str) -> None:
        Display().warning(warning)

    def say(self, text: str) -> None:
        Display().display(text)


class LocalAction(AsModule):
    """The action of a module that works on the control node."""

    local: LocalModule
    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        self._task.args = given(self._task.args, self.local.spec)
        if not self._in_process(task_vars):
            return self._as_module(task_vars)
        super().run(tmp, task_vars)
        with contextlib.chdir(self._loader.get_basedir()):  # where the local connection starts a module
            return self._work(plain(self._task.args))

    def _in_process(self, task_vars: dict[str, Any]) -> bool:
        """Whether the module would run as this user and in this environment anyhow, and nobody wants another Python."""
        return (
            self._connection.transport == "local"
            and not self._connection.become
            and not self._task.async_val
            and not any(self._task.environment or ())
            and self._interpreter(task_vars) in (sys.executable, *_ANY_PYTHON)
        )

    def _interpreter(self, task_vars: dict[str, Any]) -> Any:
        delegated = self._task.delegate_to
        variables = task_vars["ansible_delegated_vars"][delegated] if delegated else task_vars
        return self._templar.template(C.config.get_config_value("INTERPRETER_PYTHON", variables=variables))

    def _work(self, arguments: dict[str, Any]) -> dict[str, Any]:
        validator = ArgumentSpecValidator(self.local.spec, **self.local.rules)
        validated = validator.validate(arguments)
        params = validated.validated_parameters
        secrets = {
            str(params[name]) for name, option in self.local.spec.items() if option.get("no_log") and params[name]
        }
        if validated.error_messages:
            text = validated.errors.msg
            if isinstance(validated.errors[0], UnsupportedError):
                text = f"Unsupported parameters for ({self._task.action}) module: {text}"
            result: dict[str, Any] = {"failed": True, "msg": text}
        else:
            result = self.local.result(InProcessCall(params, bool(self._task.check_mode)))
        # Through JSON as a module's would come: whatever an argument was, what comes back of it is no template.
        told: dict[str, Any] = json.loads(json.dumps(remove_values(result, secrets)))
        return told
