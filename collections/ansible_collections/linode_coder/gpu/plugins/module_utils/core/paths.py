# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where this tool keeps its own files. LINODE_CODER_HOME moves all of them; otherwise the XDG directories hold them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

_NAME = "linode-coder"


def _directory(kind: str, variable: str, default: Path) -> Path:
    home = os.environ.get("LINODE_CODER_HOME")
    if home:
        return Path(home).expanduser().absolute() / kind
    base = os.environ.get(variable)
    return (Path(base) if base else default) / _NAME


def config_dir() -> Path:
    return _directory("config", "XDG_CONFIG_HOME", Path.home() / ".config")


def state_dir() -> Path:
    return _directory("state", "XDG_STATE_HOME", Path.home() / ".local" / "state")


def cache_dir() -> Path:
    """For what is large and can be made again. LINODE_CODER_CACHE lets several homes share one."""
    shared = os.environ.get("LINODE_CODER_CACHE")
    if shared:
        return Path(shared).expanduser().absolute()
    return _directory("cache", "XDG_CACHE_HOME", Path.home() / ".cache")


def runtime_dir() -> Path:
    """For sockets: short enough for sockaddr_un (108 bytes) whatever LINODE_CODER_HOME is."""
    short = hashlib.sha256(str(state_dir()).encode()).hexdigest()[:10]
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base and len(base) < 50:
        return Path(base) / _NAME / short
    return Path("/tmp") / f"{_NAME}-{os.getuid()}" / short  # noqa: S108 - created 0700 by whoever uses it


def ssh_key_path() -> Path:
    """Private key of this control node for its VMs."""
    return state_dir() / "ssh" / "id_ed25519"


def session_dir(name: str) -> Path:
    return state_dir() / "sessions" / name


def api_key_path(name: str) -> Path:
    """This machine's copy of the API key of a session, or of a group, which is called as no session is."""
    return session_dir(name) / "api_key"


def sandbox_dir() -> Path:
    return state_dir() / "sandbox"


def runs_dir() -> Path:
    return state_dir() / "runs"
