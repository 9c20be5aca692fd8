# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: hub_token
short_description: The Hugging Face token of the control node
version_added: 0.1.0
author:
  - linode_coder contributors (@linode-coder)
description:
  - From E(HF_TOKEN), E(HUGGING_FACE_HUB_TOKEN) or the file that logging in to the Hub wrote, which E(HF_TOKEN_PATH) and E(HF_HOME)
    may move; the same as the command line and the Hub's own tools use.
"""

EXAMPLES = r"""
- name: Keep the token on the VM
  ansible.builtin.copy:
    dest: /opt/linode-coder/weights/hf_token
    content: "{{ lookup('linode_coder.gpu.hub_token') }}"
    mode: "0600"
  no_log: true
"""

RETURN = r"""
_raw:
  description: The token, an empty text when there is none.
  type: list
  elements: str
"""

from typing import Any

from ansible.plugins.lookup import LookupBase
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.hub_token import hub_token


class LookupModule(LookupBase):
    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        return [hub_token() or ""]
