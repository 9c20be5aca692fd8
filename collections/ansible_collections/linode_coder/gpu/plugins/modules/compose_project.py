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

import datetime
import os

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.failure import Failure
from ..module_utils.vm_module import compose_services, fail, inspect

_UP = ("running", "restarting")


def labels_of(row):
    return dict(part.split("=", 1) for part in (row.get("Labels") or "").split(",") if "=" in part)


def started_at(inspected):
    """Seconds since the epoch; the daemon writes nanoseconds."""
    text = inspected["State"]["StartedAt"].rstrip("Z")[:26]
    return datetime.datetime.fromisoformat(text + "+00:00").timestamp()


class Project:
    def __init__(self, module):
        self.module = module
        self.directory = module.params["project_dir"]
        self.docker = module.get_bin_path("docker", required=True)
        self.base = [self.docker, "compose", "--project-directory", self.directory]

    def compose(self, *arguments, data=None):
        code, out, err = self.module.run_command([*self.base, *arguments], data=data)
        if code:
            failure = Failure(
                "unhealthy",
                f"docker compose {arguments[0]} failed on the VM.",
                cause=(err or out).strip()[-500:],
                remedy=f"Look at it on the VM: docker compose --project-directory {self.directory} logs",
            )
            fail(self.module, failure)
        return out

    def wanted(self, only):
        """Service -> hash, of the services that are meant.

        Containers carry the hash of what env_file says as well, which `config --hash` leaves out unless it is resolved first.
        """
        hashes = self.compose("--file", "-", "config", "--hash", "*", data=self.compose("config"))
        lines = [line.split() for line in hashes.splitlines() if line.strip()]
        return {name: digest for name, digest in lines if not only or name in only}

    def outdated(self, row):
        """Whether a file that the service reads when it starts is newer than its start."""
        files = self.module.params["files"].get(row["Service"]) or []
        inspected = inspect(self.module, self.docker, row["Name"]) if files else None
        if inspected is None:
            return False
        paths = [os.path.join(self.directory, name) for name in files]
        return any(os.path.getmtime(path) > started_at(inspected) for path in paths if os.path.exists(path))


def main():
    module = AnsibleModule(
        argument_spec={
            "project_dir": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["present", "stopped", "absent"], "default": "present"},
            "services": {"type": "list", "elements": "str", "default": []},
            "files": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    project, state, only = Project(module), module.params["state"], module.params["services"]
    wanted = project.wanted(only)
    rows = {
        name: row
        for name, row in compose_services(module, project.base).items()
        if not only or name in {*only, *wanted}
    }
    before = {name: rows[name]["State"] if name in rows else "absent" for name in {**wanted, **rows}}
    recreate = []
    if state == "present":
        recreate = sorted(
            name
            for name, digest in wanted.items()
            if name in rows
            and (labels_of(rows[name]).get("com.docker.compose.config-hash") != digest or project.outdated(rows[name]))
        )
        orphans = [] if only else [name for name in rows if name not in wanted]
        changed = bool(recreate or orphans) or any(before[name] not in _UP for name in wanted)
        after = dict.fromkeys(wanted, "running")
    elif state == "stopped":
        changed = any(value in _UP for value in before.values())
        after = {name: "exited" if value in _UP else value for name, value in before.items()}
    else:
        changed, after = bool(rows), {}
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
