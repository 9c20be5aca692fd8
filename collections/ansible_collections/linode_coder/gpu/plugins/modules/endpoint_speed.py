#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: endpoint_speed
short_description: Measure how fast the served endpoint is
version_added: 0.1.0
description:
  - Streams with usage at several levels of concurrency, each twice after a warm-up, and compares one stream's speed with
    what is expected. Runs on the VM, so the network does not count.
  - The users of the session feel it while it runs.
attributes:
  check_mode:
    description: Says which model is served, and measures nothing.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
options:
  session:
    description: Name of the session, for the remedies.
    type: str
    required: true
  port:
    description: Port on the VM's loopback.
    type: int
    default: 8000
  secrets_file:
    description: File with the API key.
    type: path
    default: /opt/linode-coder/vllm/secrets.env
  concurrency:
    description: How many streams at once, one level after the other.
    type: list
    elements: int
    default: [1, 4, 16]
  tokens:
    description: Tokens that each stream generates.
    type: int
    default: 128
  expected:
    description: Tokens per second that one stream is expected to get.
    type: float
  baseline:
    description: Tokens per second that one stream got earlier.
    type: float
  sandbox:
    description: Whether the VM is one of the sandbox, whose speed means nothing.
    type: bool
    default: false
  fail_when_slow:
    description: Whether the module fails when a request does, or one stream gets less than half of what is expected.
    type: bool
    default: true
author:
  - linode_coder contributors (@linode-coder)
"""

EXAMPLES = r"""
- name: Measure
  linode_coder.gpu.endpoint_speed:
    session: demo
    expected: 88
  register: measured
"""

RETURN = r"""
levels:
  description: One for each level of concurrency. Times are seconds.
  returned: always
  type: list
  elements: dict
  sample: [{"concurrency": 1, "ttft_p50": 0.08, "itl_p50": 0.011, "output_tps": 84.1}]
verdict:
  description: What that says.
  returned: always
  type: dict
  sample: {"severity": "pass", "summary": "One stream gets 86.2 tokens/s.", "measured": 86.2}
"""

from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.core.failure import Failure
from ..module_utils.core.module_fail import fail
from ..module_utils.engine.api_key import SECRETS_FILE, key_in
from ..module_utils.engine.client import EngineClient
from ..module_utils.engine.speed_test import check_wishes, judge, measure, served_model, too_slow


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "session": {"type": "str", "required": True},
            "port": {"type": "int", "default": 8000},
            "secrets_file": {"type": "path", "default": SECRETS_FILE, "no_log": False},
            "concurrency": {"type": "list", "elements": "int", "default": [1, 4, 16]},
            "tokens": {"type": "int", "default": 128, "no_log": False},
            "expected": {"type": "float"},
            "baseline": {"type": "float"},
            "sandbox": {"type": "bool", "default": False},
            "fail_when_slow": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        check_wishes(params["concurrency"], params["tokens"])
        client = EngineClient(params["port"], key_in(params["secrets_file"]))
        model = served_model(client, params["session"])
    except Failure as failure:
        fail(module, failure, levels=[], verdict=None)
    levels = [] if module.check_mode else measure(client, model, params["concurrency"], params["tokens"])
    verdict = judge(levels, params["expected"], params["baseline"], params["sandbox"])
    result = {"levels": [asdict(level) for level in levels], "verdict": verdict.as_dict()}
    slow = too_slow(verdict, params["session"])
    if slow and params["fail_when_slow"]:
        fail(module, slow, **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
