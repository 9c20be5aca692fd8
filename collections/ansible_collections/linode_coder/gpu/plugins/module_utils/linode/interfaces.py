# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which generation of network interfaces a new VM gets: accounts differ in what they allow."""

from __future__ import annotations

from ..core.failure import Failure

_FIELDS = ("interface_generation", "interfaces", "firewall_id")


def interface_generations(setting: str | None) -> list[str]:
    """The generations to try in order, by the account's ``interfaces_for_new_linodes``; both where it cannot be read."""
    both = ["linode", "legacy_config"] if (setting or "").startswith("linode") else ["legacy_config", "linode"]
    return both[:1] if setting in ("linode_only", "legacy_config_only") else both


def refuses_interfaces(failure: Failure) -> bool:
    """Whether a create was refused for its kind of interfaces, so that nothing was made."""
    if failure.kind != "cloud":
        return False
    field = (failure.field or "").partition(".")[0].partition("[")[0]
    said = f"{failure.message} {failure.cause or ''}".lower()
    return field in _FIELDS or any(
        word in said for word in ("interface_generation", "legacy config", "linode interfaces")
    )
