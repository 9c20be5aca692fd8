#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: linode_gpu_quote
short_description: Validate what a session asks for and price it
version_added: 0.1.0
description:
  - Checks every input of a new session against the account and answers where it could run and what it would cost.
  - Changes nothing. A session that exists already is returned as it is.
extends_documentation_fragment:
  - linode_coder.gpu.linode
  - linode_coder.gpu.linode.attributes
options:
  session:
    description: Name of the session.
    type: str
    required: true
  model:
    description: Model id. A default that suits the smallest plan is used when this is not set.
    type: str
  plans:
    description: Plans in the order in which they are tried. The cheapest ones that suit when empty.
    type: list
    elements: str
    default: []
  regions:
    description: Regions in the order in which they are tried. All with GPU Linodes when empty.
    type: list
    elements: str
    default: []
  lease:
    description: How long the session may live, for example V(8h).
    type: str
  cap:
    description: Hard cap of the lease, which no extension moves.
    type: str
  idle:
    description: Idle time after which the session goes, or V(off).
    type: str
  max_cost:
    description: Refuse when the lease could cost more dollars than this.
    type: float
  owner:
    description: Who the session belongs to.
    type: str
  generation:
    description: Generation of the session's VM.
    type: int
    default: 1
  min_vram_gb:
    description: Memory of all cards together that a plan chosen here has at least, in GB.
    type: int
    default: 16
"""

EXAMPLES = r"""
- name: Price a session before it is created
  linode_coder.gpu.linode_gpu_quote:
    session: demo
    plans: [g2-gpu-rtx4000a1-s]
    lease: 4h
    max_cost: 5
  register: quoted
"""

RETURN = r"""
quote:
  description: What would be created and what it costs. Money is dollars, times are ISO-8601 in UTC.
  returned: success
  type: dict
  contains:
    session:
      description: Name of the session.
      type: str
      returned: success
    label:
      description: Label that its Linode has or would have.
      type: str
      returned: success
    offers:
      description: Places to try, in this order. Empty when the VM exists already.
      type: list
      elements: dict
      returned: success
    existing:
      description: The session's view when its VM exists already, else null.
      type: dict
      returned: success
    hourly:
      description: Price per hour of the first offer, or of the VM that exists.
      type: float
      returned: success
    hourly_max:
      description: Price per hour of the dearest offer.
      type: float
      returned: success
    lease_end:
      description: End of the lease.
      type: str
      returned: success
    hard_cap:
      description: Time that no extension of the lease moves.
      type: str
      returned: success
    cost_to_lease_end:
      description: What the dearest offer costs until the end of the lease, in started hours.
      type: float
      returned: success
    cost_to_cap:
      description: The same until the hard cap, null when the VM exists already.
      type: float
      returned: success
  sample: {"session": "demo", "hourly": 0.52, "cost_to_lease_end": 2.08, "offers": []}
"""

import time

from ..module_utils.linode_module import run
from ..module_utils.quote import make_quote


def work(module, api, result):
    params = module.params
    names = (
        "session",
        "model",
        "plans",
        "regions",
        "lease",
        "cap",
        "idle",
        "max_cost",
        "owner",
        "generation",
        "min_vram_gb",
    )
    result["quote"] = make_quote(api, now=int(time.time()), **{name: params[name] for name in names})


def main():
    run(
        {
            "session": {"type": "str", "required": True},
            "model": {"type": "str"},
            "plans": {"type": "list", "elements": "str", "default": []},
            "regions": {"type": "list", "elements": "str", "default": []},
            "lease": {"type": "str"},
            "cap": {"type": "str"},
            "idle": {"type": "str"},
            "max_cost": {"type": "float"},
            "owner": {"type": "str"},
            "generation": {"type": "int", "default": 1},
            "min_vram_gb": {"type": "int", "default": 16},
        },
        work,
    )


if __name__ == "__main__":
    main()
