# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which engine parameter to change so that an engine that ran out of memory starts: one at a time, never a value twice.

The engine's own numbers come first; where it gives none, steps of our own with a floor below which nobody would want
the result. What a change costs the user grows from the first flag to the last.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

MIN_CONTEXT = 8192
_DEFAULT_UTILIZATION = 0.92  # vLLM's own
_MIN_UTILIZATION = 0.70
_MAX_UTILIZATION = 0.95
_CONTEXT_STEP = 1024


@dataclass(frozen=True)
class Change:
    """``old`` None: the flag was not set."""

    flag: str
    old: Any
    new: Any

    def as_dict(self) -> dict[str, Any]:
        return {"flag": self.flag, "old": self.old, "new": self.new}


def context_that_fits(estimate: float) -> int:
    """The engine's estimate of the longest context, with a margin, in whole steps."""
    return math.floor(estimate * 0.97 / _CONTEXT_STEP) * _CONTEXT_STEP


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _below(steps: tuple[int, ...], current: float | None) -> list[Any]:
    return [step for step in steps if current is None or step < current]


def _values(flag: str, current: Any, suggested: Any, compute_capability: float | None) -> list[Any]:
    """Values to try for ``flag``, the best first."""
    now, wanted = _number(current), _number(suggested)
    if flag == "kv-cache-dtype":
        # Ada and later read it natively; an unknown card is not trusted to.
        able = compute_capability is not None and compute_capability >= 8.9
        return ["fp8"] if able and current in (None, "auto") else []
    if flag == "max-num-seqs":
        first = [int(wanted)] if wanted is not None and wanted >= 1 and (now is None or wanted < now) else []
        return first + _below((32, 16, 8), now)
    if flag == "max-num-batched-tokens":
        if now is None:
            return [2048, 1024]
        half = int(now) // 2
        return [half] if half >= 1024 else []
    if flag == "max-model-len":
        longest = context_that_fits(wanted) if wanted is not None else None
        if longest is None and now is not None and now > 0:
            longest = int(now) // 2 // _CONTEXT_STEP * _CONTEXT_STEP
        fits = longest is not None and longest >= MIN_CONTEXT and (not now or now <= 0 or longest < now)
        return [longest] if fits else []
    if flag == "max-cudagraph-capture-size":
        return _below((64, 16, 4), now)
    if flag == "enforce-eager":
        return [] if current is True else [True]
    if flag == "gpu-memory-utilization":
        value = wanted if wanted is not None else (_DEFAULT_UTILIZATION if now is None else now) - 0.05
        return [round(value, 2)] if _MIN_UTILIZATION <= round(value, 2) <= _MAX_UTILIZATION else []
    return []


# What each change takes from the user: nothing much, parallel requests, context, speed, head-room.
FLAGS = (
    "kv-cache-dtype",
    "max-num-seqs",
    "max-num-batched-tokens",
    "max-model-len",
    "max-cudagraph-capture-size",
    "enforce-eager",
    "gpu-memory-utilization",
)


def next_change(
    suggested: Mapping[str, Any] | None,
    flags: Mapping[str, Any],
    made: Iterable[Mapping[str, Any]],
    compute_capability: float | None = None,
) -> Change | None:
    """The next change, or None when none is left that makes sense.

    :param suggested: flags that the engine's error points to, with its own numbers (None: our steps); None or empty
        when it points to none, which allows no change.
    :param flags: what is set now.
    :param made: the changes that were made before, as ``Change.as_dict``. A value that was ever set does not come back.
    """
    used = {(one["flag"], json.dumps(value)) for one in made for value in (one["old"], one["new"])}
    for flag in FLAGS:
        if not suggested or flag not in suggested:
            continue
        current = flags.get(flag)
        for value in _values(flag, current, suggested[flag], compute_capability):
            if value != current and (flag, json.dumps(value)) not in used:
                return Change(flag, current, value)
    return None
