# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A VM that answers over SSH and does not know the key of this control node."""

from __future__ import annotations

import re

from .failure import Failure
from .paths import ssh_key_path

# What ssh says when the VM knows none of the keys that it was shown; a file that may not be read has no such list.
_REFUSED = re.compile(r"permission denied \(", re.IGNORECASE)


def key_refused(said: str) -> bool:
    """Whether ssh reached the VM, and the VM does not know this control node's key."""
    return _REFUSED.search(said) is not None


def unknown_key(session: str | None, cause: str | None = None) -> Failure:
    """The VM does not know this control node's key: who can change that, and how."""
    name = session or "NAME"
    return Failure(
        "auth",
        f"The VM of session {session!r} does not know this machine's SSH key."
        if session
        else "The VM does not know this machine's SSH key.",
        cause=cause,
        remedy=f"Somebody whose key it knows lets you in: linode-coder keys add FILE {name}. "
        f"FILE is a copy of {ssh_key_path().with_suffix('.pub')} from here; linode-coder keys list {name} makes it.",
        field="ssh_key",
    )
