# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of an account is ours and dead: VMs that nobody looks after, and firewalls of sessions that are gone."""

from __future__ import annotations

from typing import Any

from ..core.cost import parse_time
from ..watch.decision import YOUNG_S, plans
from .name import firewall_label
from .tags import is_ours
from .view import session_view

ORPHAN = "its tags name no lease, so nobody looks after it"


def dead_resources(instances: list[dict[str, Any]], firewalls: list[dict[str, Any]], now: int) -> list[dict[str, Any]]:
    """What may go, what bills first. What is younger than ten minutes may still be being made.

    The old VM beside its replacement is not among it: whether the new one serves, only a watcher has seen.
    """
    rows = [row for row in instances if is_ours(row["tags"])]
    views = [session_view(row, now) for row in rows]
    found = []
    for view in views:
        orphan = any(plan.cause == "orphan" for plan in plans(view, None, now))
        if orphan and view["status"] != "deleting":
            found.append(
                {
                    "kind": "linode",
                    "id": view["linode_id"],
                    "label": view["label"],
                    "owner": view["owner"],
                    "created": view["created"],
                    "age_s": now - parse_time(view["created"]),
                    "hourly": view["hourly"],
                    "cost": view["cost_so_far"],
                    "locks": view["locks"],
                    "why": ORPHAN,
                }
            )
    # A VM whose tags lost the session's name keeps every firewall that it could be behind.
    names = {view["name"] for view in views} | {view["label"].removeprefix("lc-").rpartition("-")[0] for view in views}
    used = {firewall_label(name) for name in names if name}
    for wall in firewalls:
        age = now - parse_time(wall["created"])
        attached = [entity for entity in wall.get("entities") or [] if entity.get("type") != "firewall"]
        ours = is_ours(wall["tags"]) and wall["label"].startswith("lc-")
        if ours and wall["label"] not in used and not attached and age >= YOUNG_S:
            found.append(
                {
                    "kind": "firewall",
                    "id": wall["id"],
                    "label": wall["label"],
                    "owner": None,
                    "created": wall["created"],
                    "age_s": age,
                    "hourly": 0.0,
                    "cost": 0.0,
                    "locks": None,
                    "why": "its session has no VM",
                }
            )
    return sorted(found, key=lambda row: (row["kind"] != "linode", -(row["hourly"] or 0), row["label"]))
