# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the VM from outside: what the provider says of it, and whether it answers."""

from __future__ import annotations

import re

from ..core.finding import Finding
from ..core.ssh_refusal import key_refused
from .catalogue import finding, limit

WRONG_KEY = re.compile(r"Host key verification failed|IDENTIFICATION HAS CHANGED|host key is known", re.IGNORECASE)
# The cause of a vm.ssh that says nothing about the VM: who looks is not let in.
UNKNOWN_KEY = "unknown_key"
ON_ITS_WAY = (
    *("provisioning", "booting", "rebooting", "rebuilding", "restoring", "migrating", "cloning", "resizing"),
    *("busy", "shutting_down"),
)
_OFF = ("offline", "stopped")


def status_finding(status: str | None, since_s: float | None = None) -> Finding:
    """What the provider says about the VM; None when it could not be asked.

    :param since_s: seconds since the last event of the VM; None when the events could not be read.
    """
    if status is None:
        return finding("vm.status", "unknown", "vm", "The provider could not be asked about the VM.")
    if status == "running":
        return finding("vm.status", "pass", "vm", "The VM is running.")
    if status in ON_ITS_WAY and (since_s is None or since_s < limit("vm.status", "starting")):
        return finding("vm.status", "warn", "vm", f"The VM is {status}.", remedy="Wait until it runs.")
    if status == "deleting":
        return finding(
            "vm.status", "warn", "vm", "The VM is being deleted.", remedy="Nothing to do: the VM is being deleted."
        )
    if status == "billing_suspension":
        return finding(
            "vm.status",
            "fail",
            "vm",
            "The provider suspended the VM because of the account's billing.",
            cause=status,
            ladder=("alert",),
            remedy="Check the account's billing.",
        )
    if status in (*ON_ITS_WAY, *_OFF):
        evidence = "" if since_s is None else f"for {since_s / 60:.0f} min"
        return finding("vm.status", "fail", "vm", f"The VM is {status}.", evidence, cause=status)
    return finding("vm.status", "unknown", "vm", f"The provider says that the VM is {status}, which is not known here.")


def ssh_finding(error: str, status: str | None) -> Finding:
    """A VM that was not reached: a failure only where the provider says that it runs."""
    if WRONG_KEY.search(error):
        return finding(
            "vm.ssh",
            "fail",
            "vm",
            "The VM shows a different host key than its tags.",
            error,
            cause="host_key",
            ladder=("alert",),
            remedy="Do not connect: another machine may be answering in its place. Nothing done to the VM would help.",
        )
    if key_refused(error):
        return finding(
            "vm.ssh",
            "unknown",
            "vm",
            "The VM answers, but does not know this machine's SSH key.",
            error,
            cause=UNKNOWN_KEY,
            remedy="Somebody whose key it knows lets this machine in: linode-coder keys add FILE NAME. Until then only its lease is watched.",
        )
    if status == "running":
        return finding(
            "vm.ssh", "fail", "vm", "The VM is running but does not answer over SSH.", error, cause="unreachable"
        )
    return finding("vm.ssh", "unknown", "vm", "The VM does not answer over SSH.", error)
