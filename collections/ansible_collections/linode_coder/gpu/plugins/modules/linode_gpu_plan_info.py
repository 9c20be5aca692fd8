#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: linode_gpu_plan_info
short_description: List GPU plans with their price and availability by region, and how a model serves on them
version_added: 0.1.0
description:
  - Joins plans, regions, prices and the advisory availability feed.
  - With a model, says of every plan whether it fits, with which context and how fast, or why not.
extends_documentation_fragment:
  - linode_coder.gpu.linode
  - linode_coder.gpu.linode.reading
options:
  plans:
    description: Only these plans.
    type: list
    elements: str
    default: []
  regions:
    description: Only these regions.
    type: list
    elements: str
    default: []
  min_vram_gb:
    description: Memory of all cards together that a plan has at least, in GB. Ignored for named plans.
    type: int
    default: 0
  model:
    description:
      - A model of the catalogue, one of its variants, or any repository of the Hugging Face Hub.
      - Then RV(offers) leaves out the plans on which it does not fit.
    type: str
  variant:
    description: The variant of the model, by its repository or its precision. The one that serves best when not set.
    type: str
  context:
    description: Tokens of context that have to fit, for example V(65536) or V(64K).
    type: str
  tensor_parallel:
    description: Over how many GPUs the model is spread. As many as possible when not set.
    type: int
"""

EXAMPLES = r"""
- name: Find the cheapest place for 40 GB of weights
  linode_coder.gpu.linode_gpu_plan_info:
    min_vram_gb: 40
  register: plans

- name: See where a model fits with a context of 64K, and at which price
  linode_coder.gpu.linode_gpu_plan_info:
    model: gpt-oss-120b
    context: 64K
  register: places
"""

RETURN = r"""
offers:
  description: Plans by region, the cheapest first.
  returned: success
  type: list
  elements: dict
  sample: [{"plan": "g2-gpu-rtx4000a1-s", "region": "us-ord", "hourly": 0.52, "advertised": true}]
cheapest:
  description: The first of RV(offers). Null when the model fits on none of the plans.
  returned: success
  type: dict
  sample: {"plan": "g2-gpu-rtx4000a1-s", "region": "us-ord", "hourly": 0.52, "advertised": true}
plans:
  description: Every plan once, the cheapest first, as C(linode-coder plans --json) lists them.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The plan.
      type: str
      returned: success
    hourly:
      description: Its lowest price per hour in these regions.
      type: float
      returned: success
    advertised_in:
      description: Regions that advertise stock.
      type: list
      elements: str
      returned: success
    fit:
      description:
        - How the model serves there, with C(fits), C(why), C(variant), C(context), C(tokens_per_second), C(memory) and C(notes).
        - C(fits) is null where that is unknown.
      type: dict
      returned: when a model was named
  sample: [{"id": "g2-gpu-rtx4000a1-s", "hourly": 0.52, "advertised_in": ["us-ord"]}]
"""

from typing import Any

from ..module_utils.core.local_module import Call
from ..module_utils.linode.client import LinodeApi
from ..module_utils.linode.gpu_plans import plan_of
from ..module_utils.linode.module import api_module
from ..module_utils.model.hub import hub_lookup
from ..module_utils.model.measured_fits import with_measurements
from ..module_utils.model.request import make_request
from ..module_utils.model.view import plan_rows
from ..module_utils.offer.offers import all_offers


def work(module: Call, api: LinodeApi, result: dict[str, Any]) -> None:
    params = module.params
    asked = {name: params[name] for name in ("model", "variant", "context", "tensor_parallel")}
    request = make_request(hub_lookup, **asked)
    types = api.list("linode/types")
    offers = all_offers(
        types,
        api.list("regions"),
        api.list("regions/availability"),
        params["plans"],
        params["regions"],
        params["min_vram_gb"],
    )
    offers.sort(key=lambda offer: offer.hourly)
    prices: dict[str, float] = {}
    stock: dict[str, list[str]] = {}
    for offer in offers:
        prices.setdefault(offer.plan, offer.hourly)
        if offer.advertised:
            stock.setdefault(offer.plan, []).append(offer.region)
    plans = with_measurements([plan_of(row) for row in types if row["id"] in prices], params["api_url"])
    rows = plan_rows(plans, prices, stock, request.selection, request.context, request.tensor_parallel)
    left_out = {row["id"] for row in rows if row.get("fit", {}).get("fits") is False}
    result["plans"] = rows
    result["offers"] = [offer._asdict() for offer in offers if offer.plan not in left_out]
    result["cheapest"] = next(iter(result["offers"]), None)


MODULE = api_module(
    {
        "plans": {"type": "list", "elements": "str", "default": []},
        "regions": {"type": "list", "elements": "str", "default": []},
        "min_vram_gb": {"type": "int", "default": 0},
        "model": {"type": "str"},
        "variant": {"type": "str"},
        "context": {"type": "str"},
        "tensor_parallel": {"type": "int"},
    },
    work,
)


def main() -> None:
    MODULE.main()


if __name__ == "__main__":
    main()
