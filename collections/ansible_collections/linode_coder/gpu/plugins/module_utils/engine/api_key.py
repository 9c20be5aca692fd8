# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The session's API key, which the engine's secrets file on the VM holds."""

from __future__ import annotations

import re
from pathlib import Path

from ..core.failure import Failure
from .env_file import value_in

SECRETS_FILE = "/opt/linode-coder/vllm/secrets.env"
_VARIABLE = "VLLM_API_KEY"
# One word wherever it is written.
_KEY = re.compile(r"[A-Za-z0-9_-]{1,512}", re.ASCII)


def key_of(secrets: str) -> str | None:
    """The key in the text of a secrets file; None when that has none, or an empty one."""
    return value_in(secrets, _VARIABLE) or None


def kept_key(path: Path) -> str | None:
    """The key that a control node keeps in ``path``; None when there is none, or what is damaged."""
    try:
        return path.read_text(encoding="ascii").strip() or None
    except (OSError, ValueError):
        return None


def plain_key(path: Path) -> str | None:
    """The kept key, if it can be given to another VM: letters, digits, - and _."""
    key = kept_key(path)
    return key if key and _KEY.fullmatch(key) else None


def key_in(path: str) -> str:
    """The key in the secrets file at ``path``; Failure(unhealthy) without one."""
    cause = f"it says nothing of {_VARIABLE}"
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            key = key_of(file.read())
    except OSError as error:
        key, cause = None, str(error)
    if key is None:
        raise Failure(
            "unhealthy",
            f"The VM has no API key in {path}.",
            cause=cause,
            remedy="Finish the session first: linode-coder up NAME",
        )
    return key


def api_key(project_dir: str) -> str | None:
    """The key of the engine in this directory; None without one."""
    try:
        return key_in(f"{project_dir}/secrets.env")
    except Failure:
        return None
