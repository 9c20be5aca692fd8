#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: endpoint_check
short_description: Check the served endpoint as editors and agents use it
version_added: 0.1.0
description:
  - Health, the listed model, that the API key guards it, a chat, streaming with usage, a tool call and the context length.
  - Runs on the VM. It generates a few hundred tokens at most.
attributes:
  check_mode:
    description: Only asks, so it does the same in check mode.
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
  model:
    description: Id of the model that has to be served.
    type: str
  context:
    description: Tokens that the context has to have at least, for example V(65536) or V(64K).
    type: str
  fail_when_unhealthy:
    description: Whether the module fails when a check does.
    type: bool
    default: true
author:
  - linode_coder contributors (@linode-coder)
"""

EXAMPLES = r"""
- name: Check the served model
  linode_coder.gpu.endpoint_check:
    session: demo
  register: checked
"""

RETURN = r"""
findings:
  description: One for each check, with the severity V(pass), V(warn), V(unknown) or V(fail).
  returned: always
  type: list
  elements: dict
  sample: [{"id": "endpoint.health", "severity": "pass", "summary": "The engine says that it is healthy."}]
severity:
  description: The most serious one.
  returned: always
  type: str
  sample: pass
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.core.failure import Failure
from ..module_utils.core.finding import worst
from ..module_utils.core.module_fail import fail
from ..module_utils.engine.api_key import SECRETS_FILE, key_in
from ..module_utils.engine.client import EngineClient
from ..module_utils.engine.endpoint_check import check_endpoint, unhealthy
from ..module_utils.model.context_length import parse_context


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "session": {"type": "str", "required": True},
            "port": {"type": "int", "default": 8000},
            "secrets_file": {"type": "path", "default": SECRETS_FILE, "no_log": False},
            "model": {"type": "str"},
            "context": {"type": "str"},
            "fail_when_unhealthy": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        wanted = parse_context(params["context"])
        client = EngineClient(params["port"], key_in(params["secrets_file"]))
    except Failure as failure:
        fail(module, failure, findings=[], severity="unknown")
    findings = check_endpoint(client, params["model"], wanted)
    result = {"findings": [finding.as_dict() for finding in findings], "severity": worst(findings)}
    found = unhealthy(findings, params["session"])
    if found and params["fail_when_unhealthy"]:
        fail(module, found, **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
