#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_health
short_description: Look at a GPU VM and say what is wrong with it
version_added: 0.1.0
description:
  - Runs on the VM. Collects in one run what nvidia-smi, the kernel log, Docker, the engine's container and the engine
    itself say, each with a time limit of its own, and evaluates it.
  - A source that cannot be read makes its checks C(unknown). It never makes them fail, and the module does not fail
    because of it.
  - To see whether the engine works end to end, one token is generated. What these tokens add to the engine's counters
    is remembered in O(state_dir) and taken off again, so that looking is no use. Where it cannot be remembered, no token
    is asked for.
  - What only several looks can show (a reboot, an engine without progress, a slowdown that lasts) is compared with the
    last look, which is remembered in O(state_dir) as well. These notes are no change of the VM.
extends_documentation_fragment:
  - linode_coder.gpu.look
  - linode_coder.gpu.look.project
  - linode_coder.gpu.look.port
attributes:
  check_mode:
    description: Looks in the same way, but asks for no token, and the next look does not know of it.
    support: full
  diff_mode:
    description: What it notes for the next look is no change, so there is nothing to show.
    support: none
options:
  expected:
    description:
      - What the session should have. Any of V(gpus) (number), V(card) (name), V(model) (served model), V(start_budget)
        (seconds that a start may take), V(control_time) (the control node's clock) and V(pcie) (V(gen) and V(width)).
      - What is not given is not compared.
    type: dict
    default: {}
  previous:
    description: RV(facts) of an earlier look, to compare with it instead of with the last one.
    type: dict
    default: {}
  cursor:
    description: Read the kernel log from this place on. The whole boot without it.
    type: str
  bundle:
    description: Return the collected texts as well, without secrets.
    type: bool
    default: false
  canary:
    description: Whether to generate a token.
    type: bool
    default: true
  nvidia_smi_timeout:
    description: Seconds that nvidia-smi may take.
    type: float
    default: 25.0
  canary_timeout:
    description: Seconds that a token may take.
    type: float
    default: 30.0
  log_lines:
    description: How many lines of the engine's log to read.
    type: int
    default: 2000
author:
  - linode_coder contributors (@linode-coder)
"""

EXAMPLES = r"""
- name: Look at the VM
  linode_coder.gpu.gpu_health:
    expected:
      gpus: 1
      card: RTX 4000 Ada
      model: Qwen/Qwen2.5-Coder-7B-Instruct-AWQ
  register: health

- name: Collect everything for a ticket
  linode_coder.gpu.gpu_health:
    bundle: true
    canary: false
  register: collected
"""

RETURN = r"""
findings:
  description: The result of every check that applies.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Name of the check.
      returned: success
      type: str
      sample: gpu.lost
    severity:
      description: C(pass), C(warn), C(unknown) or C(fail).
      returned: success
      type: str
      sample: fail
    subject:
      description: What it is about.
      returned: success
      type: str
      sample: vm
    summary:
      description: One sentence.
      returned: success
      type: str
      sample: The GPU fell off the bus.
    evidence:
      description: The reading or line it rests on.
      returned: success
      type: str
      sample: "NVRM: Xid (PCI:0000:00:02): 79"
    cause:
      description: What tells two reasons for one check apart.
      returned: success
      type: str
      sample: off_bus
    ladder:
      description: Rungs of the remedy ladder.
      returned: success
      type: list
      elements: str
      sample: [reboot, recreate_vm]
    remedy:
      description: What a person can do.
      returned: success
      type: str
      sample: Reboot the VM once.
severity:
  description: The worst severity. V(unknown) outranks V(warn).
  returned: success
  type: str
  sample: pass
activity:
  description: The engine's counters without our own tokens, and its queue. All null when C(readable) is false.
  returned: success
  type: dict
  sample: {"readable": true, "prompt_tokens": 120, "generation_tokens": 80, "requests": 2, "running": 0, "waiting": 0, "process_start": 1800000000.0}
facts:
  description: What was read, as data.
  returned: success
  type: dict
  sample: {"boot_id": "9f0c...", "driver": "580.95.05", "gpus": []}
gpus:
  description:
    - What the cards do now. C(state) is C(ok) or the name of what is wrong, null when nvidia-smi did not answer. Of each of C(cards)
      the use in percent, MiB, degrees Celsius and watts, null for what could not be read; C(throttle) names what slows it down.
  returned: success
  type: dict
  sample: {"state": "ok", "cards": [{"index": 0, "name": "NVIDIA RTX 4000 Ada Generation", "utilization": 7.0, "memory_used_mib": 15000,
    "memory_total_mib": 20475, "temperature": 41.0, "temperature_slowdown": 96.0, "power_draw": 29.0, "power_limit": 130.0, "throttle": []}]}
cursor:
  description: Where the kernel log can be read on.
  returned: when the journal was read
  type: str
  sample: "s=0639...;i=4f2"
bundle:
  description: The collected texts by file name.
  returned: when O(bundle=true)
  type: dict
  sample: {"nvidia-smi.xml": "...", "kernel.log": "..."}
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.health.vm_look import LOOK_SPEC, look


def main() -> None:
    module = AnsibleModule(argument_spec=LOOK_SPEC, supports_check_mode=True)
    module.exit_json(changed=False, **look(module.params, module.check_mode, module.warn))


if __name__ == "__main__":
    main()
