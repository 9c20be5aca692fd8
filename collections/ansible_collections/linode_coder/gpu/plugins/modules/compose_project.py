#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: compose_project
short_description: Keep a Docker Compose project running as its files say
version_added: 0.1.0
description:
  - Runs on the VM. Compares the hash that Compose computes of each service with the one its container was made from, and the
    files that a service reads when it starts with the time at which it did.
attributes:
  check_mode:
    description: Says which services it would start.
    support: full
  diff_mode:
    description: Shows the services that run before and after.
    support: full
options:
  project_dir:
    description: Directory with C(compose.yaml).
    type: path
    required: true
  state:
    description:
      - V(present) makes the services run.
      - V(stopped) ends them within their grace periods and keeps their containers.
      - V(absent) removes the project's containers.
    type: str
    choices: [present, stopped, absent]
    default: present
  services:
    description: Only these services, all when empty.
    type: list
    elements: str
    default: []
  files:
    description: For each service the files of the project directory that it reads when it starts. A newer one recreates it.
    type: dict
    default: {}
author:
  - linode_coder contributors (@linode-coder)
"""

EXAMPLES = r"""
- name: Run the engine
  linode_coder.gpu.compose_project:
    project_dir: /opt/linode-coder/vllm
    files:
      vllm: [vllm.yaml]
"""

RETURN = r"""
services:
  description: State of each service before anything was changed.
  returned: success
  type: dict
  sample: {"vllm": "running"}
recreate:
  description: Services whose containers are, or would be, made anew.
  returned: success
  type: list
  elements: str
  sample: ["vllm"]
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.engine.compose_project import UP, ComposeProject


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "project_dir": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["present", "stopped", "absent"], "default": "present"},
            "services": {"type": "list", "elements": "str", "default": []},
            "files": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    params, state, only = module.params, module.params["state"], module.params["services"]
    project = ComposeProject(module, params["project_dir"])
    # Containers that are only stopped or removed are not compared with their files.
    found = project.differences(params["files"] if state == "present" else {}, only)
    before, recreate = found.services, found.recreate if state == "present" else []
    if state == "present":
        changed = found.differs
        made = {name: "made anew" if name in recreate else "running" for name in before if name not in found.orphans}
        after = made if changed else before
    elif state == "stopped":
        changed = any(value in UP for value in before.values())
        after = {name: "exited" if value in UP else value for name, value in before.items()}
    else:
        changed, after = any(value != "absent" for value in before.values()), dict.fromkeys(before, "absent")
    if changed and not module.check_mode:
        if state == "present":
            if recreate:
                project.compose("up", "--detach", "--no-deps", "--force-recreate", *recreate)
            project.compose("up", "--detach", *([] if only else ["--remove-orphans"]), *only)
        elif state == "stopped":
            project.compose("stop", *only)
        else:
            project.compose("down")
    module.exit_json(changed=changed, services=before, recreate=recreate, diff={"before": before, "after": after})


if __name__ == "__main__":
    main()
