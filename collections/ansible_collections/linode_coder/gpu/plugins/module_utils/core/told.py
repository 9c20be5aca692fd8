# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module on the control node says while it goes on, to whoever started the playbook and wants to know.

A module returns once, at its end. Where the environment names a file, what happens before that is written there, one JSON object
a line.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

VARIABLE = "LINODE_CODER_TOLD"


def tell(**fact: Any) -> None:
    """Say it where somebody listens; nothing depends on it."""
    path = os.environ.get(VARIABLE)
    if not path:
        return
    try:
        # In one write, since others may say something at the same moment.
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(file, json.dumps(fact).encode() + b"\n")
        finally:
            os.close(file)
    except OSError:
        return


def newer(path: Path | None, place: int) -> tuple[list[dict[str, Any]], int]:
    """What was said after the byte ``place``, and where that ends. A line that is still being written comes the next time."""
    if path is None:
        return [], place
    try:
        with path.open("rb") as file:
            file.seek(place)
            text = file.read()
    except OSError:
        return [], place
    whole = text[: text.rfind(b"\n") + 1]
    facts = []
    for line in whole.splitlines():
        try:
            fact = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(fact, dict):
            facts.append(fact)
    return facts, place + len(whole)
