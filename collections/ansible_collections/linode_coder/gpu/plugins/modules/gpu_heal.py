#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: gpu_heal
short_description: Take one rung of the remedy ladder on a GPU VM
version_added: 0.1.0
description:
  - Runs on the VM. Decides under a lock what is to be done about the findings, writes the attempt down, does it, and
    writes down that it was done. A rung that only the provider can take is reserved and returned.
  - Whether it helped is for the next health check to say, and is recorded with O(state=judged).
extends_documentation_fragment:
  - linode_coder.gpu.look
  - linode_coder.gpu.look.project
  - linode_coder.gpu.healing
attributes:
  check_mode:
    description: Says which rung it would take.
    support: full
  diff_mode:
    description: Shows the engine parameter that is changed, or the rung that is taken, and what becomes of the record.
    support: full
options:
  state:
    description:
      - V(planned) only decides, V(healed) takes the next rung, V(judged) records how an attempt ended,
        V(acknowledged) lets healing start anew after a person looked, V(read) only returns the attempts.
      - V(judged) with O(findings) and without O(outcome) judges by them, and records nothing while they say nothing.
    type: str
    choices: [planned, healed, judged, acknowledged, read]
    default: healed
  findings:
    description: Findings of the newest health check.
    type: list
    elements: dict
    default: []
  health:
    description: The whole result of the health check.
    type: dict
    default: {}
  provider:
    description: What RV(linode_coder.gpu.linode_gpu_heal#module:provider) says of the VM.
    type: dict
    default: {}
  owner:
    description: Who heals, for others to read.
    type: str
    default: unknown
  attempt:
    description: Id of the attempt to judge.
    type: str
  fingerprint:
    description: Fingerprint of the finding that the attempt answers.
    type: str
    default: ""
  evidence:
    description: What the finding rests on, for an attempt that was made while the VM could not be asked.
    type: str
    default: ""
  outcome:
    description: How the attempt ended, when it is known without looking.
    type: str
    choices: [healed, failed, cancelled]
  acted:
    description: Whether a rung that was only reserved here was taken elsewhere.
    type: bool
    default: false
  run_dir:
    description: Directory of the lock. A reboot has to clear it.
    type: path
    default: /run/linode-coder
author:
  - linode_coder contributors (@linode-coder)
"""

EXAMPLES = r"""
- name: Take the next rung
  linode_coder.gpu.gpu_heal:
    findings: "{{ health.findings }}"
    health: "{{ health }}"
    provider: "{{ provider.provider }}"
    owner: "{{ lookup('linode_coder.gpu.this_user') }}"
"""

RETURN = r"""
step:
  description: The rung, why it is its turn, and the parameter that changes. Null when nothing is done.
  returned: success
  type: dict
  sample: {"rung": "restart_container", "reason": "The engine does not answer.", "number": 1}
stop:
  description: Why nothing is done. Null when something is.
  returned: success
  type: dict
  sample: {"reason": "cooldown", "message": "The container was started a moment ago.", "until": 1800000000}
attempt:
  description: The attempt as it was written down. Null when there is none.
  returned: success
  type: dict
  sample: {"id": "restart_container:1a2b3c4d:1800000000", "rung": "restart_container", "outcome": "pending"}
outcome:
  description: The judgement. Null while nothing can be said.
  returned: when O(state=judged)
  type: str
  sample: healed
engine:
  description:
    - The engine that was asked for, and C(vllm.yaml) as it is by now, for the VM that replaces this one. Null when they
      cannot be read.
  returned: when the rung is to recreate the VM
  type: dict
  sample: {"wanted": {"model": "org/model", "flags": {}}, "config": "max-model-len: 16384\n"}
attempts:
  description: The record, oldest first.
  returned: success
  type: list
  elements: dict
  sample: []
breaker:
  description: Why healing waits for a person. Null when it does not.
  returned: success
  type: str
  sample: null
"""

import json
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.core.failure import Failure
from ..module_utils.core.module_fail import fail
from ..module_utils.core.rungs import CAPS, ORDER
from ..module_utils.heal.guest import Healer
from ..module_utils.heal.ladder import Policy, Step, verdict
from ..module_utils.heal.machine import Machine
from ..module_utils.heal.situation import findings_of, idle_seconds, world_of


def kept(state_dir: str) -> Any:
    """The idle clock's record; None where there is none, or none that says anything."""
    try:
        return json.loads((Path(state_dir) / "activity.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def standing(healer: Healer) -> dict[str, Any]:
    """What a person acknowledges."""
    try:
        record = healer.read()
    except Failure as failure:
        return {"breaker": failure.message, "acknowledged": None}
    return {"breaker": record.breaker, "acknowledged": record.acknowledged or None}


def work(module: AnsibleModule, healer: Healer, result: dict[str, Any]) -> None:
    params = module.params
    if params["state"] == "acknowledged":
        result["changed"] = True
        result["diff"] = {"before": standing(healer), "after": {"breaker": None, "acknowledged": "now"}}
        if not module.check_mode:
            healer.acknowledge(params["owner"])
    elif params["state"] == "judged":
        result["outcome"] = outcome = params["outcome"] or verdict(
            params["fingerprint"], findings_of(params["findings"])
        )
        result["changed"] = outcome is not None
        if outcome is not None:
            result["diff"] = {"before": {params["attempt"]: "pending"}, "after": {params["attempt"]: outcome}}
        if outcome is not None and not module.check_mode:
            told = (params["fingerprint"], params["evidence"])
            healer.judge(params["attempt"], outcome, params["acted"], *told)
    elif params["state"] in ("planned", "healed"):
        findings = findings_of(params["findings"])
        dry = module.check_mode or params["state"] == "planned"
        world = healer.look(findings, world_of(params["provider"], params["health"], params["earlier"], True))
        world = replace(
            world, idle_seconds=idle_seconds(kept(params["state_dir"]), params["health"].get("activity") or {})
        )
        tags = params["provider"].get("tags") or []
        policy = Policy(params["policy"], params["patience"], params["now"])
        decided, attempt = healer.heal(findings, world, policy, tags, dry)
        result["step"] = decided.as_dict() if isinstance(decided, Step) else None
        result["stop"] = None if isinstance(decided, Step) else decided.as_dict()
        result["attempt"] = attempt.as_dict() if attempt else None
        result["changed"] = isinstance(decided, Step) and params["state"] == "healed"
        if isinstance(decided, Step) and decided.rung == "recreate_vm":
            result["engine"] = healer.engine()
        if isinstance(decided, Step) and result["changed"]:
            change = decided.change
            result["diff"] = (
                {"before": {change.flag: change.old}, "after": {change.flag: change.new}}
                if change
                else {"before": {"rung": None}, "after": {"rung": decided.rung}}
            )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {
                "type": "str",
                "choices": ["planned", "healed", "judged", "acknowledged", "read"],
                "default": "healed",
            },
            "findings": {"type": "list", "elements": "dict", "default": []},
            "earlier": {"type": "list", "elements": "dict", "default": []},
            "health": {"type": "dict", "default": {}},
            "provider": {"type": "dict", "default": {}},
            "policy": {"type": "str", "choices": [*CAPS, *ORDER], "default": "vm"},
            "patience": {"type": "float", "default": 1.0},
            "now": {"type": "bool", "default": False},
            "owner": {"type": "str", "default": "unknown"},
            "attempt": {"type": "str"},
            "fingerprint": {"type": "str", "default": ""},
            "evidence": {"type": "str", "default": ""},
            "outcome": {"type": "str", "choices": ["healed", "failed", "cancelled"]},
            "acted": {"type": "bool", "default": False},
            "project_dir": {"type": "path", "default": "/opt/linode-coder/vllm"},
            "state_dir": {"type": "path", "default": "/var/lib/linode-coder"},
            "run_dir": {"type": "path", "default": "/run/linode-coder"},
        },
        required_if=[("state", "judged", ["attempt"])],
        supports_check_mode=True,
    )
    result: dict[str, Any] = {
        "changed": False,
        "step": None,
        "stop": None,
        "attempt": None,
        "attempts": [],
        "breaker": None,
    }
    try:
        machine = Machine(*(module.params[name] for name in ("project_dir", "state_dir", "run_dir")))
        healer = Healer(machine, module.params["owner"], secrets.token_hex(8), module.params["project_dir"])
        work(module, healer, result)
        try:
            record = healer.read()
        except Failure:
            if module.params["state"] == "read":
                raise
        else:
            result["attempts"] = [one.as_dict() for one in record.attempts]
            result["breaker"] = record.breaker
    except Failure as failure:
        fail(module, failure, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
