#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: team_keys
short_description: Make keys for people who are new to a team's gateway
version_added: 0.1.0
description:
  - Runs on the control node. Makes a key for each name, in a file that only its owner can read, and returns the hashes by which a
    gateway knows them. The file is all there is of a key; who has handed it over deletes it.
  - A file that an earlier key has left behind is written over, so that what was taken away never opens again.
attributes:
  check_mode:
    description: Says which files it would write, and makes no key.
    support: full
  diff_mode:
    description: Shows which files are written, and no key.
    support: full
options:
  gateway:
    description: Name of the gateway, which is that of the directory of the files.
    type: str
    required: true
  people:
    description: Names of those who get a key.
    type: list
    elements: str
    required: true
author:
  - linode_coder contributors (@linode-coder)
"""

EXAMPLES = r"""
- name: Make a key for Bob
  linode_coder.gpu.team_keys:
    gateway: team.example.org
    people: [bob]
  delegate_to: localhost
  register: made
"""

RETURN = r"""
hashes:
  description: SHA-256 of each key in hex, by name. None in check mode.
  returned: success
  type: dict
  sample: {"bob": "81b637d8fcd2c6da6359e6963113a1170de795e4b725b84d1e0b4cfd9ec58ce9"}
files:
  description: Path of the file with each key, by name.
  returned: success
  type: dict
  sample: {"bob": "/home/me/.local/state/linode-coder/team/team.example.org/bob"}
"""

import secrets
import string
from typing import Any

from ..module_utils.core.atomic_file import replace_file
from ..module_utils.core.failure import Failure
from ..module_utils.core.local_module import Call, LocalModule
from ..module_utils.core.paths import state_dir
from ..module_utils.session.name import is_host_name
from ..module_utils.session.people import KEY_LENGTH, hash_of, validate_people

_LETTERS = string.ascii_letters + string.digits


def work(module: Call, result: dict[str, Any]) -> None:
    gateway = module.params["gateway"]
    if not is_host_name(gateway):
        raise Failure(
            "usage",
            f"{gateway!r} cannot be the name of a gateway.",
            remedy="Name it as a host of the inventory, with letters, digits, dots, dashes and underscores.",
            field="gateway",
            value=gateway,
        )
    directory = state_dir() / "team" / gateway
    names = validate_people(module.params["people"])
    result["changed"] = bool(names)
    result["files"] = {name: str(directory / name) for name in names}
    result["hashes"] = {}
    if names:
        result["diff"] = {"before": "", "after": "".join(f"{path}: (a new key)\n" for path in result["files"].values())}
    for name in () if module.check_mode else names:
        key = "".join(secrets.choice(_LETTERS) for _each in range(KEY_LENGTH))
        replace_file(directory / name, key + "\n", parents=True)
        result["hashes"][name] = hash_of(key)


MODULE = LocalModule(
    {
        "gateway": {"type": "str", "required": True},
        "people": {"type": "list", "elements": "str", "required": True},
    },
    work,
)


def main() -> None:
    MODULE.main()


if __name__ == "__main__":
    main()
