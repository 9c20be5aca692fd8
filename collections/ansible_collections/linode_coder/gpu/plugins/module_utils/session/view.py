# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One session as every reader sees it: modules, inventory, command line."""

from __future__ import annotations

import socket
from typing import Any

from ..core.cost import cost, format_time, paid_until, parse_time, started_hours
from ..linode.gpu_plans import card_of, known_plan
from .host_key import to_openssh
from .tags import decode


def is_address(text: object) -> bool:
    """Whether it is an IPv4 address: ssh takes what is not for an option, or for a name that somebody else answers for."""
    try:
        return isinstance(text, str) and bool(socket.inet_pton(socket.AF_INET, text))
    except (OSError, ValueError):
        return False


def session_view(instance: dict[str, Any], now: int) -> dict[str, Any]:
    """The session that ``instance`` (an object of the API) is.

    Times are ISO-8601 in UTC, money is dollars; what the tags do not say is None and listed in ``missing``;
    ``doubts`` are sentences about tags that people changed.
    """
    tags = decode(instance.get("tags") or [])
    created = parse_time(instance["created"])
    hourly = tags.hourly_micros / 1_000_000 if tags.hourly_micros else None
    addresses = [address for address in instance.get("ipv4") or [] if is_address(address)]
    plan = str(instance.get("type"))
    known, card = known_plan(plan), card_of(plan)
    keys = [key for key in (tags.host_key, tags.next_host_key) if key]
    return {
        "name": tags.session,
        "group": tags.group,
        "status": instance.get("status"),
        "linode_id": instance.get("id"),
        "label": instance.get("label"),
        "generation": tags.generation,
        "owner": tags.owner,
        "plan": instance.get("type"),
        "gpus": known.gpus if known else None,  # an instance of the API does not say
        "gpu": card.name if card else None,
        "region": instance.get("region"),
        "image": instance.get("image"),
        "address": addresses[0] if addresses else None,
        "model": tags.model,
        "created": format_time(created),
        "lease_end": format_time(tags.lease_end) if tags.lease_end else None,
        "hard_cap": format_time(tags.hard_cap) if tags.hard_cap else None,
        "lease_left": tags.lease_end - now if tags.lease_end else None,
        "idle_minutes": tags.idle_minutes,
        "hourly": hourly,
        "started_hours": started_hours(created, now),
        "cost_so_far": cost(created, now, hourly),
        "cost_to_lease_end": cost(created, tags.lease_end, hourly) if tags.lease_end else None,
        "paid_until": format_time(paid_until(created, now)),
        "doomed": format_time(tags.doom) if tags.doom is not None else None,
        "paused_until": format_time(tags.pause) if tags.pause is not None and tags.pause > now else None,
        "locks": instance.get("locks"),  # only v4beta says; None is unknown
        "host_keys": [to_openssh(key) for key in keys],
        "complete": tags.complete,
        "missing": list(tags.missing),
        "doubts": list(tags.doubts),
    }
