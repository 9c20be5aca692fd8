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


def environment(place: Path, *requirements: str, umask: int = 0o022) -> Path:
    """Make one with these requirements and our constraints; the directory of its programs."""
    quiet = {"check": True, "umask": umask, "env": {**os.environ, "UV_LINK_MODE": "copy"}}
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, str(place)], **quiet)
    install = [UV, "pip", "install", "--quiet", "--python", str(place), "-c", str(ROOT / "constraints.txt")]
    subprocess.run([*install, *requirements], **quiet)
    return place / "bin"
