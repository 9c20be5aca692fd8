# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one pass of the watchdog makes of what it saw: where it looks again, what is healed, and what it reports.

``looks`` are the results of ``session_look`` and ``session_activity`` as they were registered, by label of the VM: of one that
could not be looked at they have no ``clock``, and ``msg`` says why. ``sessions`` are views, each with its ``decision``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ..core.finding import SEVERITIES

Looks = Mapping[str, Mapping[str, Any]]
Sessions = Iterable[Mapping[str, Any]]


def look_again(
    due: Iterable[str], marked: Mapping[str, str], unmarked: Iterable[str], looks: Looks
) -> list[dict[str, str | None]]:
    """VMs to look at once more, as ``label`` and ``notice``: what people who are logged in are told, empty to take back what
    they were told, None to leave it. Before a deletion it is seen again whether it is due; what does not run cannot be told.
    """
    unmarked = list(unmarked)
    return [
        {"label": label, "notice": marked.get(label, "" if label in unmarked else None)}
        for label in dict.fromkeys([*due, *marked, *unmarked])
        if label in looks
    ]


def _staying(sessions: Sessions) -> list[str]:
    """Labels of VMs that are not about to go, and not still being brought up."""
    return [view["label"] for view in sessions if view["decision"]["action"] == "keep" and view["settled"]]


def _well(label: str, looks: Looks) -> bool:
    """Unknown is not well."""
    return (looks.get(label, {}).get("health") or {}).get("severity") == "pass"


def ailing(sessions: Sessions, looks: Looks) -> list[str]:
    """Labels of VMs that stay and were not seen to be well, so that healing looks closer."""
    return [label for label in _staying(sessions) if not _well(label, looks)]


def healthy(sessions: Sessions, looks: Looks) -> list[str]:
    """Labels of VMs that stay and were seen to be well."""
    return [label for label in _staying(sessions) if _well(label, looks)]


def health_of(looks: Looks) -> dict[str, dict[str, Any]]:
    """What was seen of each VM's health, by label: the worst ``severity``, how many ``findings`` of each, and when (``at``, by the
    control node's clock). A VM whose health was not looked at is not in it.
    """
    found = {}
    for label, look in looks.items():
        health = look.get("health")
        if health:
            counts = Counter(str(finding["severity"]) for finding in health.get("findings") or ())
            numbers = {severity: counts[severity] for severity in SEVERITIES if severity != "pass"}
            found[label] = {"severity": health["severity"], "at": health.get("at"), "findings": numbers}
    return found


def report_of(
    decided: Mapping[str, Any],
    deleted: Mapping[str, Any],
    looks: Looks,
    healing: Mapping[str, Any],
    failures: Mapping[str, Any],
) -> dict[str, Any]:
    """The report of a pass.

    :param decided: what ``linode_gpu_watch`` answered first; empty when it could not look at the account.
    :param deleted: what it answered when it deleted what was due; empty when nothing was.
    :param healing: what came of healing, by label.
    :param failures: failures beside its own, by what failed.
    """
    sessions = list(decided.get("sessions") or [])
    same = {name: decided.get(name) or {} for name in ("marked", "unmarked", "blocked")}
    return {
        "sessions": sessions,
        "unobserved": {
            label: look.get("msg", "no reason given") for label, look in looks.items() if "clock" not in look
        },
        **same,
        "restored": {**(decided.get("restored") or {}), **(deleted.get("restored") or {})},
        "deferred": deleted.get("deferred") or [],
        "deleted": deleted.get("deleted") or [],
        "healing": dict(healing),
        "healthy": healthy(sessions, looks),
        "health": health_of(looks),
        "failures": {**failures, **(decided.get("failures") or {}), **(deleted.get("failures") or {})},
        "skew": decided.get("skew"),
        "budget": decided.get("budget"),
        "account": decided.get("account"),
    }
