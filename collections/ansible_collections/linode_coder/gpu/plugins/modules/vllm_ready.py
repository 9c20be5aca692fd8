#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: vllm_ready
short_description: Wait a little for vLLM to serve a token
version_added: 0.1.0
description:
  - Runs on the VM. One run waits for at most O(slice) seconds or until the start-up phase changes, so that a retried
    task shows progress.
  - Ready means that the engine is healthy and has generated a token. A container that ended is an error at once.
attributes:
  check_mode:
    description: Only looks, so it does the same in check mode.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
options:
  port:
    description: Port of the engine on loopback.
    type: int
    default: 8000
  secrets_file:
    description: File with C(VLLM_API_KEY).
    type: path
    required: true
  project_dir:
    description: Directory of the Compose project.
    type: path
    required: true
  slice:
    description: Seconds that one run waits at most.
    type: float
    default: 8.0
author:
  - linode_coder contributors (@linode-coder)
"""

EXAMPLES = r"""
- name: Wait for the first token
  linode_coder.gpu.vllm_ready:
    project_dir: /opt/linode-coder/vllm
    secrets_file: /opt/linode-coder/vllm/secrets.env
  register: engine
  until: engine.ready | default(false) or engine.failure is defined
  retries: 100
  delay: 1
"""

RETURN = r"""
ready:
  description: Whether a token was generated.
  returned: success
  type: bool
  sample: true
phase:
  description: What the newest known line of the engine's log says.
  returned: success
  type: str
  sample: loading the weights
model:
  description: Name under which the model is served.
  returned: when ready
  type: str
  sample: Qwen/Qwen2.5-Coder-7B-Instruct-AWQ
max_model_len:
  description: Context length in tokens.
  returned: when ready
  type: int
  sample: 32768
"""

import json
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url

from ..module_utils.failure import Failure
from ..module_utils.linode_module import fail
from ..module_utils.vllm_log import cause_of, phase_of


def api_key(path):
    with open(path, encoding="utf-8") as file:
        pairs = dict(line.strip().split("=", 1) for line in file if "=" in line)
    return pairs["VLLM_API_KEY"]


def ask(port, key):
    """The model card once the engine serves a token; None while it does not answer."""
    base = f"http://127.0.0.1:{port}"
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    try:
        open_url(base + "/health", timeout=5, use_proxy=False)
        card = json.load(open_url(base + "/v1/models", headers=headers, timeout=5, use_proxy=False))["data"][0]
        body = json.dumps({"model": card["id"], "prompt": "1", "max_tokens": 1})
        answer = open_url(
            base + "/v1/completions", data=body, headers=headers, method="POST", timeout=60, use_proxy=False
        )
        tokens = json.load(answer)["usage"]["completion_tokens"]
    except (OSError, ValueError, KeyError, IndexError):
        return None
    return card if tokens else None


def main():
    module = AnsibleModule(
        argument_spec={
            "port": {"type": "int", "default": 8000},
            "secrets_file": {"type": "path", "required": True, "no_log": False},
            "project_dir": {"type": "path", "required": True},
            "slice": {"type": "float", "default": 8.0},
        },
        supports_check_mode=True,
    )
    params = module.params
    docker = module.get_bin_path("docker", required=True)
    compose = [docker, "compose", "--project-directory", params["project_dir"]]
    key = api_key(params["secrets_file"])
    deadline = time.monotonic() + params["slice"]
    first_phase = None
    while True:
        card = ask(params["port"], key)
        if card:
            module.exit_json(
                changed=False, ready=True, phase="serving", model=card["id"], max_model_len=card["max_model_len"]
            )
        _code, listed, _err = module.run_command([*compose, "ps", "--all", "--format", "json"])
        _code, log, log_err = module.run_command([*compose, "logs", "--no-color", "--tail", "200"])
        states = [json.loads(line)["State"] for line in listed.splitlines() if line.strip()]
        cause = cause_of(log + log_err)
        if cause or "running" not in states:
            message, remedy = cause or ("The engine's container is not running.", "Read its log on the VM.")
            failure = Failure("unhealthy", message, cause="; ".join((log + log_err).splitlines()[-2:]), remedy=remedy)
            fail(module, failure, ready=False, phase="failed")
        phase = phase_of(log + log_err)
        if first_phase is None:
            first_phase = phase
        if phase != first_phase or time.monotonic() > deadline:
            module.exit_json(changed=False, ready=False, phase=phase)
        time.sleep(0.3)


if __name__ == "__main__":
    main()
