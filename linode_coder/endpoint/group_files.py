"""What a group's keeper says, and what it is told: files beside those of its port, which are those of a tunnel.

``group.json`` names each member with its URL and how it is used. ``drained`` holds a file for each member that shall be given no
new request, with the time until which that holds, so that a command that was killed leaves no member out for ever.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypedDict

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.atomic_file import replace_file
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.name import validate_session_name

from .tunnel_files import tunnel_directory

# serves: the router sends requests there; joins: it waits for its health; drained: it finishes what it began; away: see why.
Use = Literal["serves", "joins", "drained", "away"]
_USES: tuple[Use, ...] = ("serves", "joins", "drained", "away")


class Member(TypedDict):
    """``url`` is that of its tunnel on this machine, None while there is none."""

    url: str | None
    use: Use
    why: str | None


def _members_file(group: str) -> Path:
    return tunnel_directory(group) / "group.json"


def _drained(group: str) -> Path:
    return tunnel_directory(group) / "drained"


def write_members(group: str, members: dict[str, Member]) -> None:
    replace_file(_members_file(group), json.dumps(members))


def read_members(group: str) -> dict[str, Member]:
    """By name; empty where nothing was written, or what is damaged."""
    try:
        found = json.loads(_members_file(group).read_text())
        return {
            validate_session_name(name): Member(
                url=None if one["url"] is None else str(one["url"]),
                use=_USES[_USES.index(one["use"])],
                why=None if one["why"] is None else str(one["why"]),
            )
            for name, one in found.items()
        }
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, Failure):
        return {}


def forget_members(group: str) -> None:
    _members_file(group).unlink(missing_ok=True)


def drain(group: str, member: str, seconds: float) -> None:
    """Ask for no new requests to ``member`` for so long."""
    _drained(group).mkdir(parents=True, exist_ok=True, mode=0o700)
    replace_file(_drained(group) / member, f"{time.time() + seconds:.0f}\n")


def undrain(group: str, member: str) -> None:
    with suppress(OSError):
        (_drained(group) / member).unlink()


def drained(group: str) -> set[str]:
    """The members that shall be given no new request now."""
    found = set()
    with suppress(OSError):
        for path in _drained(group).iterdir():
            with suppress(OSError, ValueError):
                if float(path.read_text()) > time.time():
                    found.add(path.name)
    return found
