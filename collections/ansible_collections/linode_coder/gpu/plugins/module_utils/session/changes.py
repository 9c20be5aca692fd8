# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `up` with options means for a session that exists: what its tags can take, and what only a new VM could."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ..core.cost import cost, format_time, parse_time
from ..core.duration import format_duration, parse_duration
from ..core.failure import Failure
from .lease import MIN_LEASE_S, parse_idle

# A lease counts from the moment before the create call, and the API's clock is another one.
TOLERANCE_S = 600


def _fixed(view: dict[str, Any], field: str, asked: str, remedy: str) -> Failure:
    return Failure(
        "refused",
        f"Session {view['name']!r} has {field} {view[field]!r}, which cannot become {asked!r} while its VM exists.",
        remedy=remedy,
        field="cap" if field == "hard_cap" else field,
        value=asked,
    )


def _new_lease_end(view: dict[str, Any], lease: str) -> int | None:
    """The end that ``lease`` asks for, counted from the creation; None when the present one is that late already.

    A session that was extended lasts longer than the options that it was made with say, and they ask for nothing new.
    """
    seconds = parse_duration(lease, "lease")
    if seconds < MIN_LEASE_S:
        raise Failure(
            "usage",
            f"lease {lease!r} is too short.",
            remedy=f"Ask for at least {format_duration(MIN_LEASE_S)}, for example --lease 2h.",
            field="lease",
            value=lease,
        )
    end, cap = parse_time(view["lease_end"]), parse_time(view["hard_cap"])
    wanted = parse_time(view["created"]) + seconds
    if wanted <= end + TOLERANCE_S:
        return None
    if wanted > cap + TOLERANCE_S:
        raise Failure(
            "refused",
            f"lease {lease!r} counts from the creation and would end {format_time(wanted)}, after the hard cap "
            f"{view['hard_cap']}.",
            remedy=f"The hard cap of a session does not move. Ask for at most {format_duration(cap - parse_time(view['created']))}.",
            field="lease",
            value=lease,
        )
    return min(wanted, cap)


def session_changes(
    view: dict[str, Any],
    *,
    plans: Collection[str] = (),
    regions: Collection[str] = (),
    lease: str | None = None,
    cap: str | None = None,
    idle: str | None = None,
    max_cost: float | None = None,
) -> dict[str, str]:
    """New values for the tags as ``linode_gpu_session_tags`` takes them, empty when all is as asked for.

    Only what was asked for explicitly belongs here. Failure(refused) for what the VM that exists cannot become.
    """
    again = f"Leave --{{}} out, or start over: linode-coder down {view['name']}"
    if plans and view["plan"] not in plans:
        raise _fixed(view, "plan", ", ".join(plans), again.format("plan"))
    if regions and view["region"] not in regions:
        raise _fixed(view, "region", ", ".join(regions), again.format("region"))
    clocks = (lease, cap, idle, max_cost)
    if all(value in (None, "") for value in clocks):
        return {}
    if not view["complete"]:
        raise Failure(
            "conflict",
            f"The tags of {view['label']} are incomplete: {', '.join(view['missing'])}.",
            remedy=f"Put them back in Cloud Manager, or delete the VM: linode-coder down {view['name']}.",
            field="session",
            value=view["name"],
        )
    changes: dict[str, str] = {}
    if cap:
        wanted = parse_time(view["created"]) + parse_duration(cap, "cap")
        if abs(wanted - parse_time(view["hard_cap"])) > TOLERANCE_S:
            raise _fixed(view, "hard_cap", format_time(wanted), again.format("cap"))
    if lease:
        end = _new_lease_end(view, lease)
        if end is not None:
            changes["until"] = format_time(end)
    if idle:
        minutes = parse_idle(idle)
        if minutes != view["idle_minutes"]:
            changes["idle"] = "off" if minutes is None else f"{minutes}m"
    if max_cost is not None and "until" in changes:
        total = cost(parse_time(view["created"]), parse_time(changes["until"]), view["hourly"])
        if total is None or total > max_cost:
            raise Failure(
                "refused",
                f"Session {view['name']!r} would cost {'an unknown sum' if total is None else f'${total:.2f}'} to the end "
                f"of that lease, more than max_cost ${max_cost:.2f}.",
                remedy="Raise the limit, or leave --lease out.",
                field="max_cost",
                value=max_cost,
            )
    return changes


def beyond(view: dict[str, Any], lease: str | None = None, max_cost: float | None = None) -> list[str]:
    """What the session exceeds of what was asked for, and keeps: it was extended since, or is meant to end earlier."""
    if not view["complete"]:
        return []
    created, end = parse_time(view["created"]), parse_time(view["lease_end"])
    found = []
    if lease and created + parse_duration(lease, "lease") + TOLERANCE_S < end:
        found.append(
            f"its lease ends {view['lease_end']}, later than {lease} after its creation; "
            f"to end it earlier: linode-coder down {view['name']}"
        )
    total = cost(created, end, view["hourly"])
    if max_cost is not None and total is not None and total > max_cost:
        found.append(f"it costs ${total:.2f} to the end of its lease, more than ${max_cost:.2f}")
    return found
