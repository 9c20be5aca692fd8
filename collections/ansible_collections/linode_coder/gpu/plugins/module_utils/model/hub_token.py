# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's token of the Hugging Face Hub, where the Hub's own tools keep it."""

from __future__ import annotations

import os
from pathlib import Path


def _path(text: str) -> Path:
    return Path(os.path.expandvars(text)).expanduser()


def hub_token_source() -> tuple[str, str] | None:
    """The token and where it stands, found as `huggingface_hub.get_token` does: the environment before what logging in wrote."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        value = _clean(os.environ.get(name, ""))
        if value:
            return value, name
    home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    path = _path(os.environ.get("HF_TOKEN_PATH") or os.path.join(home, "token"))
    try:
        value = _clean(path.read_text())
    except (OSError, ValueError):  # not logged in, or not a text
        return None
    return (value, str(path)) if value else None


def hub_token() -> str | None:
    found = hub_token_source()
    return found[0] if found else None


def _clean(text: str) -> str:
    return text.replace("\r", "").replace("\n", "").strip()
