# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which engine flag to change after a failure, one step, from the engine's own figures where it gives some."""

from __future__ import annotations

import math
from typing import Any, Mapping

from .cause import Context, Flags

Caught = Mapping[str, str]

# vLLM's own default is 0.92 in these versions.
_MEMORY_SHARE = 0.92
_MEMORY_SHARE_FLOOR = 0.70
_SHORTEST_CONTEXT = 8192


def shorter_context(caught: Caught, _context: Context) -> dict[str, Any] | None:
    """The engine's estimate with something to spare, or what it says that the cache holds."""
    longest = caught.get("longest") or caught.get("holds")
    length = math.floor(int(longest) * 0.97 / 1024) * 1024 if longest else 0
    return {"max-model-len": length} if length >= _SHORTEST_CONTEXT else None


def more_room(_caught: Caught, context: Context) -> dict[str, Any] | None:
    """Room for the cache: first what the graphs take, then what nobody else uses."""
    if not context.has("enforce-eager"):
        return {"enforce-eager": True}
    if context.share("gpu-memory-utilization", _MEMORY_SHARE) < 0.95:
        return {"gpu-memory-utilization": 0.95}
    return None


def smaller_batches(_caught: Caught, context: Context) -> dict[str, Any] | None:
    batched = context.number("max-num-batched-tokens", 8192)
    if batched > 1024:
        return {"max-num-batched-tokens": max(1024, batched // 2)}
    sequences = context.number("max-num-seqs", 256)
    if sequences > 8:
        return {"max-num-seqs": 32 if sequences > 32 else 8}
    return None


def smaller_graphs(_caught: Caught, context: Context) -> dict[str, Any] | None:
    """The share of memory does not help here: graphs are allocated outside of it."""
    size = context.number("max-cudagraph-capture-size", 512)
    for smaller in (64, 16, 4):
        if size > smaller:
            return {"max-cudagraph-capture-size": smaller}
    if context.number("max-num-seqs", 256) > 8:
        return {"max-num-seqs": 8}
    return None if context.has("enforce-eager") else {"enforce-eager": True}


def smaller_share(_caught: Caught, context: Context) -> dict[str, Any] | None:
    share = round(context.share("gpu-memory-utilization", _MEMORY_SHARE) - 0.03, 2)
    return {"gpu-memory-utilization": share} if share >= _MEMORY_SHARE_FLOOR else None


def fewer_sequences(caught: Caught, _context: Context) -> dict[str, Any] | None:
    sequences = int(caught["requests"])
    return {"max-num-seqs": 8 if sequences <= 64 else max(16, sequences // 4)} if sequences > 8 else None


def share_that_is_free(caught: Caught, _context: Context) -> dict[str, Any] | None:
    free, total = float(caught["free"]), float(caught["total"])
    share = math.floor((free / total - 0.02) * 100) / 100 if total else 0.0
    return {"gpu-memory-utilization": share} if share >= 0.80 else None


def parallel_that_fits(caught: Caught, _context: Context) -> dict[str, Any] | None:
    fitting = [size for size in (1, 2, 4, 8) if size <= int(caught.get("there") or 0)] if caught.get("wanted") else []
    return {"tensor-parallel-size": fitting[-1]} if fitting else None


def parallel_that_divides(caught: Caught, _context: Context) -> dict[str, Any] | None:
    heads, current = int(caught["heads"]), int(caught["gpus"])
    return {"tensor-parallel-size": max(size for size in (1, 2, 4) if heads % size == 0 and size <= max(1, current))}


def without_unknown(caught: Caught, _context: Context) -> dict[str, Any] | None:
    flags = [word.removeprefix("--").split("=")[0] for word in caught["flags"].split() if word.startswith("--")]
    return dict.fromkeys(flags) if flags else None


def fewer_gpus(_caught: Caught, context: Context) -> dict[str, Any] | None:
    """Half of them: the parts of the weights become larger, which has to fit."""
    parallel = context.number("tensor-parallel-size", 1)
    return {"tensor-parallel-size": parallel // 2} if parallel > 1 else None


def other_attention(_caught: Caught, context: Context) -> dict[str, Any] | None:
    """The engine's own choice, or else the backend that runs on every card."""
    backend = context.arguments.get("attention_backend")
    if backend == "TRITON_ATTN":
        return None
    return {"attention-backend": None if backend else "TRITON_ATTN"}


def plain_cache(_caught: Caught, context: Context) -> dict[str, Any] | None:
    """Without the cache type that was asked for, if one was."""
    asked = context.arguments.get("kv_cache_dtype")
    return {"kv-cache-dtype": "auto"} if asked not in (None, "auto") else None


def longest_of_the_model(caught: Caught, _context: Context) -> dict[str, Any] | None:
    return {"max-model-len": int(caught["longest"])}


def sequences_that_fit(caught: Caught, _context: Context) -> dict[str, Any] | None:
    return {"max-num-seqs": int(caught["there"])} if int(caught["there"]) else None


def backend_or_cache(_caught: Caught, context: Context) -> dict[str, Any] | None:
    return {"attention-backend": None} if context.has("attention-backend") else {"kv-cache-dtype": "auto"}


def without_speculation(_caught: Caught, context: Context) -> dict[str, Any] | None:
    return {"speculative-config": None} if context.has("speculative-config") else None


def without_graphs(_caught: Caught, context: Context) -> dict[str, Any] | None:
    return None if context.has("enforce-eager") else {"enforce-eager": True}


def setting(**flags: Any) -> Flags:
    return lambda _caught, _context: {name.replace("_", "-"): value for name, value in flags.items()}
