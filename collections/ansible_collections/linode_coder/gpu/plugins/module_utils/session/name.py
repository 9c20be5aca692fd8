# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of sessions and what is derived from them."""

from __future__ import annotations

import re

from ..core.failure import Failure

# Short enough for a firewall label (32) with its prefix, and safe in labels, tags, paths and host names.
_NAME = re.compile(r"[a-z](?:-?[a-z0-9])*", re.ASCII)
MIN_LENGTH, MAX_LENGTH = 1, 24
# What an API may call a machine, and no address or pattern to Ansible.
_HOST = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?", re.ASCII)
# Hosts and groups that Ansible has anyhow: a VM called localhost would be where everything of this machine runs.
RESERVED = ("all", "localhost", "ungrouped")


def validate_session_name(name: object) -> str:
    """The name itself, or Failure(usage)."""
    text = name if isinstance(name, str) else ""
    if not (MIN_LENGTH <= len(text) <= MAX_LENGTH and _NAME.fullmatch(text)) or text in RESERVED:
        raise Failure(
            "usage",
            f"session name {name!r} cannot be used.",
            remedy=f"Use {MIN_LENGTH} to {MAX_LENGTH} characters: a-z, 0-9 and single dashes, a letter first; "
            f"but none of {', '.join(RESERVED)}.",
            field="session",
            value=name,
        )
    return text


def is_host_name(name: object) -> bool:
    """Whether a name or a label can be that of a host in an inventory, and of no other than its own."""
    return isinstance(name, str) and bool(_HOST.fullmatch(name)) and name.lower() not in RESERVED


def instance_label(name: str, generation: int) -> str:
    """Label of the session's Linode: the same for everybody who means it, so adopting is safe."""
    return f"lc-{name}-{generation}"


def firewall_label(name: str) -> str:
    return f"lc-{name}"
