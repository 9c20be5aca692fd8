#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: linode_gpu_watch
short_description: End sessions whose lease is over or that nobody uses
version_added: 0.1.0
description:
  - Finds the VMs of all sessions by their tags, and decides for each whether it stays, is marked for deletion, or goes.
  - A first look marks the VM. A later one deletes it, at the earliest ten minutes after that, when the reason still
    holds for the tags as they are then and for the use as it was just observed.
  - Any number of watchers may run this at the same moment.
  - Only a 404 counts as gone. Whatever fails is reported in RV(failures) and left to the next pass.
extends_documentation_fragment:
  - linode_coder.gpu.linode
  - linode_coder.gpu.linode.attributes
  - linode_coder.gpu.budget
options:
  session:
    description: Only this session.
    type: str
  observations:
    description:
      - What was just seen on the VMs, by label - the results of M(linode_coder.gpu.session_look) or
        M(linode_coder.gpu.session_activity) as they were registered.
      - A VM without an entry, or with one without a clock, could not be read, so it is not idle.
    type: dict
    default: {}
  interval:
    description: After how many seconds this watcher looks again.
    type: int
    default: 300
  delete:
    description:
      - Labels of the VMs that may be deleted now if that is still decided. Use it with observations that are fresh.
    type: list
    elements: str
    default: []
  max_deletions:
    description: How many VMs one pass may delete. Three, or half of them when that is more, if not set.
    type: int
  account:
    description: EUUID of the account that the sessions were made in. Nothing is touched in any other account.
    type: str
  budget_action:
    description:
      - What is done about O(budget). V(warn) only says in RV(budget) that it will be, or is, reached.
      - V(end) ends each session before the first hour begins that the budget does not pay any more.
    type: str
    choices: [warn, end]
    default: warn
  wait_timeout:
    description: Seconds to wait until the deleted VMs are gone.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Decide
  linode_coder.gpu.linode_gpu_watch:
    observations: "{{ observed }}"
  register: pass

- name: Delete what is due
  linode_coder.gpu.linode_gpu_watch:
    observations: "{{ observed_again }}"
    delete: "{{ pass.due }}"
"""

RETURN = r"""
sessions:
  description:
    - The views of the VMs with the decision on each. C(use) has the tokens that the engine has counted since its start at
      C(process_start), and when it was looked at; null where it could not be read.
  returned: success
  type: list
  elements: dict
  sample: [{"label": "lc-demo-1", "decision": {"action": "keep", "cause": "idle", "at": "2027-01-15T08:50:00Z"}}]
due:
  description: Labels of VMs that are to be deleted now.
  returned: success
  type: list
  elements: str
  sample: ["lc-demo-1"]
again:
  description:
    - What to look at again, of what was observed, before anything is deleted. C(notice) is what to tell people on the VM, empty
      to take back what they were told, and null to leave it.
  returned: success
  type: list
  elements: dict
  sample: [{"label": "lc-demo-1", "notice": "lc-demo-1 will be deleted after 2027-01-15T08:50:00Z because its lease ends."}]
ailing:
  description: Labels of VMs that stay and were not seen to be well.
  returned: success
  type: list
  elements: str
  sample: []
marked:
  description: What was marked for deletion now, by label, and why.
  returned: success
  type: dict
  sample: {"lc-demo-1": "lc-demo-1 will be deleted after 2027-01-15T08:50:00Z because its lease ends."}
unmarked:
  description: What is no longer marked.
  returned: success
  type: dict
  sample: {}
blocked:
  description: What stays and bills although it should go, because of a lock or a wrong clock.
  returned: success
  type: dict
  sample: {}
restored:
  description: Whose lease or pause had been written over by somebody, and was put back.
  returned: success
  type: dict
  sample: {}
budget:
  description:
    - Whether the month's budget is C(within), its end C(foreseen) or C(reached), when, and what is spent. Null without one.
  returned: success
  type: dict
  sample: {"state": "foreseen", "at": "2026-11-29T18:00:00Z", "budget": 50.0, "spent": 48.1, "action": "warn"}
deferred:
  description: Labels that are due and were left to the next pass, since one pass deletes only so many.
  returned: success
  type: list
  elements: str
  sample: []
deleted:
  description: The VMs that are gone, with the hours and dollars that they cost.
  returned: success
  type: list
  elements: dict
  sample: [{"label": "lc-demo-1", "name": "demo", "hours": 3, "cost": 1.56, "cause": "lease"}]
failures:
  description: What could not be done, by label.
  returned: success
  type: dict
  sample: {}
skew:
  description: Seconds that the control node's clock is ahead of the API's.
  returned: when the API says its time
  type: float
  sample: 0.4
account:
  description: EUUID of the account, when the token may read it.
  returned: success
  type: str
  sample: E1AF5EEC-526F-487D-B317EBEB34C87D71
"""

import time
from collections.abc import Mapping
from typing import Any

from ..module_utils.core.cost import parse_time
from ..module_utils.core.failure import Failure
from ..module_utils.core.local_module import Call
from ..module_utils.core.retry import pause_s
from ..module_utils.linode.client import LinodeApi
from ..module_utils.linode.module import api_module
from ..module_utils.offer.budget import ACTIONS, DEFAULT_ACTION, watched
from ..module_utils.offer.budget_look import BUDGET_SPEC, budget_of, look
from ..module_utils.session.lease_note import lost
from ..module_utils.session.name import firewall_label
from ..module_utils.session.tags import MARKER, decode, is_ours, merge, with_changes, with_doom
from ..module_utils.session.view import session_view
from ..module_utils.watch.decision import Decision, budget, decide, superseded, why
from ..module_utils.watch.idle_clock import IdleClock, settled, start_overdue
from ..module_utils.watch.next_steps import ailing, look_again

POLL_S = 1.0
# Seconds after which a deletion whose answer was lost, and that shows no effect, is asked for once more.
DELETE_AGAIN_S = 5


class Watch:
    def __init__(self, module: Call, api: LinodeApi, result: dict[str, Any]) -> None:
        self.check = module.check_mode
        self.warn = module.warn
        self.params = module.params
        self.api = api
        self.result = result
        result.update(
            sessions=[], due=[], marked={}, unmarked={}, blocked={}, restored={}, deferred=[], deleted=[], failures={}
        )
        self.budget, self.records = budget_of(self.params)
        self.unpaid: Mapping[str, int] = {}
        # Labels whose deletion was asked for or, in check mode, would be.
        self.deleting: list[str] = []
        result["budget"] = None
        self.looks: dict[str, dict[str, Any]] = {
            label: look for label, look in module.params["observations"].items() if isinstance(look, dict)
        }
        self.clocks = {label: self.clock(label, look.get("clock")) for label, look in self.looks.items()}

    def clock(self, label: str, data: object) -> IdleClock | None:
        if not data:
            return None
        try:
            return IdleClock.from_dict(data)
        except ValueError as error:
            self.warn(f"The idle clock of {label} says nothing: {error}")
            return None

    def check_account(self) -> None:
        """Nothing is touched in another account than the one that was asked for."""
        wanted = self.params["account"]
        try:
            self.result["account"] = self.api.get("account")["euuid"]
        except Failure as failure:
            if wanted or failure.kind not in ("scope", "auth"):
                raise
            self.result["account"] = None
        if wanted and self.result["account"] != wanted:
            raise Failure(
                "conflict",
                f"The token opens account {self.result['account']}, but the sessions were made in {wanted}.",
                remedy="Use a token of that account. Nothing was changed.",
                field="account",
                value=self.result["account"],
            )

    def look(self) -> list[dict[str, Any]]:
        """Every VM with our marker, as it is now."""
        rows = [row for row in self.api.list("linode/instances", {"tags": MARKER}) if is_ours(row["tags"])]
        self.replaced = superseded([session_view(row, int(time.time())) for row in rows], self.clocks)
        self.count(rows)
        wanted = self.params["session"]
        return [row for row in rows if wanted in (None, decode(row["tags"]).session)]

    def count(self, rows: list[dict[str, Any]]) -> None:
        """What the month's sessions cost, and which of them the budget does not pay any more."""
        if self.budget is None:
            return
        action = self.params["budget_action"]
        try:
            seen = look(self.api, int(time.time()), rows, self.records)
        except Failure as failure:
            # What cannot be counted ends nothing, and keeps no other deletion.
            self.result["failures"]["budget"] = failure.as_dict()
            return
        found = watched(seen, self.budget, action)
        self.unpaid = found.ends
        self.result["budget"] = found.as_dict(seen, self.budget, action)
        if found.state != "within":
            self.warn(found.sentence)

    def decide(self, row: dict[str, Any]) -> tuple[dict[str, Any], Decision]:
        now = int(time.time())
        view = session_view(row, now)
        clock = self.clocks.get(row["label"])
        decision = decide(
            view,
            clock,
            now,
            self.api.skew,
            self.params["interval"],
            row["label"] in self.replaced,
            self.unpaid.get(row["label"]),
        )
        return view, decision

    # -- what somebody wrote over ----------------------------------------------------------------------------------

    def noted(self, row: dict[str, Any]) -> list[str]:
        """The tags of the session's firewall, where extensions and pauses are noted a second time."""
        name = decode(row["tags"]).session
        if name is None:
            return []
        label = firewall_label(name)
        try:
            walls = self.api.list("networking/firewalls", {"label": label})
        except Failure as failure:
            if failure.kind not in ("scope", "auth"):
                raise
            self.warn(f"{failure.message} Whether an extension of {row['label']} was written over is not known.")
            return []
        return next((wall["tags"] for wall in walls if wall["label"] == label and is_ours(wall["tags"])), [])

    def put_back(self, row: dict[str, Any], noted: list[str]) -> dict[str, Any]:
        """``row``; with what its tags lack of what is ``noted`` written into them, if they lack any."""
        changes = lost(decode(row["tags"]), noted, int(time.time()))
        if not changes:
            return row
        if not self.check:

            def put() -> None:
                fresh = self.api.get(f"linode/instances/{row['id']}")
                found = decode(fresh["tags"])
                still = lost(found, noted, int(time.time()))
                if still:
                    tags = merge(fresh["tags"], with_changes(found.whole(), **still))
                    self.api.put(f"linode/instances/{row['id']}", {"tags": tags})

            self.api.when_free(put)
        tags = merge(row["tags"], with_changes(decode(row["tags"]).whole(), **changes))
        self.result["changed"] = True
        what = " and ".join(
            f"its {name}" for name, key in (("lease", "lease_end"), ("pause", "pause")) if key in changes
        )
        self.result["restored"][row["label"]] = f"{row['label']}: {what} had been written over, and is put back."
        return {**row, "tags": tags}

    # -- looking again ---------------------------------------------------------------------------------------------

    def again(self, row: dict[str, Any], action: str) -> dict[str, Any] | None:
        """The VM read again and decided upon again: it, or None when ``action`` is no longer what is decided."""
        noted = self.noted(row)
        try:
            fresh = self.api.get(f"linode/instances/{row['id']}")
        except Failure as failure:
            if failure.kind == "not_found":
                return None
            raise
        tags = decode(fresh["tags"])
        if not tags.ours or lost(tags, noted, int(time.time())) or self.decide(fresh)[1].action != action:
            return None
        return fresh

    # -- marks -----------------------------------------------------------------------------------------------------

    def note(self, row: dict[str, Any], decision: Decision) -> None:
        """Write or remove the mark, right after the tags were read: they can only be replaced as a whole."""
        written: Decision | None = decision
        if not self.check:
            try:
                written = self.api.when_free(lambda: self.write_mark(row, decision.action))
            except Failure as failure:
                if failure.kind == "not_found":
                    return
                if failure.kind != "ambiguous":
                    raise
                # Whether it is there is seen by the next pass.
                self.warn(f"Whether the mark of {row['label']} was written is not known: {failure.cause}")
        if written is None:
            return
        self.result["changed"] = True
        self.result["marked" if written.action == "mark" else "unmarked"][row["label"]] = written.sentence

    def write_mark(self, row: dict[str, Any], action: str) -> Decision | None:
        """One try: the decision that was written, or None when it is another one by now."""
        fresh = self.again(row, action)
        if fresh is None:
            return None
        decision = self.decide(fresh)[1]
        self.api.put(f"linode/instances/{row['id']}", {"tags": with_doom(fresh["tags"], decision.doom)})
        return decision

    # -- deletions -------------------------------------------------------------------------------------------------

    def delete(self, row: dict[str, Any]) -> bool:
        """Ask for the deletion if it is still decided: whether it is on its way. Only a 404 later on counts."""

        def ask() -> bool:
            if self.again(row, "delete") is None:
                return False
            self.api.delete(f"linode/instances/{row['id']}")
            return True

        try:
            asked = self.api.when_free(ask)
        except Failure as failure:
            if failure.kind not in ("ambiguous", "not_found"):
                raise
            asked = True
        if asked:
            self.deletes(row)
        return asked

    def deletes(self, row: dict[str, Any]) -> None:
        self.result["changed"] = True
        if row["label"] not in self.deleting:
            self.deleting.append(row["label"])

    def wait_gone(self, row: dict[str, Any], deadline: float) -> int:
        """When the API answered 404; Failure when it does not in time. A lost request is sent again."""
        asked = time.monotonic()
        while True:
            try:
                status = self.api.get(f"linode/instances/{row['id']}")["status"]
            except Failure as failure:
                if failure.kind == "not_found":
                    return int(time.time())
                raise
            if time.monotonic() > deadline:
                raise Failure(
                    "timeout",
                    f"{row['label']} is still {status} although its deletion was asked for.",
                    remedy="The next pass asks again.",
                )
            if status != "deleting" and time.monotonic() - asked > pause_s(DELETE_AGAIN_S):
                asked = time.monotonic()
                self.delete(row)
            time.sleep(POLL_S)

    def gone(self, row: dict[str, Any], when: int, cause: str) -> None:
        view = session_view(row, max(when, parse_time(row["created"])))
        reason = why(cause, self.clocks.get(row["label"]))
        cost = "at an unknown price" if view["cost_so_far"] is None else f"${view['cost_so_far']:.2f}"
        self.result["deleted"].append(
            {
                **{key: view[key] for key in ("label", "name", "linode_id", "plan", "region", "created", "hourly")},
                "hours": view["started_hours"],
                "cost": view["cost_so_far"],
                "cause": cause,
                "reason": reason,
                "sentence": f"{row['label']} is deleted because {reason}: {view['started_hours']} started hour(s), {cost}.",
            }
        )

    def failed(self, row: dict[str, Any], failure: Failure) -> None:
        view = session_view(row, int(time.time()))
        price = f"${view['hourly']:.2f}/h" if view["hourly"] else "an unknown price"
        failure.billing = failure.billing or (f"Linode {row['label']} ({row['id']}) is billing at {price}",)
        self.result["failures"][row["label"]] = failure.as_dict()

    # -- a pass ----------------------------------------------------------------------------------------------------

    def one(self, row: dict[str, Any]) -> str | None:
        """Decide on a VM and do what needs no further look: whether its deletion was asked for."""
        view, decision = self.decide(row)
        if decision.action in ("mark", "wait", "delete"):
            view, decision = self.decide(self.put_back(row, self.noted(row)))
        for doubt in view["doubts"]:
            self.warn(f"{row['label']}: somebody changed its tags: {doubt}.")
        clock = self.clocks.get(row["label"])
        created, now = parse_time(view["created"]), int(time.time())
        self.result["sessions"].append(
            {
                **view,
                "decision": decision.as_dict(),
                "idle_s": round(clock.idle_s) if clock and clock.started else None,
                "hung": clock.hung if clock else None,
                "settled": settled(created, now, clock),
                "start_overdue": start_overdue(created, now, clock),
                "use": clock.use() if clock else None,
            }
        )
        if decision.action in ("mark", "unmark"):
            self.note(row, decision)
        elif decision.action in ("blocked", "refused"):
            self.result["blocked"][row["label"]] = decision.sentence
        elif decision.action == "delete":
            self.result["due"].append(row["label"])
            if row["label"] in self.params["delete"]:
                if self.left < 1:
                    self.result["deferred"].append(row["label"])
                else:
                    self.left -= 1
                    if self.check:
                        self.deletes(row)
                    else:
                        return decision.cause if self.delete(row) else None
        return None

    def sweep(self) -> None:
        self.check_account()
        rows = self.look()
        self.left = budget(len(rows), self.params["max_deletions"])
        asked = []
        # What costs most first.
        for row in sorted(rows, key=lambda row: (-(decode(row["tags"]).hourly_micros or 0), row["label"])):
            try:
                cause = self.one(row)
            except Failure as failure:
                self.failed(row, failure)
            else:
                if cause:
                    asked.append((row, cause))
        deadline = time.monotonic() + self.params["wait_timeout"]
        for row, cause in asked:
            try:
                self.gone(row, self.wait_gone(row, deadline), cause)
            except Failure as failure:
                self.failed(row, failure)
        result = self.result
        result["again"] = look_again(result["due"], result["marked"], result["unmarked"], self.looks)
        result["ailing"] = ailing(result["sessions"], self.looks)
        result["skew"] = self.api.skew
        changes = {name: result[name] for name in ("marked", "unmarked", "restored") if result[name]}
        deleted = {"deleted": self.deleting} if self.deleting else {}
        result["diff"] = {"before": {}, "after": {**changes, **deleted}}


def work(module: Call, api: LinodeApi, result: dict[str, Any]) -> None:
    Watch(module, api, result).sweep()


MODULE = api_module(
    {
        "session": {"type": "str"},
        "observations": {"type": "dict", "default": {}},
        "interval": {"type": "int", "default": 300},
        "delete": {"type": "list", "elements": "str", "default": []},
        "max_deletions": {"type": "int"},
        "account": {"type": "str"},
        **BUDGET_SPEC,
        "budget_action": {"type": "str", "choices": list(ACTIONS), "default": DEFAULT_ACTION},
        "wait_timeout": {"type": "int", "default": 300},
    },
    work,
    # Only there does a Linode say that somebody locked it.
    version="v4beta",
)


def main() -> None:
    MODULE.main()


if __name__ == "__main__":
    main()
