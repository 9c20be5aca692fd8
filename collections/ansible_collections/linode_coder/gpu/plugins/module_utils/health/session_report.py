# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One session's findings, from inside and from outside."""

from __future__ import annotations

from typing import Any

from ..core.finding import Finding, worst
from .consequences import with_roots
from .outside import ssh_finding, status_finding


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
        "findings": with_roots(findings),
        "activity": observed.get("activity") if reached else {"readable": False},
        "facts": observed.get("facts") if reached else None,
    }
