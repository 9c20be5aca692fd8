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
  - Makes the load of a profile, level by level after a warm-up, looks meanwhile at the GPUs and at the engine's own counters, and
    judges what it saw. Runs on the VM, so the network does not count.
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
  profile:
    description: The kind of load.
    type: str
    choices: [quick, chat, autocomplete, agent, saturation]
    default: quick
  concurrency:
    description: How many streams at once, one level after the other; only for the profile quick, which has 1, 8 and 32.
    type: list
    elements: int
  tokens:
    description: Tokens that each request generates; only for the profile quick, which has 128.
    type: int
  quote:
    description: What M(linode_coder.gpu.linode_gpu_quote) says of the session, for the expected speed and the record.
    type: dict
    default: {}
  baseline:
    description: The RV(run) of an earlier measurement to compare with.
    type: dict
  sandbox:
    description: Whether the VM is one of the sandbox, whose speed means nothing.
    type: bool
    default: false
  progress:
    description:
      - File C(/run/linode-coder/perf-*) that holds the run so far while it lasts, of which whoever cannot wait for the end can take it.
      - When it is removed the measurement ends, with what there is.
    type: path
  fail_when_slow:
    description: Whether the module fails when a request does, or one stream gets less than half of what is expected.
    type: bool
    default: true
author:
  - linode_coder contributors (@linode-coder)
"""

EXAMPLES = r"""
- name: Measure with the load of a chat
  linode_coder.gpu.endpoint_speed:
    session: demo
    profile: chat
  register: measured
"""

RETURN = r"""
run:
  description:
    - The document of the run. Times are seconds.
    - C(complete) is false where nothing was answered any more; C(why_partial) says so.
  returned: always
  type: dict
  sample: {"profile": "quick", "complete": true, "levels": [{"concurrency": 1, "ttft": {"p50": 0.08}, "output_tps": 84.1}]}
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.core.failure import Failure
from ..module_utils.core.module_fail import fail
from ..module_utils.engine.api_key import SECRETS_FILE, key_in
from ..module_utils.engine.client import EngineClient
from ..module_utils.perf.profiles import PROFILES, profile_for
from ..module_utils.perf.progress import check_path, kept
from ..module_utils.perf.run import begin, measure, served_model, too_slow
from ..module_utils.perf.verdict import judge

# Seconds without a byte of an answer.
_PATIENCE_S = 600.0


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "session": {"type": "str", "required": True},
            "port": {"type": "int", "default": 8000},
            "secrets_file": {"type": "path", "default": SECRETS_FILE, "no_log": False},
            "profile": {"type": "str", "choices": list(PROFILES), "default": "quick"},
            "concurrency": {"type": "list", "elements": "int"},
            "tokens": {"type": "int", "no_log": False},
            "quote": {"type": "dict", "default": {}},
            "baseline": {"type": "dict"},
            "sandbox": {"type": "bool", "default": False},
            "progress": {"type": "path"},
            "fail_when_slow": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        profile = profile_for(params["profile"], params["concurrency"], params["tokens"])
        check_path(params["progress"])
        client = EngineClient(params["port"], key_in(params["secrets_file"]), _PATIENCE_S)
        model = served_model(client, params["session"], profile)
    except Failure as failure:
        fail(module, failure, run=None)
    run = begin(profile, "vm", params["session"], params["quote"], params["sandbox"])
    if not module.check_mode:
        with kept(run, params["progress"]) as tell:
            measure(client, profile, run, model, tell)
        run["verdict"] = judge(run, params["baseline"])
    slow = too_slow(run)
    if slow and params["fail_when_slow"]:
        fail(module, slow, run=run)
    module.exit_json(changed=False, run=run)


if __name__ == "__main__":
    main()
