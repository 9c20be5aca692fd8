#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: job_progress
short_description: Wait for a job in the background, and say how far the downloads are meanwhile
version_added: 0.1.0
description:
  - Runs on the VM. Looks at the file that a task with C(async) leaves there, and waits for at most O(slice) seconds, so that a
    retried task shows progress. What came of the job says M(ansible.builtin.async_status) afterwards.
  - Images and weights are fetched at the same time; how far they are costs no connection of its own.
attributes:
  check_mode:
    description: Only reads.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
options:
  results_file:
    description: File with the job's result, RV(ignore:results_file) of the task that began it.
    type: path
    required: true
  weights_dir:
    description: Directory of the Compose project that downloads the weights.
    type: path
    default: /opt/linode-coder/weights
  slice:
    description: Seconds that one run waits at most.
    type: float
    default: 8.0
author:
  - linode_coder contributors (@linode-coder)
"""

EXAMPLES = r"""
- name: Wait until the driver is installed
  linode_coder.gpu.job_progress:
    results_file: "{{ job.results_file }}"
  register: waited
  until: waited.over
  retries: 200
  delay: 0
"""

RETURN = r"""
over:
  description: Whether the job has ended, or is not known any more.
  returned: success
  type: bool
  sample: false
downloads:
  description: C(phase) and C(progress) of what is being fetched, V(image) and V(weights). Null when nothing is known of it.
  returned: success
  type: dict
  sample: {"image": {"phase": "4 of 12 layers fetched, 3 unpacked", "progress": {"done": 4, "total": 12, "unit": "layers", "rate": null}}}
"""

import json
import time

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.engine.downloads_look import images_now, weights_now


def over(path: str) -> bool:
    """Also where there is no such job: then waiting has no end."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except OSError:
        return True
    try:
        found = json.loads(text)
    except ValueError:
        return False  # it is being written
    return bool(found.get("finished", True)) if isinstance(found, dict) else True


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "results_file": {"type": "path", "required": True},
            "weights_dir": {"type": "path", "default": "/opt/linode-coder/weights"},
            "slice": {"type": "float", "default": 8.0},
        },
        supports_check_mode=True,
    )
    params = module.params
    deadline = time.monotonic() + params["slice"]
    while not (ended := over(params["results_file"])) and time.monotonic() < deadline:
        time.sleep(0.3)
    docker = module.get_bin_path("docker")
    module.exit_json(
        changed=False,
        over=ended,
        downloads={
            "image": images_now(),
            "weights": weights_now(params["weights_dir"], docker) if docker else None,
        },
    )


if __name__ == "__main__":
    main()
