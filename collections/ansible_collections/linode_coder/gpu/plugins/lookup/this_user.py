# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: this_user
short_description: The user who runs Ansible on the control node
version_added: 0.1.0
author:
  - linode_coder contributors (@linode-coder)
description:
  - The login name from E(LOGNAME), E(USER), E(LNAME) or E(USERNAME), else from the user database; C(unknown) where neither has one.
    The command line takes the same as the owner of a session.
  - In a job of a controller, the user who started it (C(awx_user_name)).
"""

EXAMPLES = r"""
- name: Show whose sessions are made here
  ansible.builtin.debug:
    msg: "{{ lookup('linode_coder.gpu.this_user') }}"
"""

RETURN = r"""
_raw:
  description: The login name.
  type: list
  elements: str
"""

import json
from typing import Any

from ansible.plugins.lookup import LookupBase
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.this_user import this_user


class LookupModule(LookupBase):
    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        # Through JSON, after which it is no template, whoever named the user.
        started_by = json.loads(json.dumps((variables or {}).get("awx_user_name")))
        return [started_by if isinstance(started_by, str) and started_by else this_user()]
