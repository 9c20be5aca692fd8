# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which engine parameter to change so that an engine that ran out of memory starts: one at a time, never a value twice.

The engine's own numbers come first; where it gives none, steps of our own with a floor below which nobody would want
the result. What a change costs the user grows from the first flag to the last.
"""

from __future__ import annotations

import json
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
    """``old`` or ``new`` None: without the flag."""

    flag: str
    old: Any
    new: Any

    def as_dict(self) -> dict[str, Any]:
        return {"flag": self.flag, "old": self.old, "new": self.new}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _less(current: float | None, *steps: float | None) -> list[Any]:
    """Of ``steps`` those that are less than what is set now."""
    return [int(step) for step in steps if step is not None and step >= 1 and (current is None or step < current)]


def _values(flag: str, current: Any, suggested: Any, compute_capability: float | None) -> list[Any]:
    """Values to try for ``flag``, the best first."""
    now, wanted = _number(current), _number(suggested)
    if flag == "kv-cache-dtype":
        # Ada and later read it natively; an unknown card is not trusted to.
        able = compute_capability is not None and compute_capability >= 8.9
        return [suggested] if suggested == "auto" else ["fp8"] if able and current in (None, "auto") else []
    if flag == "max-num-seqs":
        return _less(now, wanted, 32, 16, 8)
    if flag == "max-num-batched-tokens":
        halves = (2048, 1024) if now is None else (now // 2,)
        return [step for step in _less(now, wanted, *halves) if step >= 1024]
    if flag == "max-model-len":
        longest = wanted if wanted is not None else now // 2 if now is not None else 0
        fitting = int(longest) // _CONTEXT_STEP * _CONTEXT_STEP
        return [fitting] if fitting >= MIN_CONTEXT and (now is None or now <= 0 or fitting < now) else []
    if flag == "max-cudagraph-capture-size":
        return _less(now, wanted, 64, 16, 4)
    if flag == "enforce-eager":
        return [] if current is True else [True]
    if flag == "gpu-memory-utilization":
        lower = (_DEFAULT_UTILIZATION if now is None else now) - 0.05
        given = [round(value, 2) for value in (wanted, lower) if value is not None]
        return [value for value in given if _MIN_UTILIZATION <= value <= _MAX_UTILIZATION]
    if suggested is None:
        return [None] if current is not None else []
    return [suggested]


# What each change takes from the user: nothing much, parallel requests, context, speed, head-room; then what corrects a
# flag that this engine, model or card does not take. No other flag is ever touched.
FLAGS = (
    "kv-cache-dtype",
    "max-num-seqs",
    "max-num-batched-tokens",
    "max-model-len",
    "max-cudagraph-capture-size",
    "enforce-eager",
    "gpu-memory-utilization",
    "dtype",
    "quantization",
    "attention-backend",
    "tensor-parallel-size",
    "disable-custom-all-reduce",
    "safetensors-load-strategy",
    "enable-auto-tool-choice",
    "tool-call-parser",
    "reasoning-parser",
    "speculative-config",
)


def next_change(
    suggested: Mapping[str, Any] | None,
    flags: Mapping[str, Any],
    made: Iterable[Mapping[str, Any]],
    compute_capability: float | None = None,
) -> Change | None:
    """The next change, or None when none is left that makes sense.

    :param suggested: flags that the engine's error points to, with its own numbers (None: without the flag); None or
        empty when it points to none, which allows no change.
    :param flags: what is set now.
    :param made: the changes that were made before, as ``Change.as_dict``. A value that was ever set does not come back.
    """
    wanted = dict(suggested or {})
    if "max-model-len" in wanted:
        # Half the bytes for each token may be enough, and cost the user nothing of the context.
        wanted.setdefault("kv-cache-dtype", "fp8")
    used = {(one["flag"], json.dumps(value)) for one in made for value in (one["old"], one["new"])}
    for flag in FLAGS:
        if flag not in wanted:
            continue
        current = flags.get(flag)
        for value in _values(flag, current, wanted[flag], compute_capability):
            if value != current and (flag, json.dumps(value)) not in used:
                return Change(flag, current, value)
    return None


def with_flag(text: str, flag: str, value: Any) -> str:
    """The engine's configuration with ``flag`` set to ``value``, None: without it; every other line stays as it is."""
    wanted = [] if value is None else [f"{flag}: {json.dumps(value)}"]
    lines = text.splitlines()
    place = next((place for place, line in enumerate(lines) if line.partition(":")[0].strip() == flag), len(lines))
    rest = [line for line in lines[place:] if line.partition(":")[0].strip() != flag]
    return "\n".join([*lines[:place], *wanted, *rest]) + "\n"
