# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups: sessions of one model and one key, which are called as their group with a number."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..core.failure import Failure
from .name import validate_session_name

# More VMs than a person watches over, and a mistyped number is not a fortune.
MAX_REPLICAS = 8
_NUMBER = re.compile(r"[1-9][0-9]?", re.ASCII)

View = Mapping[str, Any]


def member_name(group: str, number: int) -> str:
    return f"{group}-{number}"


def check_replicas(replicas: int) -> None:
    """Failure(usage) for a number of members that is none."""
    if not 1 <= replicas <= MAX_REPLICAS:
        raise Failure(
            "usage",
            f"replicas: {replicas} is no number of sessions from 1 to {MAX_REPLICAS}.",
            remedy="More VMs than that belong into a cluster: see the documentation of groups.",
            field="replicas",
            value=replicas,
        )


def check_member(group: str, session: str) -> None:
    """Failure(usage) for a session that is not called as a member of that group is."""
    validate_session_name(group)
    validate_session_name(session)
    start = f"{group}-"
    if not session.startswith(start) or not _NUMBER.fullmatch(session[len(start) :]):
        raise Failure(
            "usage",
            f"group: {session!r} is not how a session of the group {group!r} is called.",
            remedy=f"Call it {member_name(group, 1)}, {member_name(group, 2)} and so on.",
            field="group",
            value=group,
        )


def _number(view: View) -> int:
    number = str(view["name"]).rpartition("-")[2]
    return int(number) if _NUMBER.fullmatch(number) else 0


def members(views: Iterable[View], group: str) -> list[View]:
    """The sessions of the group, by their numbers; what is being deleted is none."""
    found = [view for view in views if view["group"] == group and view["name"] and view["status"] != "deleting"]
    return sorted(found, key=lambda view: (_number(view), str(view["label"])))


def is_group(views: Iterable[View], name: str | None) -> bool:
    """Whether it is a group that is meant: no session of that name exists, and a group does."""
    known = list(views)
    return bool(name) and not any(view["name"] == name for view in known) and bool(members(known, str(name)))


def check_clash(views: Iterable[View], session: str, group: str | None) -> None:
    """Failure(conflict) when a new or an existing ``session`` of ``group``, None for none, would bear a name that is taken."""
    known = [view for view in views if view["status"] != "deleting"]
    if group is None:
        if is_group(known, session):
            raise Failure(
                "conflict",
                f"{session} is the name of a group of {len(members(known, session))} sessions.",
                remedy=f"Take another name, or say how many sessions the group shall have: linode-coder up {session} --replicas N",
                field="session",
                value=session,
            )
        return
    check_member(group, session)
    for view in known:
        if view["name"] == group:
            raise Failure(
                "conflict",
                f"There is a session {group}, so a group cannot be called that.",
                remedy=f"Take another name for the group, or end the session first: linode-coder down {group}",
                field="group",
                value=group,
            )
        if view["name"] == session and view["group"] != group:
            raise Failure(
                "conflict",
                f"Session {session} exists and is not of the group {group}.",
                remedy=f"Take another name for the group, or end the session first: linode-coder down {session}",
                field="group",
                value=group,
            )


def wanted_members(views: Iterable[View], group: str, replicas: int) -> list[str]:
    """The names of the sessions that a group of so many has: those that exist, and new ones with the lowest free numbers.

    Failure(usage) when more exist: which of them to end is for a person to say.
    """
    check_replicas(replicas)
    validate_session_name(group)
    known = list(views)
    names = [str(view["name"]) for view in members(known, group)]
    if len(names) > replicas:
        rest = names[replicas:]
        raise Failure(
            "usage",
            f"The group {group} has {len(names)} sessions: {', '.join(names)}.",
            remedy="`up` never deletes. End those that you do not need: "
            + "; ".join(f"linode-coder down {name}" for name in rest),
            field="replicas",
            value=replicas,
        )
    numbers = iter(range(1, 100))
    while len(names) < replicas:
        name = member_name(group, next(numbers))
        if name not in names:
            names.append(name)
    names.sort(key=lambda name: int(name.rpartition("-")[2]))
    for name in names:
        check_clash(known, name, group)
    return names
