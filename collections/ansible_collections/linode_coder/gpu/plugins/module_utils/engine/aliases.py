# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Further names of the served model among the engine's flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_FLAG = "served-model-name"


def with_aliases(model: str, flags: Mapping[str, Any], aliases: Sequence[str]) -> dict[str, Any]:
    """The flags with these names after those that are there: the engine names itself by the first. Without any they are as given."""
    if not aliases:
        return dict(flags)
    # The engine's own default.
    names = flags.get(_FLAG) or [model]
    own = [names] if isinstance(names, str) else [str(name) for name in names]
    return {**flags, _FLAG: list(dict.fromkeys([*own, *aliases]))}
