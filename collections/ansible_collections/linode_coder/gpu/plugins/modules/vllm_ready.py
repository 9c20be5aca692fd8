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
  - Ready means that the engine is healthy and has generated a token, asked through the proxy as a client would.
  - An engine that ended, or that its restart policy starts again and again, is an error, with the cause that its log names.
attributes:
  check_mode:
    description: Only looks, so it does the same in check mode.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
options:
  port:
    description: Port on loopback that clients reach.
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
  service:
    description: Name of the engine's service.
    type: str
    default: vllm
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
  sample: loading the weights, 3 of 8 files
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
measured:
  description: What the engine's log says of itself.
  returned: when ready
  type: dict
  sample: {"kv_cache_tokens": 187456, "max_model_len": 32768}
restarts:
  description: How often the engine was started again by itself since its container was made.
  returned: success
  type: int
  sample: 0
started:
  description: When the engine's process began, in seconds since the epoch.
  returned: when ready
  type: float
  sample: 1764000000.0
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.core import program
from ..module_utils.core.bounded import newest, short_lines
from ..module_utils.core.docker_compose import compose_command, compose_services
from ..module_utils.core.docker_time import parse_docker_time
from ..module_utils.core.failure import Failure
from ..module_utils.core.module_fail import fail
from ..module_utils.core.vm_module import inspect
from ..module_utils.engine.api_key import key_in
from ..module_utils.engine.client import EngineClient, EngineSilent
from ..module_utils.engine.diagnosis import diagnose, explain
from ..module_utils.engine.failed_start import last_words
from ..module_utils.engine.measures import measures
from ..module_utils.engine.phases import progress_of
from ..module_utils.engine.start_limits import loops


def ask(client: EngineClient) -> dict[str, Any] | None:
    """The model card once the engine serves a token; None while it does not answer."""
    try:
        if not client.healthy():
            return None
        card = client.served()[0]
        prompt = {"model": card["id"], "prompt": "1", "max_tokens": 1}
        tokens = client.ask("POST", "/v1/completions", prompt, timeout=60)[1]["usage"]["completion_tokens"]
    except (EngineSilent, KeyError, IndexError, TypeError):
        return None
    return card if tokens else None


# A log is read again at every look, and one that does not come in its time is as good as none.
_LOG_S = 30.0
_LOG_LENGTH = 1_000_000


class Engine:
    """The container, as Docker and its log tell."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.service = module.params["service"]
        self.docker = module.get_bin_path("docker", required=True)
        self.project = module.params["project_dir"]
        self.compose = compose_command(self.project, docker=self.docker)

    def look(self) -> dict[str, Any]:
        """Its state, how often it was restarted and when its process began."""
        row = compose_services(self.module, self.project).get(self.service)
        found = inspect(self.module, self.docker, row["Name"]) if row else None
        if found is None:
            return {"state": "absent", "restarts": 0, "exit_code": 0, "oom": False, "started": None, "docker": {}}
        state = found["State"]
        return {
            "docker": state,
            "state": state["Status"],
            "restarts": found["RestartCount"],
            "exit_code": state["ExitCode"],
            "oom": state["OOMKilled"],
            "started": parse_docker_time(state["StartedAt"]),
            "started_text": state["StartedAt"],
        }

    def log(self, since: str | None = None) -> str:
        command = [*self.compose, "logs", "--no-color", "--no-log-prefix", "--tail", "1000"]
        command += ["--since", since] if since else []
        return short_lines(newest(program.run([*command, self.service], _LOG_S).text, _LOG_LENGTH))


def failure_of(found: dict[str, Any], log: str) -> Failure | None:
    """Why the engine does not come up; None while it may."""
    # One that was made and could not be started says why.
    ended = found["state"] in ("exited", "dead", "absent") or bool(found["docker"].get("Error"))
    again = found["restarts"]
    causes = diagnose(log)
    if found["state"] != "running":
        causes = explain(causes, found["docker"])
    hopeless = bool(causes) and not causes[0].healable
    # One end that may have been an accident passes; the second is a loop.
    if not (ended or hopeless or loops(again)):
        return None
    last = causes[0].line.strip() if causes and causes[0].line else last_words(log)
    how = []
    if found["exit_code"] and found["state"] != "absent":
        how.append(f"exit code {found['exit_code']}")
    if again:
        how.append(f"started again {again} time(s) by its restart policy")
    if causes:
        message, remedy = causes[0].sentence, causes[0].remedy
    elif found["state"] == "absent":
        message, remedy = "The engine's container is not there.", "Run it again: linode-coder up NAME"
    else:
        message, remedy = "The engine ends before it serves.", "Read its log: linode-coder logs NAME"
    return Failure("unhealthy", message, cause="; ".join([*([last] if last else []), *how]) or None, remedy=remedy)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "port": {"type": "int", "default": 8000},
            "secrets_file": {"type": "path", "required": True, "no_log": False},
            "project_dir": {"type": "path", "required": True},
            "service": {"type": "str", "default": "vllm"},
            "slice": {"type": "float", "default": 8.0},
        },
        supports_check_mode=True,
    )
    params = module.params
    engine = Engine(module)
    try:
        key = key_in(params["secrets_file"])
    except Failure as failure:
        fail(module, failure, ready=False, phase="failed")
    client = EngineClient(params["port"], key, timeout=5)
    deadline = time.monotonic() + params["slice"]
    first_phase = None
    while True:
        card = ask(client)
        found = engine.look()
        if card:
            log = engine.log(since=found.get("started_text"))
            module.exit_json(
                changed=False,
                ready=True,
                phase="serving",
                model=card["id"],
                max_model_len=card["max_model_len"],
                measured={**measures(log), "max_model_len": card["max_model_len"]},
                restarts=found["restarts"],
                started=found["started"],
            )
        # A restarted one is judged by all that was said since its container was made.
        log = engine.log(since=None if found["restarts"] else found.get("started_text"))
        ended = failure_of(found, log)
        if ended:
            fail(module, ended, ready=False, phase="failed", restarts=found["restarts"])
        progress = progress_of(log)
        phase = f"{progress.phase}, {progress.detail}" if progress.detail else progress.phase
        if first_phase is None:
            first_phase = phase
        left = deadline - time.monotonic()
        if left < 0 or (phase != first_phase and left < params["slice"] / 2):
            module.exit_json(changed=False, ready=False, phase=phase, restarts=found["restarts"])
        time.sleep(0.3)


if __name__ == "__main__":
    main()
