#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_health_bundle
short_description: Save what was collected on a VM as one archive
version_added: 0.1.0
description:
  - Runs on the control node and writes one C(.tar.gz) that only its owner can read.
  - C(linode-coder check --bundle) evaluates such an archive without any host.
attributes:
  check_mode:
    description: Says what would be written.
    support: full
  diff_mode:
    description: Shows the size of each file in the archive, and whether there was an archive before.
    support: full
options:
  path:
    description: File to write. One that is there is replaced.
    type: path
    required: true
  bundle:
    description: The texts by file name, as M(linode_coder.gpu.gpu_health) returns them.
    type: dict
    required: true
author:
  - linode_coder contributors (@linode-coder)
"""

EXAMPLES = r"""
- name: Save it
  linode_coder.gpu.gpu_health_bundle:
    path: demo.tar.gz
    bundle: "{{ collected.bundle }}"
"""

RETURN = r"""
path:
  description: The archive.
  returned: success
  type: str
  sample: /home/ada/demo.tar.gz
files:
  description: What is in it, with its size in characters.
  returned: success
  type: dict
  sample: {"nvidia-smi.xml": 12000}
"""

from pathlib import Path
from typing import Any

from ..module_utils.core.failure import Failure
from ..module_utils.core.local_module import Call, LocalModule
from ..module_utils.health.bundle import write_bundle


def work(module: Call, result: dict[str, Any]) -> None:
    path, texts = Path(module.params["path"]).absolute(), module.params["bundle"]
    before = "an archive that is replaced" if path.exists() else "absent"
    if not module.check_mode:
        try:
            write_bundle(path, texts)
        except OSError as error:
            raise Failure(
                "config", f"{path} cannot be written.", cause=str(error.strerror), remedy="Choose another place."
            ) from error
    files = {name: len(text) for name, text in texts.items()}
    diff = {"before": {str(path): before}, "after": {str(path): files}}
    result.update(changed=True, path=str(path), files=files, diff=diff)


MODULE = LocalModule(
    {
        "path": {"type": "path", "required": True},
        "bundle": {"type": "dict", "required": True},
    },
    work,
)


def main() -> None:
    MODULE.main()


if __name__ == "__main__":
    main()
