#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: report
short_description: Hand on what a playbook has to report, and show it
version_added: 0.1.0
description:
  - Puts a document into the statistics of the run, under C(linode_coder), where AWX, ansible-runner and the command line find
    it as the run's artifact, and shows it at once as lines of text, whatever the callback and its settings.
  - A callback whose output is one JSON document has the report in the task's result instead.
  - Several reports of a run are merged, the later ones over the earlier ones.
  - Runs in Ansible's own process whatever the host's connection is.
attributes:
  action:
    description: Has an action plugin of its name that does all of it.
    support: full
  check_mode:
    description: Reports in check mode too.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
options:
  command:
    description: What it is the report of.
    type: str
    required: true
  data:
    description: The document. Its schema number and the command are added.
    type: dict
    required: true
author:
  - linode_coder contributors (@linode-coder)
"""

EXAMPLES = r"""
- name: Report the sessions
  linode_coder.gpu.report:
    command: list
    data:
      sessions: "{{ found.sessions }}"
"""

RETURN = r"""
ansible_stats:
  description: The statistics of the run as they are added to.
  returned: success
  type: dict
  sample: {"data": {"linode_coder": {"schema": 1, "command": "list", "sessions": []}}, "per_host": false, "aggregate": true}
"""
