#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: linode_gpu_heal
short_description: What the provider knows of a VM that is to be healed, and the rungs that only it can take
version_added: 0.1.0
description:
  - Reads state, events and healing tags of a session's VM, reboots or power-cycles it, or says with what it is to be
    replaced.
  - An attempt is reserved in the tags before it is made. When anybody else acted on the VM since it was looked at, nothing
    is done. A request whose answer was lost is looked for in the events and not repeated.
extends_documentation_fragment:
  - linode_coder.gpu.linode
  - linode_coder.gpu.linode.attributes
  - linode_coder.gpu.budget
  - linode_coder.gpu.healing
options:
  session:
    description: Name of the session.
    type: str
    required: true
  state:
    description:
      - V(read) only looks, V(planned) also decides without the VM, V(healed) makes the O(attempt), V(given_up) opens
        the breaker in the tags, V(acknowledged) closes it and forgets the attempts in the tags.
    type: str
    choices: [read, planned, healed, given_up, acknowledged]
    default: read
  linode_id:
    description: Id of the VM that is meant when the session has two, as while one is replaced. The older one by default.
    type: int
  attempt:
    description: The attempt to make, as RV(linode_coder.gpu.gpu_heal#module:attempt).
    type: dict
  provider:
    description: What the decision was based on, as RV(provider). Read anew by default.
    type: dict
  ssh_error:
    description: Why the VM could not be reached, for O(state=planned).
    type: str
    default: ""
  wait_timeout:
    description: Seconds to wait until the VM runs again.
    type: int
    default: 600
"""

EXAMPLES = r"""
- name: Look at the VM from the API
  linode_coder.gpu.linode_gpu_heal:
    session: demo
  register: seen

- name: Reboot it
  linode_coder.gpu.linode_gpu_heal:
    session: demo
    state: healed
    attempt: "{{ reserved.attempt }}"
    provider: "{{ seen.provider }}"
"""

RETURN = r"""
provider:
  description: The VM as the provider sees it.
  returned: success
  type: dict
  sample: {"linode_id": 123, "status": "running", "events": [], "tags": []}
findings:
  description: What can be said of a VM that was not reached.
  returned: when O(state=planned)
  type: list
  elements: dict
  sample: []
session:
  description: The session's view.
  returned: when O(provider) is not given
  type: dict
  sample: {"name": "demo", "linode_id": 123, "status": "running"}
expected:
  description: What the VM should have, for the health check.
  returned: when O(provider) is not given
  type: dict
  sample: {"gpus": 1, "card": "RTX 4000 Ada"}
connection:
  description: Connection variables that pin the host keys in the tags.
  returned: when O(provider) is not given
  type: dict
  sample: {"ansible_host": "203.0.113.7"}
step:
  description: The rung whose turn it is. Null when nothing is to be done.
  returned: when O(state=planned)
  type: dict
  sample: {"rung": "reboot", "reason": "The VM does not answer.", "number": 1}
stop:
  description: Why nothing is to be done. Null when something is.
  returned: when O(state=planned)
  type: dict
  sample: {"reason": "confirm", "message": "It has to be seen again.", "until": 1800000000}
attempt:
  description: The attempt that O(state=planned) asks for.
  returned: when O(state=planned)
  type: dict
  sample: {"id": "reboot:1a2b3c4d:1800000000:9f3c", "rung": "reboot"}
replacement:
  description: Generation, predecessor and offers for M(linode_coder.gpu.linode_gpu_instance).
  returned: when the attempt is to recreate the VM and was acted on
  type: dict
  sample: {"generation": 2, "predecessor": "lc-demo-1", "offers": []}
outcome:
  description: Whether the attempt was C(acted) on, C(stood_down) from, C(failed), or is C(unclear).
  returned: when O(state=healed)
  type: str
  sample: acted
message:
  description: What was done, or why not.
  returned: when O(state=healed)
  type: str
  sample: reboot was asked for.
"""

import secrets
import time
from typing import Any

from ..module_utils.core.failure import Failure
from ..module_utils.core.local_module import Call
from ..module_utils.core.rungs import API_RUNGS, CAPS, ORDER
from ..module_utils.heal.attempts import BREAKER_TAG, Attempt, Record, is_attempt_tag, key_of
from ..module_utils.heal.ladder import Policy, Step, next_step
from ..module_utils.heal.provider import SETTLE_S, Provider
from ..module_utils.heal.situation import outside_findings, world_of
from ..module_utils.linode.client import LinodeApi
from ..module_utils.linode.module import api_module
from ..module_utils.offer.budget_look import BUDGET_SPEC, budget_of
from ..module_utils.session.expected import expected_of
from ..module_utils.session.host_key import from_openssh
from ..module_utils.session.name import validate_session_name
from ..module_utils.session.ssh import connection_vars
from ..module_utils.session.view import session_view


class WallClock:
    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def plan(params: dict[str, Any], provider: dict[str, Any], result: dict[str, Any]) -> None:
    """The decision when the VM cannot be asked: only the tags tell what was tried."""
    world = world_of(provider, {}, params["earlier"], False)
    record = Record().with_tags(provider["tags"])
    now = int(time.time())
    findings = outside_findings(provider, params["ssh_error"], now)
    result["findings"] = [finding.as_dict() for finding in findings]
    decided = next_step(findings, record, world, Policy(params["policy"], params["patience"], params["now"]), now)
    result["step"] = result["stop"] = result["attempt"] = None
    if not isinstance(decided, Step):
        result["stop"] = decided.as_dict()
        return
    result["step"] = decided.as_dict()
    reserved = Attempt.from_id(decided.resume) if decided.resume else None
    attempt = reserved or Attempt(decided.rung, key_of(decided.fingerprint), now, secrets.token_hex(2))
    result["attempt"] = attempt.as_dict()


def work(module: Call, api: LinodeApi, result: dict[str, Any]) -> None:
    params = module.params
    name = validate_session_name(params["session"])
    settle = SETTLE_S * min(1.0, params["patience"])
    budget, records = budget_of(params)
    provider = Provider(api, WallClock(), name, params["wait_timeout"], settle, params["linode_id"], budget, records)
    seen = params["provider"]
    if not seen:
        seen = provider.look()
        result["session"] = view = session_view(provider.instance, int(time.time()))
        result["expected"] = expected_of(view)
        result["connection"] = connection_vars(view["address"], [from_openssh(key) for key in view["host_keys"]])
    result["provider"] = seen
    if params["state"] == "planned":
        plan(params, seen, result)
    elif params["state"] == "given_up":
        result["changed"] = BREAKER_TAG not in seen["tags"]
        result["diff"] = {"before": {"breaker": not result["changed"]}, "after": {"breaker": True}}
        if result["changed"] and not module.check_mode:
            provider.open_breaker(seen["linode_id"])
    elif params["state"] == "acknowledged":
        attempts = [tag for tag in seen["tags"] if is_attempt_tag(tag)]
        result["changed"] = bool(attempts)
        result["diff"] = {"before": {"attempts": attempts}, "after": {"attempts": []}}
        if result["changed"] and not module.check_mode:
            provider.forget(seen["linode_id"])
    elif params["state"] == "healed":
        attempt = Attempt.from_id(str((params["attempt"] or {}).get("id")))
        if attempt is None or attempt.rung not in API_RUNGS:
            raise Failure(
                "usage",
                "attempt is not one that only the provider can make.",
                field="attempt",
                value=(params["attempt"] or {}).get("id"),
            )
        result["changed"] = True
        shown = {"before": {"status": seen["status"]}, "after": {"status": attempt.rung}}
        if module.check_mode:
            result["diff"] = shown
            return
        taken = provider.take(seen, attempt)
        result.update(outcome=taken.outcome, message=taken.message, changed=taken.outcome in ("acted", "failed"))
        if result["changed"]:
            result["diff"] = shown
        if attempt.rung != "recreate_vm":
            result["provider"] = provider.look()
        elif taken.outcome == "acted":
            generation = (seen["generation"] or 1) + 1
            result["replacement"] = {
                "generation": generation,
                "predecessor": seen["label"],
                "offers": list(taken.offers),
            }


MODULE = api_module(
    {
        "session": {"type": "str", "required": True},
        "state": {
            "type": "str",
            "choices": ["read", "planned", "healed", "given_up", "acknowledged"],
            "default": "read",
        },
        "linode_id": {"type": "int"},
        "attempt": {"type": "dict"},
        "provider": {"type": "dict"},
        "ssh_error": {"type": "str", "default": ""},
        "earlier": {"type": "list", "elements": "dict", "default": []},
        "policy": {"type": "str", "choices": [*CAPS, *ORDER], "default": "vm"},
        "patience": {"type": "float", "default": 1.0},
        "now": {"type": "bool", "default": False},
        "wait_timeout": {"type": "int", "default": 600},
        **BUDGET_SPEC,
    },
    work,
    required_if=[("state", "healed", ["attempt"])],
)


def main() -> None:
    MODULE.main()


if __name__ == "__main__":
    main()
