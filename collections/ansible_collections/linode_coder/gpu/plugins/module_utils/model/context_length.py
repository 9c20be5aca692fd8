# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A context length as people write it."""

from __future__ import annotations

import re

from ..core.failure import Failure

MIN_CONTEXT = 1024


def parse_context(value: str | int | None) -> int | None:
    """Tokens from ``65536`` or ``64K`` (of 1024)."""
    if value is None or value == "":
        return None
    match = re.fullmatch(r"(\d{1,9})([kK]?)", str(value).strip(), re.ASCII)
    tokens = int(match.group(1)) * (1024 if match.group(2) else 1) if match else 0
    if tokens < MIN_CONTEXT:
        raise Failure(
            "usage",
            f"context {value!r} is not a number of tokens of {MIN_CONTEXT} or more.",
            remedy="Write it like 65536 or 64K.",
            field="context",
            value=value,
        )
    return tokens
