#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: linode_gpu_session_tags
short_description: Change what the tags of a session say
version_added: 0.1.0
description:
  - Replaces our part of the tags of a session's Linode and keeps every other tag.
extends_documentation_fragment:
  - linode_coder.gpu.linode
  - linode_coder.gpu.budget
  - linode_coder.gpu.linode.attributes
options:
  session:
    description: Name of the session.
    type: str
    required: true
  host_key:
    description: Public host key that the VM presents, an C(ssh-ed25519) line. Ends a replacement.
    type: str
  next_host_key:
    description: Public host key that the VM is about to present, beside the present one.
    type: str
  model:
    description: Id of the model that the session serves.
    type: str
  extend:
    description: How long to extend the lease by, counted from its end. Takes a mark for deletion back.
    type: str
  extend_until:
    description:
      - When the lease is to end, for example V(18:30) or V(2026-12-24T18:30Z). Never shortens it.
      - Takes a mark for deletion back.
    type: str
  pause:
    description:
      - How long healing and idle deletion are to pause from now on, at the longest to the hard cap, or V(clear).
      - The lease goes on.
    type: str
  idle:
    description: Idle time after which the session goes, or V(off).
    type: str
"""

EXAMPLES = r"""
- name: Announce the key that the VM is about to present
  linode_coder.gpu.linode_gpu_session_tags:
    session: demo
    next_host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4
- name: Keep a session for two more hours
  linode_coder.gpu.linode_gpu_session_tags:
    session: demo
    extend: 2h
"""

RETURN = r"""
session:
  description: The session's view with the new tags.
  returned: success
  type: dict
  sample: {"name": "demo"}
budget:
  description: What the month's budget says of a longer lease, in dollars. Null without one.
  returned: success
  type: dict
  sample: {"budget": 50.0, "spent": 12.5, "committed": 4.16, "adds": 1.04, "left": 32.3}
connection:
  description: Connection variables that pin the host keys in the tags.
  returned: success
  type: dict
  sample: {"ansible_host": "203.0.113.7"}
"""

import time
from typing import Any

from ..module_utils.core.cost import format_time
from ..module_utils.core.failure import Failure
from ..module_utils.core.local_module import Call
from ..module_utils.linode.client import LinodeApi
from ..module_utils.linode.module import api_module
from ..module_utils.offer.budget import against_budget, extension_adds
from ..module_utils.offer.budget_look import BUDGET_SPEC, budget_of, look
from ..module_utils.session.host_key import from_openssh
from ..module_utils.session.lease import Lease, extended, parse_idle, paused_until
from ..module_utils.session.lease_note import with_note
from ..module_utils.session.name import firewall_label, validate_session_name
from ..module_utils.session.ssh import connection_vars
from ..module_utils.session.tags import MARKER, SessionTags, decode, encode, is_ours, merge, with_changes
from ..module_utils.session.view import session_view

# Seconds after which a changed lease is read back: whoever read the tags before has written them by then.
VERIFY_S = 2
# The same when the deletion of a marked VM may have been asked for: a request on its way has arrived by then.
IN_FLIGHT_S = 10


def public_key(params: dict[str, Any], field: str) -> bytes:
    try:
        return from_openssh(params[field])
    except ValueError as error:
        raise Failure(
            "usage",
            f"{field} {params[field]!r} is not an ssh-ed25519 public key.",
            remedy="Pass the whole line: ssh-ed25519 AAAA...",
            field=field,
            value=params[field],
        ) from error


def whole(row: dict[str, Any], name: str) -> SessionTags:
    """The tags of ``row``; Failure(conflict) when some are missing."""
    decoded = decode(row["tags"])
    if not decoded.complete:
        raise Failure(
            "conflict",
            f"The tags of {row['label']} are incomplete: {', '.join(decoded.missing)}.",
            remedy=f"Put them back in Cloud Manager, or delete the VM: linode-coder down {name}.",
            field="session",
            value=name,
        )
    return decoded.whole()


def write(api: LinodeApi, number: int, name: str, changes: dict[str, Any]) -> dict[str, Any]:
    """Our part of the tags as they are at this moment, with ``changes``. Writing twice is harmless: an unclear answer is repeated."""

    def put() -> dict[str, Any]:
        row = api.get(f"linode/instances/{number}")
        tags = with_changes(whole(row, name), **changes)
        return api.put(f"linode/instances/{number}", {"tags": merge(row["tags"], tags)})

    try:
        return api.when_free(put)
    except Failure as failure:
        if failure.kind != "ambiguous":
            raise
    return api.when_free(put)


def read_back(api: LinodeApi, instance: dict[str, Any]) -> dict[str, Any]:
    """It as it is now; Failure(conflict) when it is gone or going."""
    try:
        row = api.get(f"linode/instances/{instance['id']}")
    except Failure as failure:
        if failure.kind != "not_found":
            raise
        row = None
    if row is None or row["status"] == "deleting":
        raise Failure(
            "conflict",
            f"{instance['label']} is {'gone' if row is None else 'being deleted'}: this came too late.",
            remedy="See what is left: linode-coder list. Start over: linode-coder up.",
            field="session",
        )
    return row


def write_for_good(api: LinodeApi, instance: dict[str, Any], name: str, clocks: dict[str, Any]) -> dict[str, Any]:
    """As ``write``, for what a watcher may write over at the same moment: read back, and written again if it is gone.

    Tags are only ever replaced as a whole, so two writers at once lose what one of them wrote. And a deletion whose time
    had come may have been asked for just before.
    """
    marked = decode(instance["tags"]).doom
    late = marked is not None and marked <= time.time() + IN_FLIGHT_S
    for _attempt in range(3):
        write(api, instance["id"], name, clocks)
        time.sleep(IN_FLIGHT_S if late else VERIFY_S)
        instance = read_back(api, instance)
        found = decode(instance["tags"])
        kept = found.lease_end is not None and found.lease_end >= clocks.get("lease_end", 0)
        if found.complete and kept and ("pause" not in clocks or found.pause == clocks["pause"]):
            return instance
    raise Failure(
        "conflict",
        f"Somebody else keeps changing the tags of {instance['label']}.",
        remedy="Look at them, then run the command again: linode-coder status",
    )


def write_note(api: LinodeApi, module: Call, tags: SessionTags, clocks: dict[str, Any]) -> None:
    """Note it on the session's firewall too. It is a second copy, so doing without it is said, and is no failure."""
    label = firewall_label(tags.session)
    try:
        rows = api.list("networking/firewalls", {"label": label})
        found = next((row for row in rows if row["label"] == label and is_ours(row["tags"])), None)
        if found:
            noted = with_note(found["tags"], tags.hard_cap, clocks)
            if noted != found["tags"]:
                api.put(f"networking/firewalls/{found['id']}", {"tags": noted})
            return
    except Failure as failure:
        reason = f"{failure.message} {failure.cause or ''}".strip()
    else:
        reason = f"the account has no firewall {label}"
    module.warn(f"It is not noted a second time ({reason}). A watcher that wrote the tags meanwhile could undo it.")


def clock_changes(params: dict[str, Any], tags: SessionTags, now: int) -> dict[str, Any]:
    """What of the clocks is to change: the lease's end, the mark, the pause."""
    changes: dict[str, Any] = {}
    if params["extend"] or params["extend_until"]:
        end = extended(Lease(tags.lease_end, tags.hard_cap), now, params["extend"], params["extend_until"])
        changes.update(lease_end=end, doom=None)
    if params["pause"] == "clear":
        changes["pause"] = None
    elif params["pause"]:
        changes["pause"] = paused_until(now, params["pause"], tags.hard_cap)
    return changes


def stand_before(
    api: LinodeApi, params: dict[str, Any], rows: list[dict[str, Any]], instance: dict[str, Any], end: int
) -> dict[str, Any] | None:
    """What the budget says of a lease that ends later; Failure(refused) when it does not pay that."""
    budget, records = budget_of(params)
    if budget is None:
        return None
    now = int(time.time())
    view = session_view(instance, now)
    seen = look(api, now, rows, records, view["hourly"])
    adds = extension_adds(view, format_time(end))
    return against_budget(seen, budget, adds, view["hourly"], f"a longer lease of {view['name']}")


def work(module: Call, api: LinodeApi, result: dict[str, Any]) -> None:
    params = module.params
    name = validate_session_name(params["session"])
    rows = api.list("linode/instances", {"tags": MARKER})
    found = [row for row in rows if decode(row["tags"]).session == name]
    if not found:
        raise Failure(
            "not_found",
            f"No Linode carries the tags of session {name!r}.",
            remedy="linode-coder list shows the sessions of this account.",
            field="session",
            value=name,
        )
    # While its VM is being replaced, a session has two, and the new one is meant.
    newest = max(decode(row["tags"]).generation or 0 for row in found)
    found = [row for row in found if (decode(row["tags"]).generation or 0) == newest]
    if len(found) > 1:
        labels = ", ".join(row["label"] for row in found)
        raise Failure("conflict", f"Several Linodes carry the tags of session {name!r}: {labels}.", field="session")
    instance = found[0]
    tags = whole(instance, name)
    changes: dict[str, Any] = {}
    if params["host_key"]:
        changes.update(host_key=public_key(params, "host_key"), next_host_key=None)
    if params["next_host_key"]:
        changes["next_host_key"] = public_key(params, "next_host_key")
    if params["model"]:
        changes["model"] = params["model"]
    if params["idle"]:
        changes["idle_minutes"] = parse_idle(params["idle"])
    now = int(time.time())
    clocks = clock_changes(params, tags, now)
    wanted = with_changes(tags, **changes, **clocks)
    result["budget"] = None
    if wanted.lease_end > tags.lease_end:
        result["budget"] = stand_before(api, params, rows, instance, wanted.lease_end)
    result["changed"] = wanted != tags
    result["diff"] = {"before": "\n".join(encode(tags)) + "\n", "after": "\n".join(encode(wanted)) + "\n"}
    if result["changed"] and not module.check_mode:
        if changes:
            instance = write(api, instance["id"], name, changes)
        if clocks:
            # What ends a pause is noted first, and what begins one last: a note without its tag is put back.
            if clocks.get("pause", now) is None:
                write_note(api, module, tags, {"pause": None})
            instance = write_for_good(api, instance, name, clocks)
            write_note(api, module, tags, clocks)
    view = session_view(instance, int(time.time()))
    result["session"] = view
    result["connection"] = connection_vars(view["address"], [from_openssh(key) for key in view["host_keys"]])


MODULE = api_module(
    {
        "session": {"type": "str", "required": True},
        "host_key": {"type": "str", "no_log": False},
        "next_host_key": {"type": "str", "no_log": False},
        "model": {"type": "str"},
        "extend": {"type": "str"},
        "extend_until": {"type": "str"},
        "pause": {"type": "str"},
        "idle": {"type": "str"},
        **BUDGET_SPEC,
    },
    work,
)


def main() -> None:
    MODULE.main()


if __name__ == "__main__":
    main()
