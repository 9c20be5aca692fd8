# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import api_key_path
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.api_key import plain_key
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.name import validate_session_name


def group_key(group: str | None) -> str:
    """The API key of the group that this control node keeps; empty where it has none, or there is no group."""
    if not group:
        return ""
    try:
        return plain_key(api_key_path(validate_session_name(str(group)))) or ""
    except Failure as failure:
        raise AnsibleFilterError(failure.message) from failure


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"group_key": group_key}
