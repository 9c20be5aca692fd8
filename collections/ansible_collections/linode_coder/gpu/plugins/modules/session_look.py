#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: session_look
short_description: See how idle a session is and whether it is well, in one run
version_added: 0.1.0
description:
  - Runs on the VM. What a watcher wants to know of a session that serves - what M(linode_coder.gpu.session_activity) does, then
    what M(linode_coder.gpu.gpu_health) does - for one connection and one start of Python.
  - The findings are only returned where something is wrong.
extends_documentation_fragment:
  - linode_coder.gpu.look
  - linode_coder.gpu.look.project
  - linode_coder.gpu.look.port
  - linode_coder.gpu.look.watcher
attributes:
  check_mode:
    description: Looks in the same way, but asks for no token and writes nothing.
    support: full
  diff_mode:
    description: What it notes for the next look is no change, so there is nothing to show.
    support: none
options:
  health:
    description: Whether to look at its health as well. A session that is still being brought up is not looked at.
    type: bool
    default: true
  created:
    description: When the VM was created, as the API says it.
    type: str
    required: true
  now:
    description: What the control node's clock says, in seconds since the epoch.
    type: float
    required: true
  expected:
    description: What the session should have, as O(linode_coder.gpu.gpu_health#module:expected).
    type: dict
    default: {}
author:
  - linode_coder contributors (@linode-coder)
"""

EXAMPLES = r"""
- name: Look at the session
  linode_coder.gpu.session_look:
    watcher: ada@laptop
    created: "2027-01-15T07:12:00"
    now: "{{ now().timestamp() }}"
    expected:
      gpus: 1
  register: seen
"""

RETURN = r"""
clock:
  description: The idle clock.
  returned: success
  type: dict
  sample: {"schema": 1, "started": true, "readable": true, "idle_s": 1260.5}
health:
  description:
    - The worst C(severity), the time of the look by the control node's clock (C(at)), and the C(findings) when it is not V(pass).
    - Null when its health was not looked at.
  returned: success
  type: dict
  sample: {"severity": "pass", "at": 1800000000, "findings": []}
failure:
  description: Why its health could not be looked at although the clock was read.
  returned: when that happened
  type: str
  sample: "KeyError: 'State'"
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.core.cost import parse_time
from ..module_utils.health.vm_look import LOOK_SPEC, look
from ..module_utils.watch.activity_look import CLOCK_SPEC, look_at_clock
from ..module_utils.watch.idle_clock import IdleClock, settled

SPEC = {
    **CLOCK_SPEC,
    "health": {"type": "bool", "default": True},
    "created": {"type": "str", "required": True},
    "now": {"type": "float", "required": True},
    "expected": LOOK_SPEC["expected"],
}


def look_at_health(module: AnsibleModule) -> dict[str, Any]:
    """Its worst severity, and what is wrong."""
    params = module.params
    asked = {name: option.get("default") for name, option in LOOK_SPEC.items()} | {
        name: params[name] for name in LOOK_SPEC if name in params
    }
    asked["expected"] = {**params["expected"], "control_time": params["now"]}
    seen = look(asked, module.check_mode, module.warn)
    well = seen["severity"] == "pass"
    return {"severity": seen["severity"], "at": int(params["now"]), "findings": [] if well else seen["findings"]}


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    params = module.params
    result = {"clock": look_at_clock(params, module.check_mode, module.warn)["clock"], "health": None}
    clock = IdleClock.from_dict(result["clock"])
    if params["health"] and settled(parse_time(params["created"]), int(params["now"]), clock):
        try:
            result["health"] = look_at_health(module)
        except Exception as error:  # noqa: BLE001 - whatever it is, what the clock says is known, and money goes by it
            result["failure"] = f"{type(error).__name__}: {error}"
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
