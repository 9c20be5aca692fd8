# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""engine.json on the VM: which engine is wanted, which was the last one that served, and what it measured of itself.

``{"schema": 1, "wanted": spec, "last_good": spec, "measured": {...}, "images": {reference: digest},
"loaded": {reference: {digest, id}}}`` where a spec is
``{"model", "image", "flags", "environment", "aliases"}``; ``aliases`` are among the names that the flags hold, and ``traces``, where
there is one, is the collector that flags and environment name. ``wanted`` holds the
flags that were asked for; vllm.yaml may differ from them where healing changed a parameter, and stays so for as long as the same is
asked for.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from ..core.atomic_file import replace_file

SCHEMA = 1
EMPTY: dict[str, Any] = {
    "schema": SCHEMA,
    "wanted": None,
    "last_good": None,
    "measured": None,
    "images": {},
    "loaded": {},
}


def load(path: str) -> dict[str, Any]:
    """As the file says; an absent or broken one knows nothing, which costs a comparison and nothing else."""
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        return copy.deepcopy(EMPTY)
    return {**copy.deepcopy(EMPTY), **found}


def change(
    path: str, work: Callable[[dict[str, Any]], None], dry: bool = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Content before and after ``work`` changed it; written whole, and only when it differs."""
    before = load(path)
    after = copy.deepcopy(before)
    work(after)
    if after != before and not dry:
        replace_file(path, json.dumps(after, indent=1, sort_keys=True) + "\n", 0o644, parents=True)
    return before, after


def in_effect(known: dict[str, Any], flags: dict[str, Any]) -> dict[str, Any] | None:
    """The engine as it starts: the one that was asked for, with the ``flags`` that vllm.yaml has by now; None when none was."""
    wanted = known["wanted"]
    return {**wanted, "flags": {name: value for name, value in flags.items() if name != "model"}} if wanted else None


def serves(spec: dict[str, Any] | None) -> str | None:
    """The model of a spec."""
    return None if spec is None else str(spec.get("model"))
