# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of variables that Compose gives to a container. Runs on the VM: standard library only."""

from __future__ import annotations

import re

from ..core.failure import Failure

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def env_line(name: str, value: object) -> str:
    """``NAME=value`` with its line feed; Failure(usage) where a reader would find something else, such as one more variable."""
    text = str(value)
    if not _NAME.fullmatch(name) or not text.isprintable():
        raise Failure(
            "usage",
            f"{name!r} cannot be {text[:80]!r} in the environment of a container.",
            remedy="Use text of one line, without control characters.",
            field=name,
            value=text,
        )
    return f"{name}={text}\n"


def value_in(text: str, name: str | None = None) -> str | None:
    """The value of the variable ``name``, or of the first one that there is, in the text of such a file; None when it is not there."""
    for line in text.splitlines():
        found, equals, value = line.strip().partition("=")
        if equals and not found.startswith("#") and name in (None, found):
            return value.strip()
    return None
