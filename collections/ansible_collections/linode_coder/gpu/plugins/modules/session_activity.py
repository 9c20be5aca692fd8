#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: session_activity
short_description: Look at the engine's use, and advance the idle clock on the VM
version_added: 0.1.0
description:
  - Runs on the VM. Reads the engine's counters and advances the idle clock in C(activity.json), under a lock and
    atomically, so that any number of watchers share one clock.
  - Shows a notice to everybody who is logged in or logs in.
  - Counting is not a change of the VM, so only a notice is reported as one.
extends_documentation_fragment:
  - linode_coder.gpu.look
  - linode_coder.gpu.look.port
  - linode_coder.gpu.look.project
  - linode_coder.gpu.look.watcher
attributes:
  check_mode:
    description: Says how idle the engine is, without writing anything.
    support: full
  diff_mode:
    description: Shows the notice at login before and after. The idle clock goes on by itself and is no change.
    support: full
options:
  notice:
    description: Text for people on the VM. An empty one takes the text back; without it nothing is said.
    type: str
author:
  - linode_coder contributors (@linode-coder)
"""

EXAMPLES = r"""
- name: Look how idle it is
  linode_coder.gpu.session_activity:
    watcher: ada@laptop
  register: use
"""

RETURN = r"""
clock:
  description: The idle clock.
  returned: success
  type: dict
  sample: {"schema": 1, "started": true, "readable": true, "idle_s": 1260.5}
hung:
  description: Whether requests have been waiting for minutes without a token.
  returned: success
  type: bool
  sample: false
activity:
  description: The engine's use as it was counted.
  returned: success
  type: dict
  sample: {"readable": true, "generation_tokens": 1234, "running": 0, "waiting": 0}
watched:
  description: Who looked last, and when.
  returned: success
  type: dict
  sample: {"by": "ada@laptop", "at": 1800000000, "interval": 300}
broadcast:
  description: Whether a notice was shown to the terminals.
  returned: success
  type: bool
  sample: false
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.watch.activity_look import CLOCK_SPEC, look_at_clock

# Shown at every login by pam_motd; gone after a reboot.
MOTD = Path("/run/motd.d/60-linode-coder")


def shown() -> str:
    return MOTD.read_text(encoding="utf-8") if MOTD.exists() else ""


def tell(module: AnsibleModule, text: str) -> bool:
    """Whether the terminals were told. The text stays for those who log in later, until it is taken back."""
    if not text:
        MOTD.unlink(missing_ok=True)
        return False
    MOTD.parent.mkdir(parents=True, exist_ok=True)
    MOTD.write_text(text, encoding="utf-8")
    wall = module.get_bin_path("wall")
    if wall is None:
        return False
    code, _out, _err = module.run_command([wall], data=f"linode-coder: {text}")
    return bool(code == 0)


def main() -> None:
    module = AnsibleModule(argument_spec={**CLOCK_SPEC, "notice": {"type": "str"}}, supports_check_mode=True)
    found = look_at_clock(module.params, module.check_mode, module.warn)
    before, notice = shown(), module.params["notice"]
    after = before if notice is None else f"{notice.strip()}\n".lstrip("\n")
    changed = before != after
    broadcast = tell(module, after) if changed and not module.check_mode else False
    diff = {"before": before, "after": after, "before_header": str(MOTD), "after_header": str(MOTD)}
    module.exit_json(changed=changed, broadcast=broadcast, diff=diff, **found)


if __name__ == "__main__":
    main()
