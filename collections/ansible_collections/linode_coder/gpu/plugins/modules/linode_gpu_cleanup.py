#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: linode_gpu_cleanup
short_description: List and remove what is ours and dead in an account
version_added: 0.1.0
description:
  - VMs whose tags name no lease, and firewalls of sessions without a VM.
  - An old VM beside its replacement stays. Only a watcher has seen whether the new one serves.
  - What is younger than ten minutes stays, since it may still be being made. What is not ours is never touched.
extends_documentation_fragment:
  - linode_coder.gpu.linode
  - linode_coder.gpu.linode.attributes
options:
  remove:
    description: Labels of what is to be removed. Whatever is no longer dead when it is its turn stays.
    type: list
    elements: str
    default: []
  wait_timeout:
    description: Seconds to wait until the deleted VMs are gone.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: See what is left over
  linode_coder.gpu.linode_gpu_cleanup:
  register: found

- name: Remove it
  linode_coder.gpu.linode_gpu_cleanup:
    remove: "{{ found.dead | map(attribute='label') }}"
"""

RETURN = r"""
dead:
  description: What was found, what bills first.
  returned: success
  type: list
  elements: dict
  sample: [{"kind": "linode", "label": "lc-demo-1", "age_s": 7300, "hourly": 0.52, "cost": 1.56}]
removed:
  description: Labels of what is gone now.
  returned: success
  type: list
  elements: str
  sample: ["lc-demo-1"]
"""

import time

from ..module_utils.dead_resources import dead_resources
from ..module_utils.failure import Failure
from ..module_utils.linode_module import run
from ..module_utils.session_tags import MARKER

PATHS = {"linode": "linode/instances", "firewall": "networking/firewalls"}


def find(api):
    instances = api.list("linode/instances", {"tags": MARKER})
    return dead_resources(instances, api.list("networking/firewalls"), int(time.time()))


def delete(api, row, deadline):
    """Delete and return when the API answers 404; nothing else counts as gone."""
    path = f"{PATHS[row['kind']]}/{row['id']}"
    try:
        api.when_free(lambda: api.delete(path))
    except Failure as failure:
        if failure.kind not in ("ambiguous", "not_found"):
            raise
    while True:
        try:
            api.get(path)
        except Failure as failure:
            if failure.kind == "not_found":
                return
            raise
        if time.monotonic() > deadline:
            raise Failure(
                "timeout",
                f"{row['label']} is still there although its deletion was asked for.",
                remedy="Run again: linode-coder cleanup",
                billing=[f"{row['kind']} {row['label']} ({row['id']}) may still bill"],
            )
        time.sleep(0.5)


def work(module, api, result):
    result["dead"] = find(api)
    result["removed"] = []
    chosen = [row for row in result["dead"] if row["label"] in module.params["remove"]]
    result["diff"] = {"before": {"dead": [row["label"] for row in chosen]}, "after": {"dead": []}}
    result["changed"] = bool(chosen)
    if module.check_mode:
        return
    deadline = time.monotonic() + module.params["wait_timeout"]
    for row in chosen:
        delete(api, row, deadline)
        result["removed"].append(row["label"])


def main():
    run(
        {
            "remove": {"type": "list", "elements": "str", "default": []},
            "wait_timeout": {"type": "int", "default": 300},
        },
        work,
        version="v4beta",
    )


if __name__ == "__main__":
    main()
