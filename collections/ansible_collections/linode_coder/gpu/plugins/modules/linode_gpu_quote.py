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
  - Changes nothing. For a session that exists already it answers what of it would have to change.
extends_documentation_fragment:
  - linode_coder.gpu.linode
  - linode_coder.gpu.budget
  - linode_coder.gpu.linode.reading
options:
  session:
    description: Name of the session.
    type: str
    required: true
  model:
    description:
      - A model of the catalogue, one of its variants, or any repository of the Hugging Face Hub.
      - Not set, the plan's default is served, on the cheapest plan that serves it well when no plan is named either.
    type: str
  variant:
    description: The variant of the model, by its repository or its precision. The one that serves best when not set.
    type: str
  context:
    description: Tokens of context that have to fit, for example V(65536) or V(64K). As many as fit when not set.
    type: str
  tensor_parallel:
    description: Over how many GPUs the model is spread. As many as possible when not set.
    type: int
  aliases:
    description:
      - Names by which clients may ask for the model too, beside C(coder) and its repository, for example V(gpt-4o). V(off) alone for none.
      - When empty a session keeps those that it has, also for another model.
    type: list
    elements: str
    default: []
  traces:
    description:
      - Collector to which the engine sends a trace of each request, for example V(grpc://otel.example.com:4317). V(off) for none.
      - When not set a session keeps the one that it has.
    type: str
  plans:
    description: Plans in the order in which they are tried. The cheapest ones that suit when empty.
    type: list
    elements: str
    default: []
  regions:
    description:
      - Regions in the order in which they are tried, by their ids or by their places, for example V(de-fra-2), V(frankfurt) or V(germany).
      - All with GPU Linodes when empty.
    type: list
    elements: str
    default: []
  group:
    description: Group that the session is a member of. The session is called as the group with a number then, V(team-1) for example.
    type: str
  near:
    description:
      - A region, a place or a continent, for example V(de-fra-2), V(frankfurt) or V(europe). Of regions at the same price the nearer ones
        are tried first - those there, those in the same country, those on the same continent, then all others.
    type: str
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
  keep_warm:
    description: Whether a volume is to be kept from which later sessions of this model start warm. It bills until it is deleted.
    type: bool
    default: false
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
  switch:
    description:
      - Answer what another O(model) on the VM of a session that exists would be, instead of what a new session would be.
      - The answer has C(serves), the model of the tags, beside C(model), C(engine) and C(existing).
    type: bool
    default: false
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
    places:
      description: Which regions the names of places among O(regions) stand for.
      type: dict
      returned: success
      sample: {"frankfurt": ["de-fra-2", "eu-central"]}
    left_out:
      description: Plans that were named and are not offered, each with C(plan) and C(why).
      type: list
      elements: dict
      returned: success
    engine:
      description: What serves on the first offer or on the VM that exists. Null when that is unknown.
      type: dict
      returned: success
      contains:
        variant:
          description: Repository of the weights.
          type: str
          returned: success
        flags:
          description: Flags of the engine, as they stand in its configuration file.
          type: dict
          returned: success
        environment:
          description: Environment of the engine.
          type: dict
          returned: success
        fit:
          description: Memory per GPU in GiB, context that fits, expected speed. Null for an unknown card.
          type: dict
          returned: success
        notes:
          description: What the user should know, one sentence each.
          type: list
          elements: str
          returned: success
        asked:
          description: Settings that were asked for, null where a default was taken.
          type: dict
          returned: success
    engines:
      description: The same by plan, for all plans among the offers.
      type: dict
      returned: success
    aliases:
      description: The O(aliases) that were asked for, each once; null where none were.
      type: list
      elements: str
      returned: success
    traces:
      description: The O(traces) that were asked for, empty for none; null where nothing was. Not returned with O(switch).
      type: str
      returned: success
    existing:
      description: The session's view when its VM exists already, else null.
      type: dict
      returned: success
    changes:
      description:
        - New values for the tags of the VM that exists, as M(linode_coder.gpu.linode_gpu_session_tags) takes them.
        - Empty when it is as asked for. What it cannot become, another plan for example, is refused.
      type: dict
      returned: success
    plan:
      description: Plan of the first offer, or of the VM that exists.
      type: str
      returned: success
    gpus:
      description: How many GPUs it has, null where a VM exists on a plan that this version does not know.
      type: int
      returned: success
    gpu:
      description: The card's name, null for one that this version does not know.
      type: str
      returned: success
    sources:
      description:
        - Where C(plan), C(gpus), C(gpu), C(hourly) and C(budget) are from - C(input) of the task, C(cheapest) of what suits,
          the C(API), C(packaged) with this collection, the C(VM) or a C(tag) of it, null for a budget that there is not.
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
    budget:
      description:
        - What the month's C(budget) says, in dollars - C(spent), C(committed) to running sessions, what this C(adds), what is
          C(left) then, and in C(unseen) what could not be counted.
        - Null without a budget, and where nothing is added to a VM that exists.
      type: dict
      returned: success
    warm:
      description:
        - The warm volume where the first offer is - its C(name), C(size_gb), C(monthly) price and C(state), which is C(missing), C(free),
          C(busy), C(foreign) or C(attached), and whether it would be C(new).
        - Null where there is none and none is asked for.
      type: dict
      returned: success
    cost_to_cap:
      description: The same until the hard cap, null when the VM exists already.
      type: float
      returned: success
  sample: {"session": "demo", "hourly": 0.52, "cost_to_lease_end": 2.08, "offers": []}
"""

import time
from typing import Any

from ..module_utils.core.local_module import Call
from ..module_utils.linode.client import LinodeApi
from ..module_utils.linode.module import api_module
from ..module_utils.model.hub import hub_lookup
from ..module_utils.model.hub_token import hub_token
from ..module_utils.offer.budget_look import BUDGET_SPEC
from ..module_utils.offer.quote import make_quote, quote_switch
from ..module_utils.offer.wanted import wanted_from


def work(module: Call, api: LinodeApi, result: dict[str, Any]) -> None:
    params = module.params
    session, wanted, now = params["session"], wanted_from(params), int(time.time())
    has_hub_token = hub_token() is not None
    if params["switch"]:
        quote = quote_switch(api, session, wanted, now=now, lookup=hub_lookup, has_hub_token=has_hub_token)
    else:
        quote = make_quote(
            api,
            session,
            wanted,
            now=now,
            owner=params["owner"],
            generation=params["generation"],
            min_vram_gb=params["min_vram_gb"],
            lookup=hub_lookup,
            has_hub_token=has_hub_token,
        )
    result["quote"] = quote


MODULE = api_module(
    {
        "session": {"type": "str", "required": True},
        "model": {"type": "str"},
        "variant": {"type": "str"},
        "context": {"type": "str"},
        "tensor_parallel": {"type": "int"},
        "aliases": {"type": "list", "elements": "str", "default": []},
        "traces": {"type": "str"},
        "plans": {"type": "list", "elements": "str", "default": []},
        "regions": {"type": "list", "elements": "str", "default": []},
        "near": {"type": "str"},
        "group": {"type": "str"},
        "lease": {"type": "str"},
        "cap": {"type": "str"},
        "idle": {"type": "str"},
        "max_cost": {"type": "float"},
        "keep_warm": {"type": "bool", "default": False},
        **BUDGET_SPEC,
        "owner": {"type": "str"},
        "generation": {"type": "int", "default": 1},
        "min_vram_gb": {"type": "int", "default": 16},
        "switch": {"type": "bool", "default": False},
    },
    work,
    required_if=[("switch", True, ("model",))],
)


def main() -> None:
    MODULE.main()


if __name__ == "__main__":
    main()
