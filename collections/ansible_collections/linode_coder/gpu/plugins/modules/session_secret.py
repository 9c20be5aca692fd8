#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: session_secret
short_description: Keep the API key of a session on the control node
version_added: 0.1.0
description:
  - Runs on the control node. Writes a file that only its owner can read.
attributes:
  check_mode:
    description: Says whether the file would change.
    support: full
  diff_mode:
    description: Shows the mode of the file before and after, and never what is in it.
    support: full
options:
  session:
    description: Name of the session.
    type: str
    required: true
  group:
    description:
      - Group of the session. The key is kept as the group's too where this machine has none, so that the group's further sessions
        can be given the same.
    type: str
  secrets:
    description: Text of the engine's secrets file on the VM, which has the key.
    type: str
    required: true
author:
  - linode_coder contributors (@linode-coder)
"""

EXAMPLES = r"""
- name: Keep the key
  linode_coder.gpu.session_secret:
    session: demo
    secrets: "{{ read.stdout }}"
  delegate_to: localhost
  no_log: true
"""

RETURN = r"""
path:
  description: Path of the file.
  returned: success
  type: str
  sample: /home/me/.local/state/linode-coder/sessions/demo/api_key
"""

import stat
from pathlib import Path
from typing import Any

from ..module_utils.core.atomic_file import replace_file
from ..module_utils.core.failure import Failure
from ..module_utils.core.local_module import Call, LocalModule
from ..module_utils.core.paths import api_key_path
from ..module_utils.engine.api_key import SECRETS_FILE, kept_key, key_of
from ..module_utils.session.name import validate_session_name


def work(module: Call, result: dict[str, Any]) -> None:
    path = api_key_path(validate_session_name(module.params["session"]))
    key = key_of(module.params["secrets"])
    if key is None:
        raise Failure(
            "unhealthy",
            f"The API key of session {module.params['session']!r} is empty.",
            remedy=f"Delete {SECRETS_FILE} on the VM and bring the session up again: a new one is made.",
            field="secrets",
        )
    wanted = key + "\n"
    result["path"] = str(path)
    diffs = _keep(path, wanted, module.check_mode)
    group = module.params["group"]
    if group and kept_key(api_key_path(validate_session_name(group))) is None:
        diffs += _keep(api_key_path(group), wanted, module.check_mode)
    result["changed"] = bool(diffs)
    if diffs:
        result["diff"] = diffs[0] if len(diffs) == 1 else diffs


def _keep(path: Path, wanted: str, check_mode: bool) -> list[dict[str, Any]]:
    """Have the file, for its owner only; what differs, without what is in it."""
    there = path.exists()
    same = there and path.read_bytes() == wanted.encode()
    if same and path.stat().st_mode & 0o077 == 0:
        return []
    mode = f"{stat.S_IMODE(path.stat().st_mode):04o}" if there else None
    shown = {"mode": mode, "content": "(secret)"} if there else {"state": "absent"}
    after = {"mode": "0600", "content": "(secret)" if same or not there else "(another secret)"}
    if not check_mode:
        replace_file(path, wanted, parents=True)
    return [{"before": {"path": str(path), **shown}, "after": {"path": str(path), **after}}]


MODULE = LocalModule(
    {
        "session": {"type": "str", "required": True},
        "group": {"type": "str"},
        "secrets": {"type": "str", "required": True, "no_log": True},
    },
    work,
)


def main() -> None:
    MODULE.main()


if __name__ == "__main__":
    main()
