# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model that the catalogue does not list, from what the Hub says of its repository and its config.json."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ..core.failure import Failure
from .catalogue import Layers, Model, Variant

# Quantisation methods by what is stored. Methods that are not here are passed on to the engine as unknown.
_PRECISIONS = {
    "awq": "int4-awq",
    "gptq": "int4-gptq",
    "auto-round": "int4-autoround",
    "fp8": "fp8",
    "fbgemm_fp8": "fp8",
    "mxfp4": "mxfp4",
    "modelopt_fp4": "nvfp4",
}
_PLUGIN_ONLY = ("bitsandbytes", "gguf")
# Types that the engine refuses to run in 16-bit floats other than bf16.
_BF16_ONLY = ("gemma2", "gemma3", "gemma3_text", "glm4")
# Architecture: parser of tool calls, parser of reasoning.
_PARSERS: tuple[tuple[str, str | None, str | None], ...] = (
    ("Qwen3_5", "qwen3_coder", "qwen3"),
    ("Qwen3Next", "qwen3_coder", None),
    ("Qwen3", "hermes", "qwen3"),
    ("Qwen2", "hermes", None),
    ("GptOss", "openai", "openai_gptoss"),
    ("Gemma4", "gemma4", "gemma4"),
    ("Glm4Moe", "glm45", "glm45"),
    ("Mistral", "mistral", None),
    ("Ministral", "mistral", None),
    ("MiniMaxM2", "minimax_m2", "minimax_m2"),
    ("NemotronH", "qwen3_coder", "nemotron_v3"),
    ("DeepseekV3", "deepseek_v3", "deepseek_r1"),
    ("Llama4", "llama4_pythonic", None),
    ("Llama", "llama3_json", None),
    ("Granite", "granite4", None),
    ("SeedOss", "seed_oss", "seed_oss"),
)


def _number(config: dict[str, Any], *names: str) -> int | None:
    for name in names:
        value = config.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None


def attention_of(config: dict[str, Any]) -> tuple[Layers, ...] | None:
    """The layers by what they remember; None when the configuration is of a kind that is not understood."""
    layers, heads = _number(config, "num_hidden_layers"), _number(config, "num_attention_heads")
    if layers is None or heads is None:
        return None
    latent, rope = _number(config, "kv_lora_rank"), _number(config, "qk_rope_head_dim")
    if latent and rope:
        return (Layers("latent", layers, latent_dim=latent + rope),)
    hidden = _number(config, "hidden_size")
    head_dim = _number(config, "head_dim") or (hidden // heads if hidden else None)
    kv_heads = _number(config, "num_key_value_heads") or heads
    if head_dim is None:
        return None
    kinds = _kinds(config, layers)
    if kinds is None:
        return None
    groups = []
    for kind, count in kinds.items():
        if kind == "sliding_attention":
            window = _number(config, "sliding_window", "attention_window_size")
            if window is None:
                return None
            groups.append(Layers("sliding", count, kv_heads=kv_heads, head_dim=head_dim, window=window))
        elif kind == "full_attention":
            groups.append(
                Layers(
                    "full",
                    count,
                    kv_heads=_number(config, "num_global_key_value_heads") or kv_heads,
                    head_dim=_number(config, "global_head_dim") or head_dim,
                )
            )
        elif kind == "linear_attention":
            state_heads = _number(config, "linear_num_value_heads")
            rows, columns = _number(config, "linear_key_head_dim"), _number(config, "linear_value_head_dim")
            if not (state_heads and rows and columns):
                return None
            groups.append(Layers("state", count, state_heads=state_heads, state_size=rows * columns))
        elif kind == "mamba":
            state_heads, size = _number(config, "mamba_num_heads"), _number(config, "ssm_state_size")
            width = _number(config, "mamba_head_dim")
            if not (state_heads and size and width):
                return None
            groups.append(Layers("state", count, state_heads=state_heads, state_size=width * size))
        else:
            return None
    return tuple(groups) or None


def _kinds(config: dict[str, Any], layers: int) -> Counter[str] | None:
    """How many layers of which kind."""
    listed = config.get("layer_types")
    if isinstance(listed, list) and len(listed) == layers:
        return Counter(str(kind) for kind in listed)
    pattern = config.get("hybrid_override_pattern")
    if isinstance(pattern, str):
        found = Counter({"full_attention": pattern.count("*"), "mamba": pattern.count("M")})
        return Counter({kind: count for kind, count in found.items() if count})
    every = _number(config, "full_attention_interval")
    if every and _number(config, "linear_num_value_heads"):
        return Counter({"full_attention": layers // every, "linear_attention": layers - layers // every})
    if any(key.startswith(("mamba", "ssm", "linear_", "rwkv")) for key in config):
        return None
    # Every layer counted as full is the safe side where only some of them slide.
    return Counter({"full_attention": layers})


def _precision(config: dict[str, Any]) -> tuple[str, str]:
    """What the weights are stored in, and the name of the method that did it."""
    quantization = config.get("quantization_config") or {}
    method = str(quantization.get("quant_method") or "").lower()
    if method == "modelopt" and "fp4" in str(quantization.get("quant_algo") or "").lower():
        method = "modelopt_fp4"
    elif method == "modelopt":
        method = "fp8"
    if method == "compressed-tensors":
        form = str(quantization.get("format") or "")
        by_format = {"pack-quantized": "int4", "float-quantized": "fp8", "nvfp4-pack-quantized": "nvfp4"}
        return by_format.get(form, "unknown"), method
    if method:
        return _PRECISIONS.get(method, "unknown"), method
    kind = str(config.get("torch_dtype") or config.get("dtype") or "")
    return {"bfloat16": "bf16", "float16": "fp16", "float32": "bf16"}.get(kind, "unknown"), ""


def _disk_gb(info: dict[str, Any]) -> float | None:
    """Bytes of the weights that the engine loads: safetensors, or the older format where there are none."""
    sizes = {
        str(file.get("rfilename") or ""): file.get("size")
        for file in info.get("siblings") or []
        if "/" not in str(file.get("rfilename") or "/")
    }
    for ending in (".safetensors", ".bin"):
        found = [size for name, size in sizes.items() if name.endswith(ending) and not name.startswith("consolidated")]
        if found and all(isinstance(size, int) for size in found):
            return round(float(sum(size for size in found if size)) / 1e9, 2)
    return None


def _parsers(architecture: str, name: str) -> tuple[str | None, str | None]:
    if architecture.startswith("Qwen3Moe") and "coder" in name.lower():
        return "qwen3_coder", None
    return next(((tool, thought) for part, tool, thought in _PARSERS if architecture.startswith(part)), (None, None))


def model_from_hub(name: str, info: dict[str, Any], config: dict[str, Any] | None) -> Model:
    """The model; Failure(refused) for weights that the engine does not serve. ``config`` is None when it cannot be read."""
    full = config or {}
    inner = full.get("text_config")
    text: dict[str, Any] = inner if isinstance(inner, dict) else full
    precision, method = _precision(full)
    files = [str(file.get("rfilename") or "") for file in info.get("siblings") or []]
    if method in _PLUGIN_ONLY or (
        any(file.endswith(".gguf") for file in files) and not any(file.endswith(".safetensors") for file in files)
    ):
        raise Failure(
            "refused",
            f"{name} is stored as {method or 'gguf'}, which the engine does not serve.",
            remedy="Choose weights in AWQ, GPTQ, FP8, NVFP4 or 16 bits; see: linode-coder models",
            field="model",
            value=name,
        )
    architecture = str((full.get("architectures") or [""])[0])
    tool, thought = _parsers(architecture, name)
    disk_gb = _disk_gb(info)
    experts = _number(text, "num_experts", "num_local_experts", "n_routed_experts")
    stored = (info.get("safetensors") or {}).get("total")
    per_parameter = {"bf16": 2.0, "fp16": 2.0, "fp8": 1.05}.get(precision, 0.62)
    parameters = stored / 1e9 if isinstance(stored, int) and precision in ("bf16", "fp16") else None
    if parameters is None and disk_gb is not None:
        parameters = disk_gb / per_parameter
    parameters = round(parameters, 2) if parameters else None
    licence = (info.get("cardData") or {}).get("license")
    attention = attention_of(text) if config else None
    uncertain = ["tool_parser", "reasoning_parser", "min_capability"]
    notes = [f"{name} is not in the catalogue; what is said of it comes from its repository."]
    if tool is None:
        notes.append(f"Its parser of tool calls is unknown, so agents cannot call tools with {name}.")
    if full.get("auto_map"):
        notes.append(
            f"{name} brings program code, which is not run: it only works if the engine knows its architecture."
        )
    bf16_only = str(text.get("model_type") or full.get("model_type")) in _BF16_ONLY
    variant = Variant(
        name,
        precision,
        disk_gb,
        "8.0" if precision == "mxfp4" or bf16_only else "7.5",
        uncertain=("min_capability",),
    )
    return Model(
        id=name,
        name=name.partition("/")[2],
        hf=name,
        family=str(full.get("model_type") or "unknown"),
        licence=str(licence) if isinstance(licence, str) else "unknown",
        gated=bool(info.get("gated")),
        parameters_b=parameters,
        active_b=None if experts else parameters,
        max_context=_number(text, "max_position_embeddings"),
        variants=(variant,),
        layers=_number(text, "num_hidden_layers"),
        heads=_number(text, "num_attention_heads"),
        attention=attention,
        tool_parser=tool,
        reasoning_parser=thought,
        multimodal="vision_config" in full,
        uncertain=tuple(uncertain),
        source="hub",
        notes=tuple(notes),
    )
