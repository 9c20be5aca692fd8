#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: linode_gpu_plan_info
short_description: List GPU plans with their price and availability by region
version_added: 0.1.0
description:
  - Joins plans, regions, prices and the advisory availability feed.
extends_documentation_fragment:
  - linode_coder.gpu.linode
  - linode_coder.gpu.linode.attributes
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
"""

EXAMPLES = r"""
- name: Find the cheapest place for 40 GB of weights
  linode_coder.gpu.linode_gpu_plan_info:
    min_vram_gb: 40
  register: plans
"""

RETURN = r"""
offers:
  description: Plans by region, the cheapest first.
  returned: success
  type: list
  elements: dict
  sample: [{"plan": "g2-gpu-rtx4000a1-s", "region": "us-ord", "hourly": 0.52, "advertised": true}]
cheapest:
  description: The first of RV(offers).
  returned: success
  type: dict
  sample: {"plan": "g2-gpu-rtx4000a1-s", "region": "us-ord", "hourly": 0.52, "advertised": true}
"""

from ..module_utils.linode_module import run
from ..module_utils.offers import all_offers


def work(module, api, result):
    offers = all_offers(
        api.list("linode/types"),
        api.list("regions"),
        api.list("regions/availability"),
        module.params["plans"],
        module.params["regions"],
        module.params["min_vram_gb"],
    )
    result["offers"] = [offer._asdict() for offer in sorted(offers, key=lambda offer: offer.hourly)]
    result["cheapest"] = result["offers"][0]


def main():
    run(
        {
            "plans": {"type": "list", "elements": "str", "default": []},
            "regions": {"type": "list", "elements": "str", "default": []},
            "min_vram_gb": {"type": "int", "default": 0},
        },
        work,
    )


if __name__ == "__main__":
    main()
