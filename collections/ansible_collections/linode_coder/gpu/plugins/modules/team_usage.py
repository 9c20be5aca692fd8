#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: team_usage
short_description: Add up who asked a team's gateway how much
version_added: 0.1.0
description:
  - Runs on the gateway. Reads its log, and those that logrotate has put away. There are neither keys nor prompts in them.
attributes:
  check_mode:
    description: Only reads.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
options:
  directory:
    description: Where the logs are.
    type: path
    default: /var/log/linode-coder-team
  days:
    description: How many days back it counts.
    type: float
    default: 30.0
author:
  - linode_coder contributors (@linode-coder)
"""

EXAMPLES = r"""
- name: Ask who used it this week
  linode_coder.gpu.team_usage:
    days: 7
  register: used
"""

RETURN = r"""
people:
  description:
    - One entry for each person who asked, who got most tokens first.
    - C(requests) are all, C(answered) those with an answer, C(limited) those over the person's limits, C(failed) those that no
      engine answered. C(tokens_in) and C(tokens_out) are the engine's own counts; C(uncounted) answers named none, since the
      client went away before their end.
    - C(seconds) is how long the requests took in all, C(last) is when the last one ended, in seconds since the epoch.
  returned: success
  type: list
  elements: dict
  sample:
    - person: ada
      requests: 12
      answered: 11
      limited: 1
      failed: 0
      uncounted: 0
      tokens_in: 48210
      tokens_out: 3310
      seconds: 61.2
      last: 1767225600.0
refused:
  description: Requests without a key that opens.
  returned: success
  type: int
  sample: 0
"""

import glob
import gzip
import os
import time

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.session.team_usage import Total


def add_up(directory: str, since: float) -> Total:
    """Of the logs of a directory; one that was last written before ``since`` is not opened."""
    total = Total()
    for path in sorted(glob.glob(os.path.join(glob.escape(directory), "access.log*"))):
        if os.stat(path).st_mtime < since:
            continue
        opened = gzip.open if path.endswith(".gz") else open
        with opened(path, "rt", encoding="utf-8", errors="replace") as file:
            total.add(file, since)
    return total


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "default": "/var/log/linode-coder-team"},
            "days": {"type": "float", "default": 30.0},
        },
        supports_check_mode=True,
    )
    try:
        total = add_up(module.params["directory"], time.time() - module.params["days"] * 86400)
    except (OSError, EOFError) as error:
        module.fail_json(msg=f"The gateway's log cannot be read: {error}.")
    module.exit_json(changed=False, people=total.as_rows(), refused=total.refused)


if __name__ == "__main__":
    main()
