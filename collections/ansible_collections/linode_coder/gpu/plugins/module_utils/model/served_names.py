# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""By which names clients may ask for the model that is served: our own, its repository, and aliases that somebody asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ..core.failure import Failure

# A name for clients that stays when the model changes. Without a slash, which some of them cannot have.
SERVED_ALIAS = "coder"
NO_ALIASES = "off"
_MOST = 32
# What clients and providers call models. It begins with a letter or a digit: the engine makes arguments of its own of them.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,95}", re.ASCII)


def parse_aliases(given: Iterable[Any] | None) -> tuple[str, ...] | None:
    """The names, each once; () for ``off``, None where nothing was asked for. Failure(usage) for what is no name."""
    # YAML makes false of off, and Ansible a text of that.
    names = tuple(dict.fromkeys(NO_ALIASES if str(name) == "False" else str(name) for name in given or ()))
    if not names:
        return None
    if names == (NO_ALIASES,):
        return ()
    wrong = next((name for name in names if name == NO_ALIASES or not _NAME.fullmatch(name)), None)
    if wrong is not None:
        raise Failure(
            "usage",
            f"alias {wrong!r} is not a name that a model can be served by.",
            remedy="Begin with a letter or a digit; then . _ : / @ + and - may stand in it as well, 96 characters in all, for example "
            "gpt-4o. The word off alone takes all aliases away.",
            field="alias",
            value=wrong,
        )
    if len(names) > _MOST:
        raise Failure(
            "usage",
            f"{len(names)} aliases are more than {_MOST}.",
            remedy="Name those that clients ask for.",
            field="alias",
            value=len(names),
        )
    return names
