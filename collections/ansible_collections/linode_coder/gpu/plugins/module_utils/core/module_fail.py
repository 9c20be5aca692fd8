# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How every module of this collection fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from .failure import Failure

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def fail(module: AnsibleModule, failure: Failure, **result: Any) -> NoReturn:
    module.fail_json(**failure.as_result(), **result)
    raise AssertionError("fail_json ends the module")
