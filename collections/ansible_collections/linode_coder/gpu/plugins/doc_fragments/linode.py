# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation fragment of the options that every API module shares."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  api_token:
    description:
      - Personal access token.
      - The environment variable E(LINODE_TOKEN) is used when this is not set.
    type: str
  api_url:
    description:
      - Address of the API without its version.
      - The environment variable E(LINODE_API_URL) is used when this is not set, else the public API.
    type: str
  ca_path:
    description:
      - CA bundle for the API's certificate. The environment variable E(LINODE_CA) is used when this is not set.
    type: path
  api_timeout:
    description:
      - Time limit of one request in seconds.
    type: float
    default: 30.0
requirements:
  - linode_api4 >= 5.48
author:
  - linode_coder contributors (@linode-coder)
"""

    ATTRIBUTES = r"""
attributes:
  check_mode:
    description: Can run in check mode and says what it would change, without changing it.
    support: full
  diff_mode:
    description: Shows what changes in diff mode.
    support: full
  action_group:
    description: Use C(group/linode_coder.gpu.linode) in C(module_defaults) to set the API options once.
    support: full
    membership:
      - linode_coder.gpu.linode
options: {}
"""

    READING = r"""
attributes:
  check_mode:
    description: Only reads, so it does the same in check mode.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
  action_group:
    description: Use C(group/linode_coder.gpu.linode) in C(module_defaults) to set the API options once.
    support: full
    membership:
      - linode_coder.gpu.linode
options: {}
"""
