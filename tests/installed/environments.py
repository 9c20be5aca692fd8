# SPDX-License-Identifier: GPL-3.0-or-later
"""Environments as people make them, from the wheel that this run built. uv copies from its cache: one takes a second."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
UV = str(Path(sys.executable).with_name("uv"))


def wheel() -> Path:
    (found,) = (ROOT / "dist").glob("*.whl")
    return found


def make(place: Path, *installs: tuple[str, ...], python: str = sys.executable, umask: int = 0o022) -> Path:
    """Make one with what each of ``installs`` tells uv to install, in their order; the directory of its programs."""

    def uv(*arguments: str) -> None:
        # Copies: what is done to an environment is not done to the cache.
        subprocess.run([UV, *arguments], check=True, cwd=ROOT, umask=umask, env={**os.environ, "UV_LINK_MODE": "copy"})

    uv("venv", "--quiet", "--python", python, str(place))
    for install in installs:
        uv("pip", "install", "--quiet", "--python", str(place), *install)
    return place / "bin"


def environment(place: Path, *requirements: str, umask: int = 0o022) -> Path:
    """One with these requirements and our constraints."""
    return make(place, ("-c", "constraints.txt", *requirements), umask=umask)
