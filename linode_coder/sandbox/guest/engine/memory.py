"""What a model needs and what the cards have: the arithmetic with which vLLM starts or refuses."""

from __future__ import annotations

import argparse
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from ..json_types import Json
from .flag_names import ARCHITECTURES

GIB = 2**30
OVERHEAD_GIB = 2.0  # activations, graphs and CUDA context of a small model
_KV_BYTES = 57344  # a token of a 7B model with grouped-query attention, two bytes a value


@dataclass(frozen=True)
class Model:
    """`weights` in GiB, `kv` in bytes for one token at 16 bit, `context` in tokens."""

    architecture: str
    weights: float
    kv: int
    context: int
    files: int
    kind: str = "qwen2"
    images: bool = False  # it has an encoder for them


def cards() -> list[dict[str, object]]:
    return list(json.loads(Path(os.environ.get("SANDBOX_GPUS", "/etc/sandbox/gpus.json")).read_text())["gpus"])


def files_of(name: str, revision: str | None = None) -> Path | None:
    """Where the model's files lie: a directory of that name, or what the Hub's cache has of it."""
    if Path(name).is_dir():
        return Path(name)
    home = os.environ.get("HF_HOME") or os.path.expanduser("~/.cache/huggingface")
    cached = Path(home, "hub", "models--" + name.replace("/", "--"))
    asked = revision or "main"
    if (cached / "snapshots" / asked).is_dir():
        return cached / "snapshots" / asked
    try:
        return cached / "snapshots" / (cached / "refs" / asked).read_text().strip()
    except OSError:
        return None


def is_truncated(shard: Path) -> bool:
    """Whether a safetensors file ends before its header says. The sandbox's own files hold nothing but zeros."""
    with shard.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length == 0:
            return False
        try:
            header = json.loads(file.read(length))
        except ValueError:
            return True
    end = max((part["data_offsets"][1] for name, part in header.items() if name != "__metadata__"), default=0)
    return shard.stat().st_size < 8 + length + end


def model_of(name: str) -> Model | None:
    """From the files when `name` is a directory, else from what the name tells; None for a model that is not there."""
    if (Path(name) / "config.json").is_file():
        return _from_files(Path(name))
    match = re.search(r"(\d+(?:\.\d+)?)\s*[bB](?![a-zA-Z])", name)
    low = name.lower()
    known = listed(name)
    if known is not None:
        weights = float(known["weights_gib"])
        files, images = max(1, round(weights / 4)), bool(known.get("images"))
        return Model("Qwen2ForCausalLM", weights, known["kv_bytes"], known["context"], files, images=images)
    if match is None:
        return Model("Qwen2ForCausalLM", 0.01, _KV_BYTES, 32768, 1) if "tiny" in low else None
    per_parameter = (
        0.6 if any(word in low for word in ("awq", "gptq", "int4", "nvfp4", "mxfp4", "gpt-oss", "w4a16")) else 2.0
    )
    if "fp8" in low or "int8" in low:
        per_parameter = 1.05
    weights = float(match.group(1)) * 1e9 * per_parameter / GIB
    return Model("Qwen2ForCausalLM", weights, _KV_BYTES, 32768, max(1, round(weights / 4)))


def needs_newer_card(name: str, capability: str) -> bool:
    """MXFP4 has kernels from compute capability 8.0 on; the other quantizations of the catalogue run on older cards too."""
    low = name.lower()
    return ("mxfp4" in low or "gpt-oss" in low) and float(capability) < 8.0


def listed(name: str) -> Json | None:
    """What the catalogue has of a model: its name alone does not always tell its size."""
    path = Path(os.environ.get("SANDBOX_MODELS", "/etc/sandbox/models.json"))
    return dict(json.loads(path.read_text())).get(name) if path.is_file() else None


def _from_files(path: Path) -> Model:
    config = json.loads((path / "config.json").read_text())
    shards = list(path.glob("*.safetensors"))
    layers, heads = config.get("num_hidden_layers", 28), config.get("num_attention_heads", 28)
    head = config.get("head_dim") or config.get("hidden_size", 3584) // heads
    return Model(
        architecture=(config.get("architectures") or ["Qwen2ForCausalLM"])[0],
        weights=sum(shard.stat().st_size for shard in shards) / GIB,
        kv=2 * layers * config.get("num_key_value_heads", heads) * head * 2,
        context=config.get("max_position_embeddings", 32768),
        files=len(shards),
        kind=config.get("model_type", "qwen2"),
        images="vision_config" in config,
    )


def is_known_type(kind: str) -> bool:
    """Whether a configuration's model type belongs to an architecture: qwen3_moe to Qwen3MoeForCausalLM."""
    plain = kind.replace("_", "").replace("-", "").lower()
    return any(name.lower().startswith(plain) for name in ARCHITECTURES)


@dataclass(frozen=True)
class Room:
    """Per card, in GiB; `tokens` is what the KV cache holds."""

    total: float
    wanted: float
    weights: float
    cache: float
    needed: float
    tokens: int
    longest: int
    context: int


def room_for(model: Model, options: argparse.Namespace, card_gib: float) -> Room:
    """The cache that is left beside the weights, and what one request of the longest context needs of it."""
    ranks = options.tensor_parallel_size
    wanted = card_gib * options.gpu_memory_utilization
    cache = wanted - model.weights / ranks - OVERHEAD_GIB
    if options.kv_cache_memory_bytes:
        cache = options.kv_cache_memory_bytes / GIB
    share = 0.5 if "8" in (options.kv_cache_dtype or "") else 1.0
    per_token = model.kv * share / ranks
    longest = max(0, int(cache * GIB / per_token) // 16 * 16)
    context = options.max_model_len or model.context
    if context < 0:
        context = min(longest, model.context)
    return Room(
        total=card_gib,
        wanted=wanted,
        weights=model.weights / ranks,
        cache=cache,
        needed=per_token * context / GIB,
        tokens=longest,
        longest=longest,
        context=context,
    )
