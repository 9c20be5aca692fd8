# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's flags for a variant on a card, as they stand in vllm.yaml: names without dashes, plain values."""

from __future__ import annotations

from typing import Any

from ..linode.gpu_plans import Card
from .catalogue import SANDBOX_ORGANISATION, Model, Variant, is_commit
from .memory_fit import DEFAULT_UTILIZATION
from .served_names import SERVED_ALIAS

# The engine's image is built with this CUDA, which needs this driver.
CUDA_VERSION = "13.0"
MIN_DRIVER = "580.65"
# A few developers at once; every further sequence costs memory.
_SMALL_SEQUENCES, _LARGE_SEQUENCES = 16, 32
_LARGE_GIB = 70.0


def engine_flags(
    model: Model,
    variant: Variant,
    card: Card | None,
    tensor_parallel: int,
    context: int | None = None,
) -> dict[str, Any]:
    """Flags for ``tensor_parallel`` of these cards.

    Without a ``context`` the engine takes the longest that fits, by its own measure and not by our estimate. ``card`` is
    None for a plan whose card is unknown: then nothing is assumed of it.
    """
    sandbox = variant.id.startswith(SANDBOX_ORGANISATION)
    if sandbox:
        # Served by the engine's CPU build, whatever card the sandbox shows.
        card = None
    flags: dict[str, Any] = {
        "served-model-name": [SERVED_ALIAS, variant.id],
        "tensor-parallel-size": tensor_parallel,
        "max-num-seqs": _LARGE_SEQUENCES if card and card.cuda_gib >= _LARGE_GIB else _SMALL_SEQUENCES,
        # Without it a SIGTERM cuts streams off, and waits for ever for clients that hold one open.
        "shutdown-timeout": 60,
    }
    if context or not sandbox:
        flags["max-model-len"] = context or "auto"
    if card:
        flags["gpu-memory-utilization"] = DEFAULT_UTILIZATION
    if model.tool_parser:
        flags["enable-auto-tool-choice"] = True
        flags["tool-call-parser"] = model.tool_parser
    if model.reasoning_parser:
        flags["reasoning-parser"] = model.reasoning_parser
    if card and card.fp8_kv:
        flags["kv-cache-dtype"] = "fp8"
    if card and not card.bf16:
        flags["dtype"] = "half"
        if model.multimodal:
            # Vision towers have no attention backend on these cards.
            flags["language-model-only"] = True
            flags["skip-mm-profiling"] = True
    flags |= model.flags | variant.flags
    return flags | _code_flags(model, variant)


def _code_flags(model: Model, variant: Variant) -> dict[str, Any]:
    """The commit that is served, and the permission to run its program code, which holds for a commit only."""
    revision = model.revision_of(variant)
    flags: dict[str, Any] = {"revision": revision} if revision else {}
    if model.runs_code(variant):
        flags["trust-remote-code"] = is_commit(revision)
        if is_commit(revision):
            flags["code-revision"] = revision
    return flags


def engine_environment(variant: Variant) -> dict[str, str]:
    return dict(variant.env)


def utilization_of(model: Model, variant: Variant) -> float:
    """The share of a card's memory that the engine may take with these flags."""
    flags = model.flags | variant.flags
    return float(flags.get("gpu-memory-utilization", DEFAULT_UTILIZATION))
