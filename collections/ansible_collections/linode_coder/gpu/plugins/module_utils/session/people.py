# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The people of a team's gateway: their names, and the map of nginx that knows the hashes of their keys."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping

from ..core.failure import Failure

# Words of nginx's configuration, of paths and of logs.
_NAME = re.compile(r"[a-z0-9](?:[._-]?[a-z0-9]){0,31}", re.ASCII)
# Those of a map that mean something else.
_RESERVED = ("default", "hostnames", "include", "volatile")
_LINE = re.compile(r'"([0-9a-f]{64})" ([a-z0-9._-]{1,64});', re.ASCII)
KEY_LENGTH = 40


def validate_people(names: Iterable[object]) -> list[str]:
    """The names, each once and in order; Failure(usage) for one that cannot be used."""
    for name in names:
        if not (isinstance(name, str) and _NAME.fullmatch(name)) or name in _RESERVED:
            raise Failure(
                "usage",
                f"{name!r} cannot be the name of a person.",
                remedy="Use up to 32 characters: a-z and 0-9, with single dots, dashes or underscores between them; "
                f"but none of {', '.join(_RESERVED)}.",
                field="people",
                value=name,
            )
    return sorted({str(name) for name in names})


def hash_of(key: str) -> str:
    """By which the gateway knows a key. A key is random, so it needs no salt."""
    return hashlib.sha256(key.encode()).hexdigest()


def read_people(text: str) -> dict[str, str]:
    """Hashes by name of the map that `write_people` wrote. What else a file says is nobody's key."""
    return {
        name: key_hash
        for key_hash, name in (found.groups() for found in map(_LINE.fullmatch, text.splitlines()) if found)
    }


def write_people(people: Mapping[str, str]) -> str:
    return "".join(f'"{key_hash}" {name};\n' for name, key_hash in sorted(people.items()))
