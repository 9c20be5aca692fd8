# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a config.json says that the weights are stored, and which card the engine's kernels for that need (0.33)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .geometry import number

# Types that the engine refuses to run in 16-bit floats other than bf16.
_BF16_ONLY = ("gemma2", "gemma3", "gemma3_text", "glm4")
_TURING, _AMPERE = "7.5", "8.0"
# Methods that the engine loads. Everything else is refused before it is paid for.
METHODS = (
    "awq",
    "gptq",
    "auto-round",
    "compressed-tensors",
    "fp8",
    "fbgemm_fp8",
    "modelopt",
    "modelopt_fp4",
    "modelopt_mixed",
    "modelopt_mxfp8",
    "mxfp4",
    "quark",
    "torchao",
    "experts_int8",
    "moe_wna16",
    "deepseek_v4_fp8",
)
_SAME = {
    "compressed_tensors": "compressed-tensors",
    "intel/auto-round": "auto-round",
    "auto_round": "auto-round",
    "inc": "auto-round",
    "awq_marlin": "awq",
    "auto_awq": "awq",
    "gptq_marlin": "gptq",
    "auto_gptq": "gptq",
    "gpt_oss_mxfp4": "mxfp4",
}


@dataclass(frozen=True)
class Stored:
    """``method`` is empty for plain numbers. ``half`` says that the engine keeps half of what the files hold."""

    precision: str
    method: str
    min_capability: str = _TURING
    block: int | None = None
    half: bool = False


def quantization_of(config: dict[str, Any]) -> dict[str, Any]:
    """The settings of the quantisation, where the engine looks for them."""
    inner = config.get("text_config")
    for place in (config, inner if isinstance(inner, dict) else {}):
        for name in ("quantization_config", "compression_config"):
            if isinstance(place.get(name), dict) and place[name]:
                return dict(place[name])
    return {}


def stored_as(config: dict[str, Any]) -> Stored:
    settings = quantization_of(config)
    method = str(settings.get("quant_method") or "").lower()
    method = _SAME.get(method, method)
    if not method and "modelopt" in str(settings.get("producer")):
        method = "modelopt"
        inner = settings.get("quantization")
        settings = settings | inner if isinstance(inner, dict) else settings
    if not method:
        return _plain(config)
    found = _quantized(method, settings)
    if str(config.get("model_type")) in _BF16_ONLY and found.min_capability == _TURING:
        return Stored(found.precision, found.method, _AMPERE, found.block)
    return found


def _plain(config: dict[str, Any]) -> Stored:
    inner = config.get("text_config")
    text: dict[str, Any] = inner if isinstance(inner, dict) else {}
    kind = str(
        next((place[name] for place in (config, text) for name in ("torch_dtype", "dtype") if place.get(name)), "")
    )
    kind = kind.removeprefix("torch.")
    precision = {"bfloat16": "bf16", "float16": "fp16", "float32": "bf16"}.get(kind, "unknown")
    types = {str(config.get("model_type")), str(text.get("model_type"))}
    return Stored(precision, "", _AMPERE if types & set(_BF16_ONLY) else _TURING, half=kind == "float32")


def _quantized(method: str, settings: dict[str, Any]) -> Stored:
    algorithm = str(settings.get("quant_algo") or "").lower()
    if method in ("gptq", "awq", "auto-round"):
        return Stored(_whole_numbers(number(settings, "bits", "w_bit"), method), method)
    if method == "compressed-tensors":
        return _compressed(settings)
    if method in ("fp8", "deepseek_v4_fp8"):
        return Stored("fp8", method, block=_side(settings.get("weight_block_size")))
    if method.startswith("modelopt"):
        if "mixed" in algorithm or method == "modelopt_mixed":
            return Stored("mixed", method, _AMPERE)
        if "fp4" in algorithm or method == "modelopt_fp4":
            return Stored("nvfp4", method)
        return Stored("fp8", method, _AMPERE)
    known = {"fbgemm_fp8": ("fp8", _AMPERE), "mxfp4": ("mxfp4", _AMPERE), "experts_int8": ("int8", _AMPERE)}
    precision, least = known.get(method, ("unknown", _TURING))
    return Stored(precision, method, least)


def _side(blocks: Any) -> int | None:
    """The first side of blocks, which share a scale each; None where that is no whole number."""
    side = blocks[0] if isinstance(blocks, list) and blocks else None
    return side if isinstance(side, int) and not isinstance(side, bool) and side > 0 else None


def _whole_numbers(bits: int | None, method: str) -> str:
    ending = {"auto-round": "-autoround"}.get(method, f"-{method}")
    if bits in (None, 4):
        return f"int4{ending}"
    if bits == 8:
        return "int8" if method == "awq" else f"int8{ending}"
    return "unknown"


def _compressed(settings: dict[str, Any]) -> Stored:
    """One scheme for all layers, or several in one repository."""
    groups = settings.get("config_groups")
    whole = str(settings.get("format") or "")
    schemes: list[tuple[str, int | None]] = []
    for group in groups.values() if isinstance(groups, dict) else ():
        weights = group.get("weights") if isinstance(group, dict) else None
        if isinstance(weights, dict):
            schemes.append(_scheme(str(group.get("format") or whole), weights))
    precisions = {precision for precision, _block in schemes}
    precision = precisions.pop() if len(precisions) == 1 else "mixed" if precisions else _by_format(whole)
    least = (
        _AMPERE if precision == "mxfp4" or (precision == "mixed" and "mxfp4" in {p for p, _b in schemes}) else _TURING
    )
    return Stored(precision, "compressed-tensors", least, next((block for _p, block in schemes if block), None))


def _by_format(form: str) -> str:
    known = {
        "pack-quantized": "int4",
        "int-quantized": "int8",
        "float-quantized": "fp8",
        "naive-quantized": "unknown",
        "nvfp4-pack-quantized": "nvfp4",
        "mxfp4-pack-quantized": "mxfp4",
    }
    return known.get(form, "unknown")


def _scheme(form: str, weights: dict[str, Any]) -> tuple[str, int | None]:
    """The precision of one group of layers, and the side of the squares that share a scale."""
    bits, kind = number(weights, "num_bits"), str(weights.get("type") or "int")
    side = _side(weights.get("block_structure"))
    if kind == "float":
        if bits == 8:
            return "fp8", side
        small = "mxfp4" if "mxfp4" in form or number(weights, "group_size") == 32 else "nvfp4"
        return (small if bits == 4 else "unknown"), None
    return {4: "int4", 8: "int8"}.get(bits or 0, "unknown"), None
