# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module that works on the control node, apart from who runs it: AnsibleModule in a Python of its own, or the action
plugin of the same name in Ansible's process, which costs a tenth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ansible.module_utils.basic import AnsibleModule

from .failure import Failure


class Call(Protocol):
    """What the work may use of AnsibleModule."""

    params: dict[str, Any]
    check_mode: bool

    def warn(self, warning: str) -> None: ...

    def say(self, text: str) -> None:
        """Tell who watches what is waited for, while it lasts."""


class _Module(AnsibleModule):
    """In a Python of its own nobody hears a module before it ends."""

    def say(self, text: str) -> None:
        self.log(text)


def given(arguments: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    """``arguments`` without the options that are None or empty text: so do surveys and cron lines hand on a field that was left
    empty. 0 and False are values. A required option stays, since its own check says best what is wrong with it.
    """
    optional = {name for name, option in spec.items() if not option.get("required")}
    return {name: value for name, value in arguments.items() if value not in (None, "") or name not in optional}


@dataclass(frozen=True)
class LocalModule:
    """``spec`` and ``rules`` (required_if and the like) are AnsibleModule's. ``work`` fills the result, which is returned on
    success and on failure.
    """

    spec: dict[str, Any]
    work: Callable[[Call, dict[str, Any]], None]
    rules: dict[str, Any] = field(default_factory=dict)

    def result(self, call: Call) -> dict[str, Any]:
        result: dict[str, Any] = {"changed": False}
        try:
            self.work(call, result)
        except Failure as failure:
            result.update(failure.as_result(), failed=True)
        return result

    def main(self) -> None:
        module = _Module(argument_spec=self.spec, supports_check_mode=True, **self.rules)
        result = self.result(module)
        if result.get("failed"):
            module.fail_json(**result)
        module.exit_json(**result)
