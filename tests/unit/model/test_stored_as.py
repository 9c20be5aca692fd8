# SPDX-License-Identifier: GPL-3.0-or-later
"""What a config.json says of how the weights are stored, and which card that needs."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.linode.gpu_plans import known_plan
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.catalogue import PRECISIONS, Selection
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.choice import best_on_plan
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.hub_model import model_from_hub
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.stored_as import Stored, stored_as


def by(method: str, **more: Any) -> dict[str, Any]:
    return {"quantization_config": {"quant_method": method, **more}}


def group(kind: str, bits: int, form: str = "", **more: Any) -> dict[str, Any]:
    return {"targets": ["Linear"], "format": form, "weights": {"type": kind, "num_bits": bits, **more}}


def compressed(form: str, *groups: dict[str, Any]) -> dict[str, Any]:
    return by(
        "compressed-tensors", format=form, config_groups={f"group_{index}": one for index, one in enumerate(groups)}
    )


CASES = [
    ({"torch_dtype": "bfloat16"}, Stored("bf16", "")),
    ({"dtype": "float16"}, Stored("fp16", "")),
    ({"text_config": {"dtype": "torch.bfloat16"}}, Stored("bf16", "")),
    ({"torch_dtype": "float32"}, Stored("bf16", "", half=True)),
    ({}, Stored("unknown", "")),
    ({"model_type": "gemma3", "torch_dtype": "bfloat16"}, Stored("bf16", "", "8.0")),
    # GPTQ by its bits: huggingface.co/Qwen/Qwen2.5-72B-Instruct-GPTQ-Int8, huggingface.co/Qwen/Qwen3-30B-A3B-GPTQ-Int4
    (by("gptq", bits=8, group_size=128), Stored("int8-gptq", "gptq")),
    (by("gptq", bits=4), Stored("int4-gptq", "gptq")),
    (by("gptq"), Stored("int4-gptq", "gptq")),
    # huggingface.co/kaitchup/Qwen2.5-72B-Instruct-AutoRoundGPTQ-2bit
    (by("gptq", bits=2), Stored("unknown", "gptq")),
    (by("gptq_marlin", bits=8), Stored("int8-gptq", "gptq")),
    # huggingface.co/cpatonn/Qwen3-Coder-30B-A3B-Instruct-AWQ
    (by("awq", bits=4), Stored("int4-awq", "awq")),
    (by("awq", w_bit=8), Stored("int8", "awq")),
    # huggingface.co/Intel/Qwen3-Coder-30B-A3B-Instruct-int4-AutoRound, github.com/intel/auto-round/issues/586
    (by("intel/auto-round", bits=4), Stored("int4-autoround", "auto-round")),
    (by("auto-round", bits=8), Stored("int8-autoround", "auto-round")),
    # compressed-tensors: huggingface.co/RedHatAI/Qwen3-32B-quantized.w4a16, its w8a8, its w8a16, and FP8 in both forms
    (compressed("pack-quantized", group("int", 4)), Stored("int4", "compressed-tensors")),
    (compressed("pack-quantized", group("int", 8)), Stored("int8", "compressed-tensors")),
    (compressed("int-quantized", group("int", 8)), Stored("int8", "compressed-tensors")),
    (compressed("float-quantized", group("float", 8)), Stored("fp8", "compressed-tensors")),
    (
        compressed("float-quantized", group("float", 8, strategy="block", block_structure=[128, 128])),
        Stored("fp8", "compressed-tensors", block=128),
    ),
    (compressed("nvfp4-pack-quantized", group("float", 4, group_size=16)), Stored("nvfp4", "compressed-tensors")),
    # huggingface.co/RedHatAI/Qwen3.8-27B-MXFP4
    (
        compressed("mxfp4-pack-quantized", group("float", 4, group_size=32)),
        Stored("mxfp4", "compressed-tensors", "8.0"),
    ),
    # Several in one: huggingface.co/unsloth/Qwen3.8-27B-NVFP4, github.com/vllm-project/recipes/pull/810
    (
        compressed(
            "mixed-precision",
            group("float", 4, "nvfp4-pack-quantized", group_size=16),
            group("float", 8, "float-quantized"),
        ),
        Stored("mixed", "compressed-tensors"),
    ),
    (compressed("mixed-precision", group("int", 4), group("int", 8)), Stored("mixed", "compressed-tensors")),
    (
        compressed("mixed-precision", group("float", 4, "mxfp4-pack-quantized"), group("float", 8)),
        Stored("mixed", "compressed-tensors", "8.0"),
    ),
    # Two groups of one scheme are one.
    (compressed("pack-quantized", group("int", 4), group("int", 4)), Stored("int4", "compressed-tensors")),
    (
        {"compression_config": {"quant_method": "compressed-tensors", "format": "pack-quantized"}},
        Stored("int4", "compressed-tensors"),
    ),
    ({"text_config": by("compressed_tensors", format="float-quantized")}, Stored("fp8", "compressed-tensors")),
    # FP8 with a scale for every square of 128: huggingface.co/Qwen/Qwen3-Coder-30B-A3B-Instruct-FP8
    (by("fp8", weight_block_size=[128, 128]), Stored("fp8", "fp8", block=128)),
    (by("fp8"), Stored("fp8", "fp8")),
    (by("fp8", weight_block_size="128"), Stored("fp8", "fp8")),
    (by("fbgemm_fp8"), Stored("fp8", "fbgemm_fp8", "8.0")),
    # NVIDIA's: huggingface.co/nvidia/Llama-3.3-70B-Instruct-FP8 and -NVFP4, and a mixture of both
    (by("modelopt", quant_algo="FP8"), Stored("fp8", "modelopt", "8.0")),
    (by("modelopt", quant_algo="NVFP4"), Stored("nvfp4", "modelopt")),
    (by("modelopt_fp4"), Stored("nvfp4", "modelopt_fp4")),
    (by("modelopt", quant_algo="MIXED_PRECISION"), Stored("mixed", "modelopt", "8.0")),
    (
        {"quantization_config": {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4"}}},
        Stored("nvfp4", "modelopt"),
    ),
    # huggingface.co/openai/gpt-oss-20b
    (by("mxfp4"), Stored("mxfp4", "mxfp4", "8.0")),
    (by("torchao"), Stored("unknown", "torchao")),
    (by("quark"), Stored("unknown", "quark")),
    ({"model_type": "gemma3", **by("awq", bits=4)}, Stored("int4-awq", "awq", "8.0")),
]


@pytest.mark.parametrize(("settings", "stored"), CASES)
def test_how_the_weights_are_stored(settings: dict[str, Any], stored: Stored) -> None:
    assert stored_as(settings) == stored
    assert stored.precision in PRECISIONS


def of_repository(size: int, **settings: Any) -> Any:
    about = {"id": "a/b", "siblings": [{"rfilename": "model.safetensors", "size": size}]}
    shape = {
        "architectures": ["Qwen3ForCausalLM"],
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 32768,
        **settings,
    }
    return model_from_hub("a/b", about, shape)


def test_numbers_of_32_bits_are_halved_by_the_engine() -> None:
    model = of_repository(24 * 10**9, torch_dtype="float32")
    (variant,) = model.variants
    assert (variant.disk_gb, variant.loaded_gb, model.parameters_b) == (24.0, 12.0, 6.0)
    plan = known_plan("g2-gpu-rtx4000a1-m")
    assert plan is not None
    engine = best_on_plan(Selection(model, variant), plan)
    assert (
        engine.problem is None and engine.fit is not None and engine.fit.weights_gib == pytest.approx(11.18, abs=0.01)
    )


@pytest.mark.parametrize(
    ("settings", "plan_id", "problem"),
    [
        (by("modelopt", quant_algo="FP8"), "g1-gpu-rtx6000-1", "compute capability 8.0"),
        (by("mxfp4"), "g1-gpu-rtx6000-1", "compute capability 8.0"),
        (by("fp8", weight_block_size=[128, 128]), "g1-gpu-rtx6000-1", None),
        (by("modelopt", quant_algo="NVFP4"), "g1-gpu-rtx6000-1", None),
        (by("modelopt", quant_algo="FP8"), "g2-gpu-rtx4000a1-m", None),
    ],
)
def test_a_card_that_is_too_old_is_said_before_it_is_paid_for(
    settings: dict[str, Any], plan_id: str, problem: str | None
) -> None:
    model, plan = of_repository(8 * 10**9, **settings), known_plan(plan_id)
    assert plan is not None
    found = best_on_plan(Selection(model, model.variants[0]), plan).problem
    assert (problem or "") in str(found) and (found is None) == (problem is None)
