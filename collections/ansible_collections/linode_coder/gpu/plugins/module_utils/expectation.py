# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a session's VM should have, from its tags and its plan; and what a look at several sessions comes to."""

from __future__ import annotations

import re
from typing import Any

from .finding import Finding, worst
from .gpu_plans import card_of
from .health_vm import ssh_finding, status_finding

# The number of cards is a part of the plan's id; the card's name is before it.
_COUNT = re.compile(r"(?:rtx4000a|rtx6000-|blackwell-)([1-9][0-9]?)(?:-|$)")


def expected_of(view: dict[str, Any]) -> dict[str, Any]:
    """Number and name of the cards, and the model. What is not known is left out, so that nothing is compared with it."""
    plan = str(view.get("plan") or "")
    card, count = card_of(plan), _COUNT.search(plan)
    found = {
        "gpus": int(count[1]) if count else None,
        "card": card.name if card else None,
        "model": view.get("model"),
    }
    return {name: value for name, value in found.items() if value is not None}


def session_report(view: dict[str, Any], observed: dict[str, Any] | None) -> dict[str, Any]:
    """One session's findings: those of its VM, and what the provider says.

    :param observed: the result of gpu_health; with ``unreachable`` where it was not reached; None when nobody tried.
    """
    findings = [status_finding(view.get("status"), view.get("status_age"))]
    observed = observed or {}
    reached = isinstance(observed.get("findings"), list)
    if reached:
        findings.append(Finding("vm.ssh", "pass", "vm", "The VM answers over SSH."))
        findings += [Finding.from_dict(entry) for entry in observed["findings"]]
    elif observed.get("unreachable"):
        findings.append(ssh_finding(" ".join(str(observed.get("msg") or "").split()), view.get("status")))
    elif view.get("status") == "running":
        said = str(observed.get("msg") or "Its tags do not say how to connect.")
        findings.append(Finding("vm.ssh", "unknown", "vm", "The VM was not looked at.", " ".join(said.split())[:300]))
    return {
        "name": view.get("name"),
        "label": view.get("label"),
        "linode_id": view.get("linode_id"),
        "status": view.get("status"),
        "severity": worst(findings),
        "reached": reached,
        "findings": [finding.as_dict() for finding in findings],
        "activity": observed.get("activity") if reached else {"readable": False},
        "facts": observed.get("facts") if reached else None,
    }
