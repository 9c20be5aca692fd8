# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a config.json says of a model's shape: what its layers remember, how long it reads, how wide it is inside.

Read as the engine reads it (0.33); what is not understood is None, never a guess.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from .catalogue import Layers

# By model type, every how many layers one is a full one, where config.json does not say it and the engine knows it.
_KNOWN_PATTERNS = {"gemma2": 2, "gemma3": 6, "gemma3_text": 6, "cohere2": 4}
# What config.json leaves out because Transformers has it for granted.
_GRANTED: dict[str, dict[str, Any]] = {
    "gemma3_text": {
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "sliding_window": 4096,
        "max_position_embeddings": 131072,
    },
}
_KINDS = {
    "attention": "full_attention",
    "chunked_attention": "full_attention",  # see _kinds
    "global_attention": "full_attention",
    "full": "full_attention",
    "sliding": "sliding_attention",
    "local_attention": "sliding_attention",
    "mamba2": "mamba",
    "linear": "linear_attention",
}
# Layers that keep nothing of a sequence.
_FORGETFUL = ("moe", "mlp")
# The lengths that the engine looks at; the smallest counts.
_LENGTHS = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",
    "model_max_length",
    "max_sequence_length",
    "max_seq_length",
    "seq_len",
)
# Rotary embeddings whose limit config.json already has scaled.
_SCALED_ALREADY = ("default", "su", "longrope", "llama3", "deepseek_llama_scaling", "mrope", "proportional")


def number(config: dict[str, Any], *names: str) -> int | None:
    """The first of these that is a whole number above 0."""
    for name in names:
        value = config.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None


def text_of(config: dict[str, Any]) -> dict[str, Any]:
    """The part of a config.json that describes what writes the text."""
    inner = config.get("text_config")
    text: dict[str, Any] = inner if isinstance(inner, dict) else config
    return _GRANTED.get(str(text.get("model_type")), {}) | text


def experts_of(config: dict[str, Any]) -> int | None:
    return number(config, "num_experts", "moe_num_experts", "n_routed_experts", "num_local_experts")


def layers_of(config: dict[str, Any]) -> int | None:
    return number(config, "num_hidden_layers", "n_layer", "num_layers", "n_layers")


def heads_of(config: dict[str, Any]) -> int | None:
    return number(config, "num_attention_heads", "n_head", "n_heads")


def _kv_heads(config: dict[str, Any], heads: int) -> int | None:
    names = ("n_head_kv", "num_kv_heads", "num_key_value_heads", "multi_query_group_num", "num_attention_groups")
    if any(isinstance(config.get(name), list) for name in names):  # a number for every layer
        return None
    if config.get("multi_query") is True and not config.get("new_decoder_architecture"):
        return 1
    return number(config, *names) or heads


def attention_of(config: dict[str, Any]) -> tuple[Layers, ...] | None:
    """The layers by what they remember; None when the configuration is of a kind that is not understood."""
    layers, heads = layers_of(config), heads_of(config)
    if layers is None or heads is None or config.get("compress_ratios"):
        return None
    kda = config.get("linear_attn_config")
    latent = _latent_dim(config)
    if latent and isinstance(kda, dict):
        return _kimi_linear(kda, latent, layers)
    if latent:
        return (Layers("latent", layers, latent_dim=latent),)
    if isinstance(kda, dict) or config.get("index_topk"):
        return None
    kinds = _kinds(config, layers)
    if kinds is None:
        return None
    groups = [_group(kind, count, config, heads) for kind, count in kinds.items()]
    found = tuple(group for group in groups if group is not None)
    return found if found and len(found) == len(groups) else None


def _latent_dim(config: dict[str, Any]) -> int | None:
    """Bytes-worth of elements that one token takes in a layer of latent attention."""
    rank, rope = number(config, "kv_lora_rank"), number(config, "qk_rope_head_dim")
    if not (rank and rope):
        return None
    index = number(config, "index_head_dim")
    # With a sparse index the engine stores the latent in 8 bits with a 32-bit scale for each 128, the rope part in 16, and
    # the key of the index with its scale: 788 bytes a layer for 512 + 64 + 128, which published starts confirm.
    return rank + 4 * (rank // 128) + 2 * rope + index + 4 if index else rank + rope


def _kimi_linear(kda: dict[str, Any], latent: int, layers: int) -> tuple[Layers, ...] | None:
    states, listed = kda.get("kda_layers"), kda.get("full_attn_layers")
    heads, width = number(kda, "num_heads"), number(kda, "head_dim")
    if not (isinstance(states, list) and heads and width):
        return None
    full = layers - len(states)
    if full < 0 or (listed is not None and not (isinstance(listed, list) and len(listed) == full)):
        return None
    groups = [Layers("latent", full, latent_dim=latent)] if full else []
    if states:
        groups.append(Layers("state", len(states), state_heads=heads, state_size=width * width))
    return tuple(groups)


def _head_dim(config: dict[str, Any], heads: int) -> int | None:
    """Elements of a key and a value of one head, halved: the two may differ."""
    hidden = number(config, "hidden_size", "n_embd", "d_model")
    key = number(config, "head_dim", "attention_head_dim", "hidden_size_per_head")
    key = key or (hidden // heads if hidden and heads <= hidden else None)
    value = number(config, "v_head_dim")
    return (key + value) // 2 if key and value else key


def _group(kind: str, count: int, config: dict[str, Any], heads: int) -> Layers | None:
    if kind == "linear_attention":
        state_heads = number(config, "linear_num_value_heads")
        rows, columns = number(config, "linear_key_head_dim"), number(config, "linear_value_head_dim")
        return _state(count, state_heads, rows, columns)
    if kind == "mamba":
        return _mamba(count, config)
    if kind == "conv":
        return _state(count, number(config, "hidden_size"), number(config, "conv_L_cache"), 1)
    kv_heads, head_dim = _kv_heads(config, heads), _head_dim(config, heads)
    if kv_heads is None or head_dim is None:
        return None
    if kind == "full_attention":
        return Layers(
            "full",
            count,
            kv_heads=number(config, "num_global_key_value_heads") or kv_heads,
            head_dim=number(config, "global_head_dim") or head_dim,
        )
    if kind == "sliding_attention":
        other = config.get("attention_other_setting")
        own = other if isinstance(other, dict) and other.get("attention_type") == kind else {}
        window = number(config, "sliding_window", "sliding_window_size", "attention_window_size")
        if window is None:
            return None
        return Layers(
            "sliding",
            count,
            kv_heads=number(own, "num_attention_groups") or number(config, "swa_num_key_value_heads") or kv_heads,
            head_dim=number(own, "head_dim") or number(config, "swa_head_dim") or head_dim,
            window=window,
        )
    return None


def _state(count: int, heads: int | None, rows: int | None, columns: int | None) -> Layers | None:
    if not (heads and rows and columns):
        return None
    return Layers("state", count, state_heads=heads, state_size=rows * columns)


def _mamba(count: int, config: dict[str, Any]) -> Layers | None:
    """Mamba 2 with heads, as Nemotron-H and Granite 4 name them, or the first Mamba, whose every channel is a head."""
    heads = number(config, "mamba_num_heads", "mamba_n_heads")
    size = number(config, "ssm_state_size", "mamba_d_state")
    expand, hidden = number(config, "mamba_expand"), number(config, "hidden_size")
    channels = expand * hidden if expand and hidden else None
    if heads:
        width = number(config, "mamba_head_dim", "mamba_d_head") or (channels // heads if channels else None)
        return _state(count, heads, width, size)
    return _state(count, channels, size, 1)


def _every(layers: int, every: int) -> Counter[str]:
    """Every so manieth layer is a full one, the others slide."""
    found = Counter({"full_attention": layers // every, "sliding_attention": layers - layers // every})
    return Counter({kind: count for kind, count in found.items() if count})


def _kinds(config: dict[str, Any], layers: int) -> Counter[str] | None:
    """How many layers of which kind.

    Chunked attention (Llama 4) counts as full: the engine keeps its whole cache unless an environment variable asks for
    less (VLLM_ALLOW_CHUNKED_LOCAL_ATTN_WITH_HYBRID_KV_CACHE).
    """
    listed = next((config[name] for name in ("layer_types", "layers_block_type") if config.get(name)), None)
    if isinstance(listed, list) and len(listed) >= layers:
        # Those beyond belong to the layers that draft, and the last of some models read what others keep.
        own = layers - (number(config, "num_kv_shared_layers") or 0)
        kinds = [_KINDS.get(str(kind), str(kind)) for kind in listed[:own]]
        return Counter(kind for kind in kinds if kind not in _FORGETFUL)
    pattern = config.get("hybrid_override_pattern")
    if isinstance(pattern, str):
        found = Counter({"full_attention": pattern.count("*"), "mamba": pattern.count("M")})
        return Counter({kind: count for kind, count in found.items() if count})
    marks = config.get("hybrid_layer_pattern")
    if isinstance(marks, list) and len(marks) == layers:
        return Counter("sliding_attention" if mark == 1 else "full_attention" for mark in marks)
    every = number(config, "full_attention_interval")
    if every and number(config, "linear_num_value_heads"):
        return Counter({"full_attention": layers // every, "linear_attention": layers - layers // every})
    if config.get("model_type") == "falcon_h1":  # every layer is both
        return Counter({"full_attention": layers, "mamba": layers})
    period, offset = number(config, "attn_layer_period"), config.get("attn_layer_offset")
    if period and isinstance(offset, int) and 0 <= offset < period:
        full = len(range(offset, layers, period))
        return Counter({"full_attention": full, "mamba": layers - full})
    if any(key.startswith(("mamba", "ssm", "linear_", "rwkv")) for key in config):
        return None
    return _windows(config, layers)


def _windows(config: dict[str, Any], layers: int) -> Counter[str]:
    window = config.get("sliding_window_pattern") or config.get("_sliding_window_pattern")
    if isinstance(window, str) and window and set(window) <= {"L", "G"}:  # L: local
        full = sum(window[index % len(window)] == "G" for index in range(layers))
        return Counter({"full_attention": full, "sliding_attention": layers - full})
    every = number(config, "sliding_window_pattern", "_sliding_window_pattern", "global_attn_every_n_layers")
    every = every or _KNOWN_PATTERNS.get(str(config.get("model_type")))
    if every and number(config, "sliding_window"):
        return _every(layers, every)
    # Every layer counted as full is the safe side where only some of them slide.
    return Counter({"full_attention": layers})


def _rotary(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The settings of its rotary embeddings: one, or one for every kind of layer."""
    found = config.get("rope_parameters") or config.get("rope_scaling")
    if not isinstance(found, dict):
        return []
    nested = [value for value in found.values() if isinstance(value, dict)]
    return nested or [found]


def context_of(config: dict[str, Any]) -> int | None:
    """The longest context in tokens.

    With YaRN that is ``factor`` times the length before it: repositories differ in whether their
    ``max_position_embeddings`` has it in already.
    """
    limits = [value for name in _LENGTHS if (value := number(config, name))]
    limit = min(limits) if limits else None
    if limit is None or "gemma3" in str(config.get("model_type") or ""):
        return limit
    for settings in _rotary(config):
        kind = str(settings.get("rope_type") or settings.get("type") or "default")
        factor = settings.get("factor")
        if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 1 <= factor <= 1024:
            continue
        if "yarn" in kind:
            before = number(settings, "original_max_position_embeddings") or number(
                config, "original_max_position_embeddings"
            )
            return max(limit, int(factor * before)) if before else limit
        if kind not in _SCALED_ALREADY:
            return int(factor * limit)
    return limit


def engine_context_of(config: dict[str, Any]) -> int | None:
    """The length that the engine takes for the limit: since 0.33 it no longer multiplies for YaRN."""
    if any("yarn" in str(settings.get("rope_type") or settings.get("type")) for settings in _rotary(config)):
        return min([value for name in _LENGTHS if (value := number(config, name))], default=None)
    return context_of(config)


def widths_of(config: dict[str, Any]) -> tuple[int | None, tuple[int, ...]]:
    """The inner width of one expert, and those of the layers that every token goes through."""
    dense = number(config, "intermediate_size")
    if not experts_of(config):
        return None, (dense,) if dense else ()
    expert = number(config, "moe_intermediate_size")
    shared = number(config, "shared_expert_intermediate_size")
    count = number(config, "n_shared_experts", "num_shared_experts")
    if shared is None and count and expert:
        shared = count * expert
    some_dense = number(config, "first_k_dense_replace") is not None and expert is not None
    widths = [width for width in (dense if some_dense else None, shared) if width]
    return expert or dense, tuple(widths)
