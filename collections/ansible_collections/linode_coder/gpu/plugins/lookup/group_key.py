# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: group_key
short_description: API key of a group of sessions, as this control node keeps it
version_added: 0.1.0
author:
  - linode_coder contributors (@linode-coder)
description:
  - The key that all engines of the group take, so that one endpoint can stand before them.
  - M(linode_coder.gpu.session_secret) keeps the key of the first session of the group; each further one is given the same.
options:
  _terms:
    description: Names of groups. An empty one has no key.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Serve with the key of the group
  ansible.builtin.import_role:
    name: linode_coder.gpu.vllm
  vars:
    vllm_api_key: "{{ lookup('linode_coder.gpu.group_key', 'team') }}"
"""

RETURN = r"""
_raw:
  description: The keys. An empty string where this control node has none.
  type: list
  elements: str
"""

from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import api_key_path
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.api_key import plain_key
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.name import validate_session_name


class LookupModule(LookupBase):
    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        self.set_options(var_options=variables, direct=kwargs)
        found = []
        for term in terms:
            try:
                found.append((term and plain_key(api_key_path(validate_session_name(term)))) or "")
            except Failure as failure:
                raise AnsibleLookupError(failure.message) from failure
        return found
