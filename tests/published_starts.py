# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts of the engine that somebody published, and how far the fit's arithmetic is from each.

`Model loading took`, `Available KV cache memory` and `GPU KV cache size` with `Maximum concurrency` are the engine's own
lines. Figures only; the thread or page of each stands beside it ("notes": the text is public, and its address was not
found). What would change the figures and is not in the fit was left out: speculation, forks, KV caches of other types,
offloading.

The fit's parts are compared one by one, since few publish all of them: weights with weights, the room that is left with
the memory that the engine may use, and what the room holds with the room that the engine had.
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.linode_coder.gpu.plugins.module_utils.linode.gpu_plans import Card
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.catalogue import Layers, Model, Variant
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.memory_fit import (
    GIB,
    IN_FLIGHT_TOKENS,
    loaded_gib,
    overhead_gib,
    sequence_bytes,
)


@dataclass(frozen=True)
class Start:
    """One start. Per GPU and in GiB, but for ``files_gb``, which is the repository's weights in 1e9 bytes.

    ``held`` is a context and how many sequences of that length the cache holds; ``room_gib`` is what that is held in.
    """

    model: str
    card: str
    gpus: int
    source: str
    files_gb: float | None = None
    loaded_gib: float | None = None
    mxfp4: bool = False
    images: bool = False
    cuda_gib: float | None = None
    utilization: float | None = None
    room_gib: float | None = None
    attention: tuple[Layers, ...] | None = None
    kv_bytes: int = 2
    held: tuple[int, float] | None = None
    in_flight: int = IN_FLIGHT_TOKENS


def full(layers: int, kv_heads: int, head_dim: int = 128) -> tuple[Layers, ...]:
    return (Layers("full", layers, kv_heads=kv_heads, head_dim=head_dim),)


def gdn(full_layers: int, kv_heads: int, states: int, state_heads: int) -> tuple[Layers, ...]:
    return (*full(full_layers, kv_heads, 256), Layers("state", states, state_heads=state_heads, state_size=128 * 128))


# A page of measurements on an H100 with the engine's defaults, "vLLM Empirical Memory Profiling Results", in a public
# repository whose name was not found.
H100 = "H100 profiling table"
_LLAMA_8B, _LLAMA_70B, _QWEN3_32B = full(32, 8), full(80, 8), full(64, 8)
_GEMMA_26B = (*full(5, 2, 512), Layers("sliding", 25, kv_heads=8, head_dim=256, window=1024))

STARTS = (
    # -- MXFP4 mixtures, which grow --------------------------------------------------------------------------------
    Start("gpt-oss-20b", "RTX 3090", 1, "github.com/vllm-project/vllm/issues/22331", 13.8, 12.88, mxfp4=True),
    Start(
        "gpt-oss-20b", "A100 80 GB", 1, "myoceane.fr/index.php/ai-vllm-a100-gemma-4", 13.8, 13.72, mxfp4=True,
        cuda_gib=79.25, utilization=0.65, room_gib=36.56,
    ),
    Start("gpt-oss-20b", "H100", 1, H100, 13.8, 13.47, mxfp4=True, cuda_gib=79.18, utilization=0.9, room_gib=50.28),
    Start("gpt-oss-120b", "H100", 1, "github.com/vllm-project/vllm/issues/23278", 65.2, 65.97, mxfp4=True),
    Start("gpt-oss-120b", "H100", 1, H100, 65.2, 64.38, mxfp4=True, cuda_gib=79.18, utilization=0.9, room_gib=3.33),
    # -- full attention --------------------------------------------------------------------------------------------
    Start("Llama 3.1 8B", "H100", 1, H100, 16.06, 14.99, cuda_gib=79.18, utilization=0.9, room_gib=51.38),
    Start("Llama 3.1 8B", "RTX A5000", 1, "notes", room_gib=5.29, attention=_LLAMA_8B, held=(2048, 43296 / 2048)),
    Start("Qwen3 8B", "unnamed", 1, "notes", 16.38, 15.27, room_gib=18.69, attention=full(36, 8), held=(40960, 3.32)),
    Start("Qwen3 8B", "H100", 1, "github.com/LMCache/LMCache/pull/1769", room_gib=50.32, attention=full(36, 8), held=(40960, 8.95)),
    Start("Qwen2.5 7B", "unnamed", 1, "notes", 15.23, 14.25, room_gib=13.1, attention=full(28, 4), held=(32768, 7.49)),
    Start("Qwen3 32B", "H100", 1, H100, 65.53, 61.03, cuda_gib=79.18, utilization=0.9, room_gib=4.45),
    Start("Qwen3 32B", "H100", 2, H100, 65.53, 30.59, cuda_gib=79.18, utilization=0.9, room_gib=34.49),
    Start("Qwen3 32B", "H100", 2, "github.com/LMCache/LMCache/pull/1769", room_gib=33.66, attention=_QWEN3_32B, held=(40960, 6.73)),
    Start("Llama 3.3 70B FP8", "H100", 2, H100, 71.0, 33.88, cuda_gib=79.18, utilization=0.9, room_gib=32.0),
    Start("Llama 3.3 70B FP8", "H100", 1, "notes", 71.0, 67.7, room_gib=5.11, attention=_LLAMA_70B, kv_bytes=1, held=(32000, 1.05)),
    Start("Llama 3 70B AWQ", "48 GB Ada", 2, "notes", 39.77, 18.55, room_gib=20.16, attention=_LLAMA_70B, held=(8192, 16.13)),
    Start(
        "Mistral Small 3.2 24B", "H100", 1, H100, 48.02, 44.76, images=True, cuda_gib=79.18, utilization=0.95, room_gib=28.2
    ),
    Start("Ministral 3 14B", "unnamed", 2, "notes", room_gib=52.36, attention=full(40, 8), held=(100000, 6.86)),
    Start("Qwen3 30B-A3B", "unnamed", 4, "github.com/vllm-project/vllm/issues/17469", 61.06, 14.25),
    Start(
        "Qwen3 235B-A22B FP8", "H100", 4, "github.com/vllm-project/vllm/issues/21348", room_gib=8.11,
        attention=full(94, 4), held=(40960, 178880 / 40960),
    ),
    # -- latent attention ------------------------------------------------------------------------------------------
    Start(
        "Kimi K2 Thinking", "H200", 8, "github.com/vllm-project/recipes: moonshotai/Kimi-K2-Think.md", room_gib=46.8,
        attention=(Layers("latent", 61, latent_dim=576),), held=(262144, 715072 / 262144),
    ),
    Start(
        "GLM 5.1 NVFP4", "RTX PRO 6000", 8, "github.com/local-inference-lab/rtx6kpro: models/glm5.1", room_gib=19.55,
        attention=(Layers("latent", 78, latent_dim=788),), kv_bytes=1, held=(202752, 341504 / 202752),
    ),
    # -- states and windows ----------------------------------------------------------------------------------------
    Start(
        "Qwen3.8 27B FP8", "L40S", 1, "notes", 30.87, 28.51, images=True, cuda_gib=44.39, utilization=0.86, room_gib=7.04,
        attention=gdn(16, 4, 48, 48), held=(112896, 1.0),
    ),
    Start("Qwen3.8 27B FP8", "RTX 5090", 2, "github.com/vllm-project/recipes/pull/810", 30.87, 14.28, images=True),
    Start("Qwen3.8 27B NVFP4", "RTX 5090", 2, "github.com/vllm-project/recipes/pull/810", 26.38, 12.02, images=True),
    Start(
        "Qwen3.8 27B NVFP4", "RTX PRO 6000", 1, "notes", 21.93, 20.75, images=True, cuda_gib=94.97, utilization=0.5, room_gib=22.72
    ),
    Start("Qwen3.6 35B-A3B NVFP4", "RTX 5090", 1, "github.com/vllm-project/vllm/issues/44881", 23.4, 21.82, images=True),
    Start(
        "Qwen3.6 35B-A3B NVFP4", "RTX 5090", 1, "github.com/noonghunna/club-3090/issues/612", 23.4, images=True,
        cuda_gib=31.4, utilization=0.92, room_gib=5.98, attention=gdn(10, 2, 30, 32), kv_bytes=1, held=(131072, 4.33),
    ),
    Start(
        "Qwen3.5 122B-A10B NVFP4", "Thor", 1, "notes", 76.0, 70.47, images=True, room_gib=21.43,
        attention=gdn(12, 2, 36, 64), kv_bytes=1, held=(131072, 11.79),
    ),
    Start("Qwen3.5 2B", "unnamed", 1, "notes", room_gib=5.95, attention=gdn(6, 2, 18, 16), held=(262144, 1.97)),
    # It keeps its states in 16 bits, and the fit reckons with the engine's default of 32.
    Start(
        "Qwen3-Next 80B W4A16", "CMP 170HX", 1, "github.com/magicsmokepress/cmp-170hx-vllm", room_gib=16.63,
        attention=gdn(12, 2, 36, 32), held=(65536, 708425 / 65536),
    ),
    Start(
        "Qwen3-Next 80B W4A16", "CMP 170HX", 1, "github.com/magicsmokepress/cmp-170hx-vllm", room_gib=5.85,
        attention=gdn(12, 2, 36, 32), held=(65536, 242534 / 65536),
    ),
    Start(
        "Gemma 4 26B-A4B", "A100 80 GB", 1, "myoceane.fr/index.php/ai-vllm-a100-gemma-4", 53.0, 48.5, images=True,
        cuda_gib=79.25, utilization=0.9, room_gib=21.5,
    ),
    # An older engine, which reckons with the tokens of one step of 2048.
    Start(
        "Gemma 4 26B-A4B", "Thor", 1, "notes", 53.0, 48.5, images=True, room_gib=51.62, attention=_GEMMA_26B, kv_bytes=1,
        held=(131072, 33.42), in_flight=2048,
    ),
)  # fmt: skip

# What was published and what the fit does not reckon, with what it says of it instead.
UNKNOWN = (
    (
        "Qwen3.8 Flash-Next NVFP4",
        "125.9 GiB of files, 78.5 GiB on the card: a table of n-grams stays in the host's memory; `loaded_gb` in a catalogue entry says so",
    ),
    ("DeepSeek V4 Flash", "its cache has five kinds of layers with rates of compression: attention unknown"),
    (
        "with speculation",
        "a drafting layer and more blocks for states take 10 to 20 % of the tokens: never switched on here",
    ),
)


@dataclass(frozen=True)
class Errors:
    """Percent by which the fit is above (or, negative, below) what was measured; None where it was not published.

    ``weights`` and ``tokens`` are of themselves, ``room`` is of the memory that the engine may use.
    """

    weights: float | None
    room: float | None
    tokens: float | None

    def worst(self) -> float:
        return max(abs(value) for value in (self.weights, self.room, self.tokens) if value is not None)


def errors_of(start: Start) -> Errors:
    precision = "mxfp4" if start.mxfp4 else "bf16"
    variant = Variant("o/m", precision, start.files_gb)
    model = Model(
        "m", "m", "o/m", "f", "l", False, None, None, None, (variant,), multimodal=start.images, expert_width=1 if start.mxfp4 else None
    )  # fmt: skip
    loaded = loaded_gib(model, variant)
    weights = room = tokens = None
    if loaded is not None and start.loaded_gib is not None:
        weights = loaded / start.gpus / start.loaded_gib - 1
    if (
        loaded is not None
        and start.cuda_gib is not None
        and start.utilization is not None
        and start.room_gib is not None
    ):
        usable = start.cuda_gib * start.utilization
        card = Card(start.card, 0, "8.9", "any", start.cuda_gib, 0)
        left = usable - loaded / start.gpus - overhead_gib(card, start.gpus, start.images)
        room = (left - start.room_gib) / usable
    if start.attention and start.held and start.room_gib is not None:
        context, times = start.held
        one = sequence_bytes(start.attention, context, start.gpus, start.kv_bytes, start.in_flight)
        tokens = start.room_gib * GIB / one / times - 1
    return Errors(*(None if value is None else 100 * value for value in (weights, room, tokens)))
