#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: team_people
short_description: Keep who may use a team's gateway
version_added: 0.1.0
description:
  - Runs on the gateway. Its map of nginx knows the hash of each person's key, and no key.
  - Who is in O(people) and in the map stays as it is, whoever is not in O(people) is taken out, and who is new comes in with the
    hash in O(hashes).
attributes:
  check_mode:
    description: Says who would come in and go out; the hash of a new person need not be known.
    support: full
  diff_mode:
    description: Shows names and hashes, or the mode of the file where only that changes.
    support: full
options:
  people:
    description: Names of all who may use it.
    type: list
    elements: str
    required: true
  hashes:
    description: SHA-256 of the keys of people who are new, in hex, by name, as RV(linode_coder.gpu.team_keys#module:hashes).
    type: dict
    default: {}
  path:
    description: The map.
    type: path
    default: /etc/linode-coder-team/people.map
author:
  - linode_coder contributors (@linode-coder)
"""

EXAMPLES = r"""
- name: Find who has no key yet
  linode_coder.gpu.team_people:
    people: [ada, bob]
  check_mode: true
  register: found

- name: Let in whoever is new
  linode_coder.gpu.team_people:
    people: [ada, bob]
    hashes: "{{ made.hashes }}"
"""

RETURN = r"""
added:
  description: Names of those who came in, or would.
  returned: success
  type: list
  elements: str
  sample: [bob]
removed:
  description: Names of those who went out, or would.
  returned: success
  type: list
  elements: str
  sample: []
"""

import os
import re
import stat
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.core.atomic_file import replace_file
from ..module_utils.core.failure import Failure
from ..module_utils.core.module_fail import fail
from ..module_utils.session.people import read_people, validate_people, write_people


def read(path: str) -> tuple[str, int | None]:
    """The map, and its mode; None when there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(), stat.S_IMODE(os.stat(path).st_mode)
    except FileNotFoundError:
        return "", None


def work(module: AnsibleModule) -> None:
    path = module.params["path"]
    names = validate_people(module.params["people"])
    text, mode = read(path)
    known = read_people(text)
    hashes = {name: str(key_hash) for name, key_hash in module.params["hashes"].items()}
    added = [name for name in names if name not in known]
    wrong = [name for name in added if not re.fullmatch("[0-9a-f]{64}", hashes.get(name, ""))]
    if wrong and not module.check_mode:
        raise Failure(
            "usage",
            f"The hash of a key is missing for {', '.join(wrong)}.",
            field="hashes",
            remedy="Make keys for them.",
        )
    people = {name: known.get(name) or hashes.get(name, "(the hash of a new key)") for name in names}
    wanted = write_people(people)
    changed = wanted != text or mode != 0o600
    if changed and not module.check_mode:
        replace_file(path, wanted, owner=(os.geteuid(), os.getegid()))
    shown: dict[str, Any] = {"before": text, "after": wanted, "before_header": path, "after_header": path}
    if wanted == text:
        shown = {"before": {"path": path, "mode": f"{mode or 0:04o}"}, "after": {"path": path, "mode": "0600"}}
    module.exit_json(
        changed=changed,
        added=added,
        removed=sorted(set(known) - set(names)),
        **({"diff": shown} if changed else {}),
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "people": {"type": "list", "elements": "str", "required": True},
            "hashes": {"type": "dict", "default": {}},
            "path": {"type": "path", "default": "/etc/linode-coder-team/people.map"},
        },
        supports_check_mode=True,
    )
    try:
        work(module)
    except Failure as failure:
        fail(module, failure)


if __name__ == "__main__":
    main()
