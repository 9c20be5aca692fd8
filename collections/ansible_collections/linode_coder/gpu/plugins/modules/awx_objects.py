#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: awx_objects
short_description: Say which objects an AWX controller has to have
version_added: 0.1.0
description:
  - Runs on the control node and asks nobody. Makes the objects of a controller (AWX, or the one of Ansible Automation Platform)
    from the playbooks of this collection and the variables that each of them takes, as the modules of the collection awx.awx
    take them.
attributes:
  check_mode:
    description: Changes nothing in any mode.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
options:
  name:
    description: What the name of every object begins with.
    type: str
    default: linode_coder
  organization:
    description: The organization that the objects belong to. It has to exist.
    type: str
    default: Default
  project_url:
    description: The Git repository that the playbooks come from.
    type: str
    default: https://github.com/linode-coder/linode_coder.git
  project_branch:
    description: Its branch, tag or commit.
    type: str
    default: main
  project_credential:
    description: Name of a credential of the controller that opens the repository.
    type: str
  image:
    description: The image of the execution environment.
    type: str
    required: true
  image_credential:
    description: Name of a credential of the controller that opens the registry of the image.
    type: str
  interval:
    description: Minutes between two looks of the watchdog.
    type: int
    default: 5
  cleanup_at:
    description: The hour of the day, in UTC, in which what is dead in the account is listed.
    type: int
    default: 3
  budget:
    description: Dollars of a month for the whole account, which nobody who starts a job can raise.
    type: float
  authorized_keys:
    description: Public keys that every VM knows from the start, in the form of OpenSSH.
    type: list
    elements: str
    default: []
  key:
    description: Whether there is a credential with an SSH key for the jobs.
    type: bool
    default: false
  hub:
    description: Whether there is a credential with a token of the Hugging Face Hub.
    type: bool
    default: false
  webhook:
    description: Whether notifications are sent to a webhook.
    type: bool
    default: false
author:
  - linode_coder contributors (@linode-coder)
"""

EXAMPLES = r"""
- name: Derive the objects from the playbooks
  linode_coder.gpu.awx_objects:
    image: registry.example.com/linode-coder-ee:0.1.0
  register: wanted
"""

RETURN = r"""
objects:
  description: The objects by kind, in the order in which they can be made. No secret is among them.
  returned: success
  type: dict
  sample: {"organization": "Default", "inventory": {"name": "linode_coder", "description": "The sessions of the account"}}
"""

from typing import Any

from ..module_utils.controller.objects import Wanted, objects
from ..module_utils.core.local_module import Call, LocalModule


def work(module: Call, result: dict[str, Any]) -> None:
    wanted = Wanted(**{**module.params, "authorized_keys": tuple(module.params["authorized_keys"])})
    result["objects"] = objects(wanted)


MODULE = LocalModule(
    {
        "name": {"type": "str", "default": "linode_coder"},
        "organization": {"type": "str", "default": "Default"},
        "project_url": {"type": "str", "default": "https://github.com/linode-coder/linode_coder.git"},
        "project_branch": {"type": "str", "default": "main"},
        "project_credential": {"type": "str"},
        "image": {"type": "str", "required": True},
        "image_credential": {"type": "str"},
        "interval": {"type": "int", "default": 5},
        "cleanup_at": {"type": "int", "default": 3},
        "budget": {"type": "float"},
        "authorized_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
        "key": {"type": "bool", "default": False, "no_log": False},
        "hub": {"type": "bool", "default": False},
        "webhook": {"type": "bool", "default": False},
    },
    work,
)


def main() -> None:
    MODULE.main()


if __name__ == "__main__":
    main()
