#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: linode_gpu_cleanup
short_description: Find and remove what dead sessions left behind in an account
version_added: 0.1.0
description:
  - VMs whose tags name no lease, and firewalls of sessions without a VM.
  - An old VM beside its replacement stays. Only a watcher has seen whether the new one serves.
  - What is younger than ten minutes stays, since it may still be being made. What is not ours is never touched.
extends_documentation_fragment:
  - linode_coder.gpu.linode
  - linode_coder.gpu.linode.attributes
options:
  remove:
    description: Labels of what is to be removed. Whatever is no longer dead when it is its turn stays.
    type: list
    elements: str
    default: []
  wait_timeout:
    description: Seconds to wait until the deleted VMs are gone.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: See what is left over
  linode_coder.gpu.linode_gpu_cleanup:
  register: found

- name: Remove it
  linode_coder.gpu.linode_gpu_cleanup:
    remove: "{{ found.dead | map(attribute='label') }}"
"""

RETURN = r"""
dead:
  description: What was found, what bills first.
  returned: success
  type: list
  elements: dict
  sample: [{"kind": "linode", "label": "lc-demo-1", "age_s": 7300, "hourly": 0.52, "cost": 1.56}]
removed:
  description: Labels of what is gone now.
  returned: success
  type: list
  elements: str
  sample: ["lc-demo-1"]
"""

import time
from typing import Any

from ..module_utils.core.failure import Failure
from ..module_utils.core.local_module import Call
from ..module_utils.core.retry import pause_s
from ..module_utils.linode.client import LinodeApi
from ..module_utils.linode.module import api_module
from ..module_utils.session.dead_resources import dead_resources
from ..module_utils.session.tags import MARKER

# Seconds after which a deletion whose answer was lost, and that shows no effect, is asked for once more.
DELETE_AGAIN_S = 5
PATHS = {"linode": "linode/instances", "firewall": "networking/firewalls"}


def find(api: LinodeApi) -> list[dict[str, Any]]:
    instances = api.list("linode/instances", {"tags": MARKER})
    return dead_resources(instances, api.list("networking/firewalls"), int(time.time()))


def still_dead(api: LinodeApi, row: dict[str, Any]) -> bool:
    """Whether it is so by now. It alone is read, and the VMs that could be behind it: not the whole account for each of many."""
    try:
        current = api.get(f"{PATHS[row['kind']]}/{row['id']}")
    except Failure as failure:
        if failure.kind == "not_found":
            return False
        raise
    now = int(time.time())
    if row["kind"] == "linode":
        return bool(dead_resources([current], [], now))
    session = current["label"].removeprefix("lc-")
    behind = {"+or": [{"tags": f"lc:session:{session}"}, {"label": {"+contains": f"lc-{session}-"}}]}
    found = dead_resources(api.list("linode/instances", behind), [current], now)
    return any(one["kind"] == "firewall" for one in found)


def ask(api: LinodeApi, row: dict[str, Any]) -> bool:
    """Ask for the deletion of what is still dead: whether it is on its way. Only a 404 later on counts as gone."""

    def one_try() -> bool:
        if not still_dead(api, row):
            return False
        api.delete(f"{PATHS[row['kind']]}/{row['id']}")
        return True

    try:
        return api.when_free(one_try)
    except Failure as failure:
        if failure.kind not in ("ambiguous", "not_found"):
            raise
    return True


def wait_gone(api: LinodeApi, row: dict[str, Any], deadline: float) -> None:
    """Return when the API answers 404. A lost request is sent again."""
    asked = time.monotonic()
    while True:
        try:
            current = api.get(f"{PATHS[row['kind']]}/{row['id']}")
        except Failure as failure:
            if failure.kind == "not_found":
                return
            raise
        if time.monotonic() > deadline:
            raise Failure(
                "timeout",
                f"{row['label']} is still there although its deletion was asked for.",
                remedy="Run again: linode-coder cleanup",
                billing=[f"{row['kind']} {row['label']} ({row['id']}) may still bill"],
            )
        if current["status"] != "deleting" and time.monotonic() - asked > pause_s(DELETE_AGAIN_S):
            asked = time.monotonic()
            ask(api, row)
        time.sleep(0.5)


def work(module: Call, api: LinodeApi, result: dict[str, Any]) -> None:
    result["dead"] = find(api)
    result["removed"] = []
    chosen = [row for row in result["dead"] if row["label"] in module.params["remove"]]
    labels = [row["label"] for row in chosen]
    result["diff"] = {"before": {"dead": labels}, "after": {"dead": []}}
    if module.check_mode:
        result["changed"] = bool(chosen)
        return
    deadline = time.monotonic() + module.params["wait_timeout"]
    # What cannot go must not keep what can, and what goes slowly not what comes after it.
    failures: list[Failure] = []
    asked = []
    for row in chosen:
        try:
            if ask(api, row):
                asked.append(row)
        except Failure as failure:
            failures.append(failure)
    for row in asked:
        try:
            wait_gone(api, row, deadline)
        except Failure as failure:
            failures.append(failure)
        else:
            result["removed"].append(row["label"])
            result["changed"] = True
    result["diff"]["after"] = {"dead": [label for label in labels if label not in result["removed"]]}
    if failures:
        raise failures[0]


MODULE = api_module(
    {
        "remove": {"type": "list", "elements": "str", "default": []},
        "wait_timeout": {"type": "int", "default": 300},
    },
    work,
    version="v4beta",
)


def main() -> None:
    MODULE.main()


if __name__ == "__main__":
    main()
