#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: linode_gpu_preflight
short_description: Check everything that can be checked before money is spent
version_added: 0.1.0
description:
  - Token and scopes, account, access to GPUs, plan, region, advertised stock, whether the model fits, whether its weights
    can be had, and the budget. Reads only.
  - A question that could not be asked is V(unknown), not a failure.
extends_documentation_fragment:
  - linode_coder.gpu.linode
  - linode_coder.gpu.linode.reading
  - linode_coder.gpu.budget
options:
  model:
    description: Model of the catalogue, or the id of a repository.
    type: str
  variant:
    description: Variant of the model, by repository or precision.
    type: str
  context:
    description: Context that has to fit, for example V(64K).
    type: str
  tensor_parallel:
    description: GPUs to spread over.
    type: int
  plans:
    description: Plans in the order in which they would be tried.
    type: list
    elements: str
    default: []
  regions:
    description: Regions in the order in which they would be tried.
    type: list
    elements: str
    default: []
  lease:
    description: How long the session may live.
    type: str
  cap:
    description: Hard cap of the lease.
    type: str
  idle:
    description: Idle time after which the session goes, or V(off).
    type: str
  max_cost:
    description: Dollars that the lease may cost.
    type: float
  fail_when_refused:
    description: Whether the module fails when a check does.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Check before a session is created
  linode_coder.gpu.linode_gpu_preflight:
    plans: [g2-gpu-rtx4000a1-s]
    lease: 4h
    max_cost: 5
  register: checked
"""

RETURN = r"""
findings:
  description: One for each check, with the severity V(pass), V(warn), V(unknown) or V(fail).
  returned: always
  type: list
  elements: dict
  sample: [{"id": "preflight.token", "severity": "pass", "summary": "The token is ada's."}]
severity:
  description: The most serious one.
  returned: always
  type: str
  sample: pass
"""

import time
from typing import Any

from ..module_utils.core.finding import worst
from ..module_utils.core.local_module import Call, LocalModule
from ..module_utils.linode.module import API_SPEC
from ..module_utils.linode.reader import LinodeReader
from ..module_utils.model.hub import hub_lookup
from ..module_utils.model.hub_token import hub_token
from ..module_utils.offer.budget_look import BUDGET_SPEC
from ..module_utils.offer.preflight import gather, preflight, refusal
from ..module_utils.offer.wanted import wanted_from


def work(module: Call, result: dict[str, Any]) -> None:
    params = module.params
    result.update(findings=[], severity="unknown")
    reader = LinodeReader(params["api_token"], params["api_url"], params["ca_path"], params["api_timeout"])
    now = int(time.time())
    answers = gather(reader, now, params["budget"] is not None)
    findings = preflight(answers, wanted_from(params), now, hub_lookup, hub_token() is not None)
    result.update(findings=[finding.as_dict() for finding in findings], severity=worst(findings))
    refused = refusal(findings)
    if refused and params["fail_when_refused"]:
        raise refused


MODULE = LocalModule(
    {
        **API_SPEC,
        "model": {"type": "str"},
        "variant": {"type": "str"},
        "context": {"type": "str"},
        "tensor_parallel": {"type": "int"},
        "plans": {"type": "list", "elements": "str", "default": []},
        "regions": {"type": "list", "elements": "str", "default": []},
        "lease": {"type": "str"},
        "cap": {"type": "str"},
        "idle": {"type": "str"},
        "max_cost": {"type": "float"},
        **BUDGET_SPEC,
        "fail_when_refused": {"type": "bool", "default": True},
    },
    work,
)


def main() -> None:
    MODULE.main()


if __name__ == "__main__":
    main()
