#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: host_state
short_description: Say what is on a VM already
version_added: 0.1.0
description:
  - Runs on the VM. Answers in one round trip what decides whether a role has anything to do.
attributes:
  check_mode:
    description: Only looks, so it does the same in check mode.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
options:
  ask:
    description:
      - V(driver) asks the NVIDIA driver for its GPUs, V(compose) whether Docker Compose answers, V(toolkit) for NVIDIA's container
        toolkit and the GPUs that it describes.
    type: list
    elements: str
    choices: [driver, compose, toolkit]
    default: []
  units:
    description: Services of systemd, without their suffix.
    type: list
    elements: str
    default: []
  paths:
    description: Paths that may be there.
    type: list
    elements: path
    default: []
  images:
    description: Container images, as M(linode_coder.gpu.container_image) takes them.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Image with registry and tag.
        type: str
        required: true
      digest:
        description: Digest that the image must have. None when empty.
        type: str
  model:
    description: Id of a model whose weights may be there.
    type: str
  revision:
    description: Branch, tag or commit of that model.
    type: str
    default: main
  models_dir:
    description: Cache of the hub's files on the VM.
    type: path
    default: /var/lib/linode-coder/models
  state_file:
    description: File of the VM that remembers the images' digests.
    type: path
    default: /var/lib/linode-coder/engine.json
author:
  - linode_coder contributors (@linode-coder)
"""

EXAMPLES = r"""
- name: Look at the host
  linode_coder.gpu.host_state:
    ask: [driver, compose]
    units: [docker]
  register: host
"""

RETURN = r"""
boot_id:
  description: Which boot of the VM this is.
  returned: success
  type: str
  sample: 3d1f6f0e-5f0c-4f5e-8f5e-0a8b5d3c1b11
driver:
  description: Branch of the NVIDIA driver for each GPU, none when it does not work; and what it said.
  returned: when asked for
  type: dict
  sample: {"branches": [580], "said": "580.95.05"}
compose:
  description: Whether Docker Compose answers.
  returned: when asked for
  type: bool
  sample: true
toolkit:
  description: Whether NVIDIA's container toolkit answers, and the devices that it describes to Docker.
  returned: when asked for
  type: dict
  sample: {"installed": true, "devices": ["nvidia.com/gpu=all"]}
host_key_replaced:
  description: Whether the bootstrap host key was replaced, as M(linode_coder.gpu.ssh_host_key) does it.
  returned: success
  type: bool
  sample: true
active:
  description: Of O(units) those that are active.
  returned: success
  type: list
  elements: str
  sample: [docker]
enabled:
  description: Of O(units) those that start at boot.
  returned: success
  type: list
  elements: str
  sample: [docker, nvidia-cdi-refresh]
paths:
  description: Of O(paths) those that are there.
  returned: success
  type: list
  elements: str
  sample: []
images:
  description: Each of O(images) by its name. An image is only C(present) when it is held to a digest and there with that one.
  returned: success
  type: dict
  sample: {"docker.io/library/nginx:1.28-alpine": {"present": true, "reference": "docker.io/library/nginx:1.28-alpine@sha256:4f1c..."}}
weights:
  description: Whether all files of O(model) are there.
  returned: when O(model) is given
  type: bool
  sample: true
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.core.vm_module import HOST_KEY_MARKER
from ..module_utils.engine.held_image import held_digest, look
from ..module_utils.model.kept_weights import complete

# A card that is lost may keep nvidia-smi for ever.
_LIMIT = ["timeout", "60"]
_BOOT_STATES = ("enabled", "static", "indirect", "generated", "alias")


def driver(module: AnsibleModule) -> dict[str, Any]:
    code, out, err = module.run_command([*_LIMIT, "nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"])
    branches = [line.partition(".")[0] for line in out.splitlines()] if code == 0 else []
    works = all(branch.isdigit() for branch in branches)
    return {"branches": [int(branch) for branch in branches] if works else [], "said": f"{out} {err}".strip()}


def compose(module: AnsibleModule) -> bool:
    code, _out, _err = module.run_command([*_LIMIT, "docker", "compose", "version", "--short"])
    return bool(code == 0)


def toolkit(module: AnsibleModule) -> dict[str, Any]:
    code, out, _err = module.run_command([*_LIMIT, "nvidia-ctk", "cdi", "list"])
    installed = code == 0 or module.run_command([*_LIMIT, "nvidia-ctk", "--version"])[0] == 0
    return {"installed": installed, "devices": out.split() if code == 0 else []}


def units(module: AnsibleModule) -> dict[str, list[str]]:
    """Systemd says a block of properties for each unit, also for one that it does not know."""
    asked = [f"{unit}.service" for unit in module.params["units"]]
    if not asked:
        return {"active": [], "enabled": []}
    _code, out, _err = module.run_command(["systemctl", "show", "--property=Id,ActiveState,UnitFileState", *asked])
    blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in out.split("\n\n")]
    found = {row["Id"].removesuffix(".service"): row for row in blocks if "Id" in row}
    return {
        "active": [name for name, row in found.items() if row.get("ActiveState") == "active"],
        "enabled": [name for name, row in found.items() if row.get("UnitFileState") in _BOOT_STATES],
    }


def images(module: AnsibleModule) -> dict[str, dict[str, Any]]:
    docker = module.get_bin_path("docker")
    found = {}
    for row in module.params["images"]:
        name, digest = row["name"], held_digest(module.params["state_file"], row["name"], row["digest"])
        seen = look(module, docker, name, digest, module.params["state_file"]) if docker and digest else None
        found[name] = {"present": bool(seen and seen.present), "reference": seen.reference if seen else name}
    return found


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "ask": {"type": "list", "elements": "str", "choices": ["driver", "compose", "toolkit"], "default": []},
            "units": {"type": "list", "elements": "str", "default": []},
            "paths": {"type": "list", "elements": "path", "default": []},
            "images": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"name": {"type": "str", "required": True}, "digest": {"type": "str"}},
            },
            "model": {"type": "str"},
            "revision": {"type": "str", "default": "main"},
            "models_dir": {"type": "path", "default": "/var/lib/linode-coder/models"},
            "state_file": {"type": "path", "default": "/var/lib/linode-coder/engine.json"},
        },
        supports_check_mode=True,
    )
    params = module.params
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        answers: dict[str, Any] = {"boot_id": file.read().strip()}
    questions = {"driver": driver, "compose": compose, "toolkit": toolkit}
    answers.update({name: questions[name](module) for name in params["ask"]})
    if params["model"]:
        answers["weights"] = complete(params["models_dir"], params["model"], params["revision"])
    module.exit_json(
        changed=False,
        host_key_replaced=os.path.exists(HOST_KEY_MARKER),
        paths=[path for path in params["paths"] if os.path.lexists(path)],
        images=images(module),
        **units(module),
        **answers,
    )


if __name__ == "__main__":
    main()
