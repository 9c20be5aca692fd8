#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_health_report
short_description: Join what was seen on VMs with what the provider says of them
version_added: 0.1.0
description:
  - Runs on the control node. A VM that did not answer becomes a finding as well, judged by the state that the provider
    reports.
attributes:
  check_mode:
    description: Only computes, so it does the same in check mode.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
options:
  sessions:
    description: Views of the sessions, as M(linode_coder.gpu.linode_gpu_instance_info) returns them.
    type: list
    elements: dict
    required: true
  observations:
    description: Results of M(linode_coder.gpu.gpu_health) by the VM's label.
    type: dict
    default: {}
author:
  - linode_coder contributors (@linode-coder)
"""

EXAMPLES = r"""
- name: Join
  linode_coder.gpu.gpu_health_report:
    sessions: "{{ found.sessions }}"
    observations: "{{ groups.checked | linode_coder.gpu.by_host(hostvars, 'health') }}"
  register: report
"""

RETURN = r"""
sessions:
  description:
    - One report for each session. Each of its findings says in C(follows_from) which other finding explains it, by C(id) and
      C(subject); that is null where it stands by itself.
  returned: success
  type: list
  elements: dict
  sample: [{"name": "demo", "severity": "pass", "reached": true, "findings": []}]
severity:
  description: The worst of all.
  returned: success
  type: str
  sample: pass
"""

from typing import Any

from ..module_utils.core.finding import SEVERITIES
from ..module_utils.core.local_module import Call, LocalModule
from ..module_utils.health.session_report import session_report


def work(module: Call, result: dict[str, Any]) -> None:
    observations = module.params["observations"]
    result["sessions"] = [
        session_report(view, observations.get(view.get("label"))) for view in module.params["sessions"]
    ]
    severities = [report["severity"] for report in result["sessions"]]
    result["severity"] = max(severities, key=SEVERITIES.index, default="unknown")


MODULE = LocalModule(
    {
        "sessions": {"type": "list", "elements": "dict", "required": True},
        "observations": {"type": "dict", "default": {}},
    },
    work,
)


def main() -> None:
    MODULE.main()


if __name__ == "__main__":
    main()
