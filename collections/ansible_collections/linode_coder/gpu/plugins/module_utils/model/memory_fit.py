# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a model fits on a plan's cards, with which context, and what takes the memory.

An estimate, per GPU and in GiB, until the engine has run: then its own figures (``Measured``) take its place.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from ..linode.gpu_plans import Card
from .card_needs import capability_problem
from .catalogue import Layers, Model, Variant
from .decode_speed import decode_tokens_per_second
from .sharding import spread_of, tensor_parallel_problem

GIB = 2**30
DEFAULT_UTILIZATION = 0.92
# Less than this is of no use to a coding agent, so it only counts as fitting when somebody asks for it.
USEFUL_CONTEXT = 16384
# An estimate is no closer than this: with less than it left for the KV cache, a start is a gamble with somebody's money.
LEAST_KV_GIB = 1.0
# For how many sequences at once the size of the KV cache in tokens is told.
SEQUENCES = 4
# Lengths are rounded down to this.
_STEP = 1024
# What a sliding window holds beyond its length: the tokens of two steps, which are longer on large cards.
IN_FLIGHT_TOKENS = 2 * 2048
_LARGE_IN_FLIGHT_TOKENS = 2 * 8192
_LARGE_CARD_GIB = 70.0
# Activations, CUDA graphs and libraries: on cards up to 23 GiB with a few sequences, and on a 95 GiB card with the
# engine's larger defaults; in between it grows with the card.
_OVERHEAD_GIB = ((23.0, 2.0), (94.97, 6.0))
_MULTIMODAL_GIB = 0.5
_COMMUNICATION_GIB = 0.4
# MXFP4 experts are widened to what the kernels take. Published starts hold 6 to 9 percent more than the files have.
_MXFP4_GROWTH = 1.08
# A state is kept twice, for the prefix cache, as 32-bit numbers.
_STATE_COPIES = 2
_STATE_BYTES = 4


@dataclass(frozen=True)
class Measured:
    """What the engine itself said at its start: ``Available KV cache memory`` per GPU, ``GPU KV cache size``."""

    available_kv_gib: float | None = None
    kv_tokens: int | None = None
    model_gib: float | None = None


@dataclass(frozen=True)
class Fit:
    """``fits`` is None when not enough is known of the model; ``why`` says what is wrong or unknown in a sentence.

    Memory is GiB per GPU. ``kv_tokens`` is for all sequences together, ``max_context`` what one of them can have.
    """

    fits: bool | None
    why: str | None
    tensor_parallel: int
    gpus: int
    card: str
    usable_gib: float
    weights_gib: float | None
    overhead_gib: float
    kv_gib: float | None  # room for the KV cache; negative when the weights alone are too large
    needed_kv_gib: float | None  # what the context that was asked for needs
    kv_dtype: str
    kv_bytes_per_token: float | None
    context: int | None
    max_context: int | None
    kv_tokens: int | None
    decode_tps: float | None  # one stream, at the start of a conversation
    decode_tps_filled: float | None  # the same with the whole context filled
    measured: bool
    uncertain: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        data = asdict(self) | {"uncertain": list(self.uncertain)}
        return {key: round(value, 3) if isinstance(value, float) else value for key, value in data.items()}


def kv_dtype_of(card: Card) -> str:
    """What the engine keeps keys and values in on this card."""
    return "fp8" if card.fp8_kv else "fp16"


def kv_bytes(kv_dtype: str) -> int:
    return 1 if kv_dtype == "fp8" else 2


def token_bytes(attention: tuple[Layers, ...], tensor_parallel: int, element: int) -> float:
    """Bytes per GPU that every further token of a sequence needs for good."""
    return sum(_per_token(group, tensor_parallel, element) for group in attention if group.kind in ("full", "latent"))


def _per_token(group: Layers, tensor_parallel: int, element: int) -> float:
    if group.kind == "latent":
        return group.layers * group.latent_dim * element
    # With more GPUs than KV heads every GPU keeps at least one.
    return group.layers * 2 * math.ceil(group.kv_heads / tensor_parallel) * group.head_dim * element


def _state_bytes(group: Layers, tensor_parallel: int) -> float:
    heads = math.ceil(group.state_heads / tensor_parallel)
    return group.layers * heads * group.state_size * _STATE_BYTES * _STATE_COPIES


def in_flight_tokens(card: Card) -> int:
    """Tokens that the engine has scheduled and not finished on this card, by its own default."""
    return _LARGE_IN_FLIGHT_TOKENS if card.cuda_gib >= _LARGE_CARD_GIB else IN_FLIGHT_TOKENS


def sequence_bytes(
    attention: tuple[Layers, ...], context: int, tensor_parallel: int, element: int, in_flight: int = IN_FLIGHT_TOKENS
) -> float:
    """Bytes per GPU that one sequence of ``context`` tokens needs."""
    total = token_bytes(attention, tensor_parallel, element) * context
    for group in attention:
        if group.kind == "sliding":
            kept = min(context, group.window + in_flight)
            total += _per_token(group, tensor_parallel, element) * kept
        elif group.kind == "state":
            total += _state_bytes(group, tensor_parallel)
    return total


def standing_bytes(
    attention: tuple[Layers, ...], tensor_parallel: int, element: int, in_flight: int = IN_FLIGHT_TOKENS
) -> float:
    """Bytes per GPU of a long sequence that do not grow with it any more: windows and states."""
    far = max([group.window for group in attention], default=0) + in_flight
    return sequence_bytes(attention, far, tensor_parallel, element, in_flight) - far * token_bytes(
        attention, tensor_parallel, element
    )


def longest_context(
    attention: tuple[Layers, ...],
    room: float,
    tensor_parallel: int,
    element: int,
    limit: int,
    in_flight: int = IN_FLIGHT_TOKENS,
) -> int:
    """The most tokens of one sequence that ``room`` bytes hold: ``limit``, or less in whole steps."""

    def needs(context: int) -> float:
        return sequence_bytes(attention, context, tensor_parallel, element, in_flight)

    if needs(limit) <= room:
        return limit
    # In steps; needs() grows with the context.
    low, high = 0, limit // _STEP
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if needs(middle * _STEP) <= room else (low, middle - 1)
    return low * _STEP


def loaded_gib(model: Model, variant: Variant) -> float | None:
    """GiB of the weights in the engine, over all GPUs."""
    gb = variant.loaded_gb
    if gb is None and variant.disk_gb is not None:
        widened = variant.precision == "mxfp4" and (model.mixture or model.expert_width is not None)
        gb = variant.disk_gb * (_MXFP4_GROWTH if widened else 1.0)
    return None if gb is None else gb * 1e9 / GIB


def overhead_gib(card: Card, tensor_parallel: int, multimodal: bool) -> float:
    (small, least), (large, most) = _OVERHEAD_GIB
    share = min(1.0, max(0.0, (card.cuda_gib - small) / (large - small)))
    total = least + share * (most - least)
    return total + (_COMMUNICATION_GIB if tensor_parallel > 1 else 0.0) + (_MULTIMODAL_GIB if multimodal else 0.0)


def fit(
    model: Model,
    variant: Variant,
    card: Card,
    gpus: int,
    context: int | None = None,
    *,
    tensor_parallel: int | None = None,
    kv_dtype: str | None = None,
    utilization: float = DEFAULT_UTILIZATION,
    measured: Measured | None = None,
) -> Fit:
    """Estimate how ``variant`` fits on ``gpus`` cards; ``context`` is what has to fit, if somebody asked for one."""
    spread = tensor_parallel or spread_of(gpus, model, variant)
    dtype = kv_dtype or kv_dtype_of(card)
    element = kv_bytes(dtype)
    measured = measured or Measured()
    usable = card.cuda_gib * utilization
    overhead = overhead_gib(card, spread, model.multimodal)
    weights = measured.model_gib
    loaded = loaded_gib(model, variant)
    if weights is None and loaded is not None:
        weights = loaded / spread
    room = measured.available_kv_gib
    if room is None and weights is not None:
        room = usable - weights - overhead
    attention = model.attention
    in_flight = in_flight_tokens(card)
    longest = tokens = per_token = needed = None
    if attention is not None:
        per_token = token_bytes(attention, spread, element)
        if context is not None:
            needed = sequence_bytes(attention, context, spread, element, in_flight) / GIB
        if room is not None and room > 0:
            longest = longest_context(attention, room * GIB, spread, element, model.max_context or 2**24, in_flight)
            fixed = SEQUENCES * standing_bytes(attention, spread, element, in_flight)
            tokens = int(max(0.0, room * GIB - fixed) / per_token) if per_token else None
    if measured.kv_tokens is not None:
        tokens = measured.kv_tokens
        longest = min(model.max_context or tokens, tokens)
    filled = (per_token or 0.0) * spread * (context or longest or 0)
    verdict, why = _verdict(
        model, variant, card, gpus, spread, context, weights, usable, overhead, room, longest, needed, measured
    )
    return Fit(
        fits=verdict,
        why=why,
        tensor_parallel=spread,
        gpus=gpus,
        card=card.name,
        usable_gib=usable,
        weights_gib=weights,
        overhead_gib=overhead,
        kv_gib=room,
        needed_kv_gib=needed,
        kv_dtype=dtype,
        kv_bytes_per_token=per_token,
        context=context,
        max_context=longest or None,
        kv_tokens=tokens,
        decode_tps=decode_tokens_per_second(model, variant, card, spread),
        decode_tps_filled=decode_tokens_per_second(model, variant, card, spread, filled) if filled else None,
        measured=measured != Measured(),
        uncertain=tuple(
            dict.fromkeys([*variant.uncertain, *model.uncertain, *(f"card.{name}" for name in card.uncertain)])
        ),
    )


def _verdict(
    model: Model,
    variant: Variant,
    card: Card,
    gpus: int,
    spread: int,
    context: int | None,
    weights: float | None,
    usable: float,
    overhead: float,
    room: float | None,
    longest: int | None,
    needed: float | None,
    measured: Measured,
) -> tuple[bool | None, str | None]:
    cannot = tensor_parallel_problem(spread, gpus, model, variant) or capability_problem(model, variant, card)
    if cannot:
        return False, cannot
    if context is not None and model.max_context is not None and context > model.max_context:
        return False, f"{model.id} has a context of at most {model.max_context} tokens, and {context} were asked for."
    if weights is None or room is None:
        return None, f"The size of {variant.id} is unknown, so whether it fits is unknown."
    if room <= 0:
        return False, (
            f"The weights of {variant.id} take {weights:.1f} GiB per GPU and the engine {overhead:.1f} GiB, which leaves no "
            f"room for a KV cache in the {usable:.1f} GiB that it may use."
        )
    if room < LEAST_KV_GIB and measured.available_kv_gib is None and measured.kv_tokens is None:
        return False, (
            f"The weights of {variant.id} take {weights:.1f} GiB per GPU and the engine {overhead:.1f} GiB, which leaves "
            f"{room:.1f} GiB for a KV cache, and an estimate is no closer than {LEAST_KV_GIB:.0f} GiB."
        )
    if longest is None:
        return None, (
            f"How much memory a token of {model.id} takes is unknown; {room:.1f} GiB per GPU are left for its KV cache."
        )
    if context is not None and context > longest:
        need = f"needs {needed:.1f} GiB of KV cache per GPU" if needed is not None else "does not fit"
        return False, (
            f"A context of {context} tokens {need}, and {room:.1f} GiB are left beside {variant.id}: at most "
            f"{longest} tokens fit."
        )
    useful = min(USEFUL_CONTEXT, model.max_context or USEFUL_CONTEXT)
    if context is None and longest < useful:
        return False, f"Only {longest} tokens of context fit beside {variant.id}, and coding needs {useful} or more."
    return True, None
