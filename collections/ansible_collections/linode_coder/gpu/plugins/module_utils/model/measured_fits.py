# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What engines said of themselves on a plan, kept on this control node: from then on it replaces the estimate.

Kept apart for every API, so that what the sandbox plays is never taken for what a real card does.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..core.atomic_file import replace_file
from ..core.paths import state_dir
from ..linode.gpu_plans import Plan
from ..linode.reader import api_base
from .memory_fit import Measured


def path() -> Path:
    return state_dir() / "measured.json"


def key_of(variant: str, tensor_parallel: int, kv_dtype: str) -> str:
    return f"{variant} x{tensor_parallel} {kv_dtype}"


def _read() -> dict[str, Any]:
    try:
        content = json.loads(path().read_text())
    except (OSError, ValueError):  # nothing was measured yet, or the record is broken: the estimate holds
        return {}
    if not isinstance(content, dict):
        return {}
    return {
        api: {plan: rows for plan, rows in plans.items() if isinstance(rows, dict)}
        for api, plans in content.items()
        if isinstance(plans, dict)
    }


def _measured(figures: Any) -> Measured | None:
    """The figures in the names of the engine's report; None when there is nothing to go by."""
    if not isinstance(figures, dict):
        return None
    weights, room, tokens = (figures.get(name) for name in ("weights_gib", "kv_cache_gib", "kv_cache_tokens"))
    numbers = [value for value in (weights, room, tokens) if value is not None]
    if tokens is None or not all(isinstance(value, (int, float)) and value > 0 for value in numbers):
        return None
    return Measured(available_kv_gib=room, kv_tokens=int(tokens), model_gib=weights)


def with_measurements(plans: list[Plan], api_url: str | None = None) -> list[Plan]:
    """The plans, each with what engines measured on it."""
    here = _read().get(api_base(api_url), {})
    found = []
    for plan in plans:
        measured = {key: _measured(figures) for key, figures in here.get(plan.id, {}).items()}
        known = {key: value for key, value in measured.items() if value is not None}
        found.append(plan._replace(measured=known) if known else plan)
    return found


def record(engine: dict[str, Any], figures: dict[str, Any], api_url: str | None = None) -> bool:
    """Keep what the engine that a quote described measured of itself; False when it did not say enough."""
    fit = engine.get("fit")
    if fit is None or _measured(figures) is None:
        return False
    content = _read()
    rows = content.setdefault(api_base(api_url), {}).setdefault(engine["plan"], {})
    kept = ("weights_gib", "kv_cache_gib", "kv_cache_tokens", "version")
    rows[key_of(engine["variant"], fit["tensor_parallel"], fit["kv_dtype"])] = {
        name: figures[name] for name in kept if figures.get(name) is not None
    }
    replace_file(path(), json.dumps(content, indent=1, sort_keys=True), parents=True)
    return True
