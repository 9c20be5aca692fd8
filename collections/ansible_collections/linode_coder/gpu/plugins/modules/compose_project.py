#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: compose_project
short_description: Keep a Docker Compose project running as its file says
version_added: 0.1.0
description:
  - Runs on the VM. Compares the hash that Compose computes of each service with the one its container was made from.
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
    description: Whether the project should run.
    type: str
    choices: [present, absent]
    default: present
author:
  - linode_coder contributors (@linode-coder)
"""

EXAMPLES = r"""
- name: Run the engine
  linode_coder.gpu.compose_project:
    project_dir: /opt/linode-coder/vllm
"""

RETURN = r"""
services:
  description: State of each service before anything was changed.
  returned: success
  type: dict
  sample: {"vllm": "running"}
"""

import json

from ansible.module_utils.basic import AnsibleModule


def labels_of(row):
    return dict(part.split("=", 1) for part in (row.get("Labels") or "").split(",") if "=" in part)


def main():
    module = AnsibleModule(
        argument_spec={
            "project_dir": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    docker = module.get_bin_path("docker", required=True)
    base = [docker, "compose", "--project-directory", module.params["project_dir"]]

    def compose(*arguments):
        code, out, err = module.run_command([*base, *arguments])
        if code:
            failure = {
                "kind": "unhealthy",
                "message": f"docker compose {arguments[0]} failed.",
                "cause": (err or out).strip()[-500:],
                "remedy": "Look at the engine's log on the VM: docker compose logs.",
            }
            module.fail_json(msg=f"docker compose {' '.join(arguments)}: {(err or out).strip()}", failure=failure)
        return out

    wanted = dict(line.split() for line in compose("config", "--hash", "*").splitlines() if line.strip())
    rows = [json.loads(line) for line in compose("ps", "--all", "--format", "json").splitlines() if line.strip()]
    found = {row["Service"]: (row["State"], labels_of(row).get("com.docker.compose.config-hash")) for row in rows}
    before = {name: found[name][0] if name in found else "absent" for name in {**wanted, **found}}
    if module.params["state"] == "present":
        changed = any(found.get(name) != ("running", digest) for name, digest in wanted.items())
        after = dict.fromkeys(wanted, "running")
    else:
        changed = bool(found)
        after = {}
    if changed and not module.check_mode:
        if module.params["state"] == "present":
            compose("pull", "--quiet")
            compose("up", "--detach", "--remove-orphans")
        else:
            compose("down")
    module.exit_json(changed=changed, services=before, diff={"before": before, "after": after})


if __name__ == "__main__":
    main()
