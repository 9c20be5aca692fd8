# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model that the catalogue does not list, from what the Hub says of its repository and its config.json."""

from __future__ import annotations

import json
from typing import Any

from .catalogue import Model, Variant
from .geometry import attention_of, context_of, engine_context_of, experts_of, heads_of, layers_of, text_of, widths_of
from .repository_kind import architecture_note, refuse_what_is_not_served, weight_files
from .stored_as import stored_as

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


def _disk_gb(info: dict[str, Any]) -> float | None:
    """Bytes of the weights that the engine loads."""
    sizes = {str(file.get("rfilename") or ""): file.get("size") for file in info.get("siblings") or []}
    found = [sizes[name] for name in weight_files(list(sizes))]
    if not found or not all(isinstance(size, int) and not isinstance(size, bool) for size in found):
        return None
    return round(float(sum(size for size in found if size)) / 1e9, 2)


def _parsers(architecture: str, name: str) -> tuple[str | None, str | None]:
    if architecture.startswith("Qwen3Moe") and "coder" in name.lower():
        return "qwen3_coder", None
    return next(((tool, thought) for part, tool, thought in _PARSERS if architecture.startswith(part)), (None, None))


def _longer_flags(full: dict[str, Any], text: dict[str, Any]) -> dict[str, Any]:
    """What lets the engine take the whole context where its config.json does not have YaRN's factor in the limit."""
    context, engines = context_of(text), engine_context_of(text)
    if context is None or engines is None or context <= engines:
        return {}
    limit: dict[str, Any] = {"max_position_embeddings": context}
    inside = isinstance(full.get("text_config"), dict)
    return {"hf-overrides": json.dumps({"text_config": limit} if inside else limit)}


def model_from_hub(name: str, info: dict[str, Any], config: dict[str, Any] | None) -> Model:
    """The model; Failure(refused) for what the engine does not serve. ``config`` is None when it cannot be read."""
    refuse_what_is_not_served(name, info, config)
    full = config or {}
    text = text_of(full)
    stored = stored_as(full)
    architecture = str((full.get("architectures") or [""])[0])
    tool, thought = _parsers(architecture, name)
    disk_gb = _disk_gb(info)
    experts = experts_of(text)
    total = (info.get("safetensors") or {}).get("total")
    per_parameter = {"bf16": 2.0, "fp16": 2.0, "fp8": 1.05, "int8": 1.05, "int8-gptq": 1.05}.get(stored.precision, 0.62)
    plain = stored.precision in ("bf16", "fp16")
    parameters = total / 1e9 if isinstance(total, int) and plain else None
    if parameters is None and disk_gb is not None:
        parameters = disk_gb / per_parameter / (2.0 if stored.half else 1.0)
    parameters = round(parameters, 2) if parameters else None
    licence = (info.get("cardData") or {}).get("license")
    expert_width, dense_widths = widths_of(text)
    notes = [f"{name} is not in the catalogue; what is said of it comes from its repository."]
    if tool is None:
        notes.append(f"Its parser of tool calls is unknown, so agents cannot call tools with {name}.")
    if full.get("auto_map"):
        notes.append(
            f"{name} brings program code, which is not run: it only works if the engine knows its architecture."
        )
    elif unsure := architecture_note(name, full):
        notes.append(unsure)
    variant = Variant(
        name,
        stored.precision,
        disk_gb,
        stored.min_capability,
        flags=_longer_flags(full, text),
        uncertain=("min_capability",),
        loaded_gb=round(disk_gb / 2, 2) if stored.half and disk_gb is not None else None,
        block=stored.block,
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
        max_context=context_of(text),
        variants=(variant,),
        layers=layers_of(text),
        heads=heads_of(text),
        attention=attention_of(text) if config else None,
        expert_width=expert_width,
        dense_widths=dense_widths,
        tool_parser=tool,
        reasoning_parser=thought,
        multimodal="vision_config" in full,
        uncertain=("tool_parser", "reasoning_parser", "min_capability"),
        source="hub",
        notes=tuple(notes),
    )
