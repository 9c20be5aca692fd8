# SPDX-License-Identifier: GPL-3.0-or-later
"""What a config.json says of a model's shape. The figures of each row are those of the public repository named beside it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.catalogue import Layers
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.geometry import (
    attention_of,
    context_of,
    engine_context_of,
    text_of,
    widths_of,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.hub_model import model_from_hub
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.memory_fit import (
    GIB,
    standing_bytes,
    token_bytes,
)


def shape(
    layers: int, heads: int, kv_heads: int | None = None, head_dim: int | None = 128, **more: Any
) -> dict[str, Any]:
    found: dict[str, Any] = {"num_hidden_layers": layers, "num_attention_heads": heads, "hidden_size": 4096, **more}
    if kv_heads:
        found["num_key_value_heads"] = kv_heads
    if head_dim:
        found["head_dim"] = head_dim
    return found


def full(layers: int, kv_heads: int, head_dim: int) -> Layers:
    return Layers("full", layers, kv_heads=kv_heads, head_dim=head_dim)


def slides(layers: int, kv_heads: int, head_dim: int, window: int) -> Layers:
    return Layers("sliding", layers, kv_heads=kv_heads, head_dim=head_dim, window=window)


def state(layers: int, heads: int, size: int) -> Layers:
    return Layers("state", layers, state_heads=heads, state_size=size)


GEMMA_3 = shape(62, 32, 16, model_type="gemma3_text", sliding_window=1024, sliding_window_pattern=6)
STEP = shape(
    45, 64, None, 128, num_attention_groups=8, sliding_window=512, layer_types=(["full_attention"] + ["sliding_attention"] * 3) * 12
)  # fmt: skip
KIMI = {
    **shape(27, 32, None, None, kv_lora_rank=512, qk_rope_head_dim=64),
    "linear_attn_config": {
        "kda_layers": [layer for layer in range(1, 28) if layer % 4 and layer != 27],
        "full_attn_layers": [4, 8, 12, 16, 20, 24, 27],
        "num_heads": 32,
        "head_dim": 128,
        "short_conv_kernel_size": 4,
    },
}
GRANITE = shape(
    40, 32, 8, 128, layer_types=(["mamba"] * 9 + ["attention"]) * 4, mamba_n_heads=128, mamba_d_head=64, mamba_d_state=128
)  # fmt: skip
LAYERS = [
    # -- windows ---------------------------------------------------------------------------------------------------
    # huggingface.co/google/gemma-3-27b-it: every sixth layer is a full one
    (GEMMA_3, [full(10, 16, 128), slides(52, 16, 128, 1024)]),
    # The same as newer files write it.
    ({**GEMMA_3, "sliding_window_pattern": None, "_sliding_window_pattern": 6}, [full(10, 16, 128), slides(52, 16, 128, 1024)]),
    # huggingface.co/google/gemma-3-4b-it, which leaves out what Transformers has for granted
    (
        text_of({"text_config": {"model_type": "gemma3_text", "num_hidden_layers": 34, "hidden_size": 2560, "sliding_window": 1024}}),
        [full(5, 4, 256), slides(29, 4, 256, 1024)],
    ),
    # huggingface.co/CohereLabs/c4ai-command-a-03-2025
    (shape(64, 96, 8, sliding_window=4096, sliding_window_pattern=4), [full(16, 8, 128), slides(48, 8, 128, 4096)]),
    # huggingface.co/LGAI-EXAONE/EXAONE-4.0-32B: L is local, G is global
    (shape(64, 40, 8, sliding_window=4096, sliding_window_pattern="LLLG"), [full(16, 8, 128), slides(48, 8, 128, 4096)]),
    # huggingface.co/google/gemma-2-27b-it: every other one, which only the engine's code says
    (shape(46, 32, 16, model_type="gemma2", sliding_window=4096), [full(23, 16, 128), slides(23, 16, 128, 4096)]),
    # huggingface.co/arcee-ai/Trinity-Mini
    (shape(32, 32, 4, sliding_window=2048, global_attn_every_n_layers=4), [full(8, 4, 128), slides(24, 4, 128, 2048)]),
    # huggingface.co/XiaomiMiMo/MiMo-V2-Flash: values narrower than keys, and other KV heads where it slides
    (
        shape(48, 64, 4, 192, v_head_dim=128, hybrid_layer_pattern=([0] + [1] * 5) * 8, sliding_window_size=128, swa_num_key_value_heads=8, swa_head_dim=192),
        [full(8, 4, 160), slides(40, 8, 192, 128)],
    ),
    # huggingface.co/google/gemma-4-31B-it
    (
        shape(60, 32, 16, 256, sliding_window=1024, global_head_dim=512, num_global_key_value_heads=4, layer_types=(["sliding_attention"] * 5 + ["full_attention"]) * 10),
        [full(10, 4, 512), slides(50, 16, 256, 1024)],
    ),
    # huggingface.co/google/gemma-3n-E4B-it: the last layers read what others keep
    (
        shape(10, 8, 2, 256, sliding_window=512, num_kv_shared_layers=5, layer_types=(["sliding_attention"] * 4 + ["full_attention"]) * 2),
        [full(1, 2, 256), slides(4, 2, 256, 512)],
    ),
    # A window that nothing says the pattern of: all layers as full ones, which is the safe side.
    (shape(32, 32, 8, sliding_window=4096), [full(32, 8, 128)]),
    # -- KV heads --------------------------------------------------------------------------------------------------
    # huggingface.co/stepfun-ai/Step-3.5-Flash, whose list goes on with the layers that draft
    (STEP, [full(12, 8, 128), slides(33, 8, 128, 512)]),
    (
        {**STEP, "attention_other_setting": {"attention_type": "sliding_attention", "num_attention_groups": 4, "head_dim": 64}},
        [full(12, 8, 128), slides(33, 4, 64, 512)],
    ),
    # huggingface.co/zai-org/chatglm3-6b
    (shape(28, 32, None, None, multi_query_group_num=2), [full(28, 2, 128)]),
    # huggingface.co/tiiuae/falcon-7b and falcon-40b
    (shape(32, 71, None, 64, multi_query=True), [full(32, 1, 64)]),
    (shape(60, 128, None, 64, n_head_kv=8, num_kv_heads=8, multi_query=True, new_decoder_architecture=True), [full(60, 8, 64)]),
    # huggingface.co/facebook/opt-6.7b: as many as there are heads
    (shape(32, 32, None, None), [full(32, 32, 128)]),
    # -- latent attention ------------------------------------------------------------------------------------------
    # huggingface.co/zai-org/GLM-4.7-Flash
    (shape(47, 20, 20, None, kv_lora_rank=512, qk_rope_head_dim=64), [Layers("latent", 47, latent_dim=576)]),
    # huggingface.co/moonshotai/Kimi-K2-Thinking
    (shape(61, 64, 64, None, kv_lora_rank=512, qk_rope_head_dim=64), [Layers("latent", 61, latent_dim=576)]),
    # huggingface.co/zai-org/GLM-5.1, with a sparse index beside it
    (
        shape(78, 64, 64, None, kv_lora_rank=512, qk_rope_head_dim=64, index_topk=2048, index_head_dim=128),
        [Layers("latent", 78, latent_dim=788)],
    ),
    # huggingface.co/moonshotai/Kimi-Linear-48B-A3B-Instruct
    (KIMI, [Layers("latent", 7, latent_dim=576), state(20, 32, 16384)]),
    ({**KIMI, "linear_attn_config": {**KIMI["linear_attn_config"], "full_attn_layers": None}}, [Layers("latent", 7, latent_dim=576), state(20, 32, 16384)]),
    # huggingface.co/bigcode/starcoder, with the older names
    ({"n_layer": 40, "n_head": 48, "n_embd": 6144, "multi_query": True}, [full(40, 1, 128)]),
    # -- states ----------------------------------------------------------------------------------------------------
    # huggingface.co/ibm-granite/granite-4.0-h-small
    (GRANITE, [full(4, 8, 128), state(36, 128, 8192)]),
    # The same where the width of a head is left to whoever reads it.
    ({**GRANITE, "mamba_d_head": "auto", "mamba_expand": 2, "hidden_size": 4096}, [full(4, 8, 128), state(36, 128, 8192)]),
    # huggingface.co/Qwen/Qwen3-Next-80B-A3B-Instruct
    (
        shape(48, 16, 2, 256, full_attention_interval=4, linear_num_value_heads=32, linear_key_head_dim=128, linear_value_head_dim=128),
        [full(12, 2, 256), state(36, 32, 16384)],
    ),
    # huggingface.co/nvidia/NVIDIA-Nemotron-Nano-9B-v2, and as newer files list it
    (
        shape(56, 40, 8, hybrid_override_pattern="M-" * 26 + "*-" * 2, mamba_num_heads=128, mamba_head_dim=80, ssm_state_size=128),
        [full(2, 8, 128), state(26, 128, 10240)],
    ),
    (
        shape(6, 40, 8, layers_block_type=["mamba", "moe", "mamba", "attention", "moe", "mlp"], mamba_num_heads=128, mamba_head_dim=80, ssm_state_size=128),
        [full(1, 8, 128), state(2, 128, 10240)],
    ),
    # huggingface.co/tiiuae/Falcon-H1-34B-Instruct: every layer is both
    (
        shape(72, 20, 4, model_type="falcon_h1", mamba_n_heads=32, mamba_d_head=128, mamba_d_state=256),
        [full(72, 4, 128), state(72, 32, 32768)],
    ),
    # huggingface.co/ai21labs/AI21-Jamba-Mini-1.7: the first Mamba
    (
        shape(32, 32, 8, attn_layer_period=8, attn_layer_offset=4, mamba_expand=2, mamba_d_state=16),
        [full(4, 8, 128), state(28, 8192, 16)],
    ),
    # huggingface.co/LiquidAI/LFM2-8B-A1B
    (
        shape(4, 32, 8, 64, layer_types=["conv", "conv", "full_attention", "conv"], conv_L_cache=3),
        [full(1, 8, 64), state(3, 4096, 3)],
    ),
    # -- chunks ----------------------------------------------------------------------------------------------------
    # huggingface.co/meta-llama/Llama-4-Scout-17B-16E-Instruct: the engine keeps all of it unless it is told otherwise
    (shape(48, 40, 8, attention_chunk_size=8192, no_rope_layers=[1, 1, 1, 0] * 12), [full(48, 8, 128)]),
    (shape(8, 40, 8, layer_types=["chunked_attention"] * 6 + ["full_attention"] * 2), [full(8, 8, 128)]),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "groups"), LAYERS)
def test_what_the_layers_remember(settings: dict[str, Any], groups: list[Layers]) -> None:
    found = attention_of(settings)
    assert found is not None
    assert sorted(found, key=lambda group: group.kind) == sorted(groups, key=lambda group: group.kind)


@pytest.mark.parametrize(
    "settings",
    [
        shape(32, 32, None, 128, num_key_value_heads=[8, 4] * 16),  # huggingface.co/apple/OpenELM-3B-Instruct
        shape(32, 32, 8, layer_types=["lightning"] * 32),
        shape(32, 32, 8, layer_types=["sliding_attention"] * 32),  # and no window
        shape(32, 32, 8, layer_types=["mamba"] * 32),  # and no state
        shape(43, 64, 1, 512, compress_ratios=[0, 4, 128]),  # huggingface.co/deepseek-ai/DeepSeek-V4-Flash
        shape(32, 32, 8, rwkv_head_size=64),
        {**KIMI, "num_hidden_layers": 30},
        {**KIMI, "linear_attn_config": {"kda_layers": "many"}},
        shape(32, 32, 8, index_topk=2048),
        shape(32, 64, None, None, hidden_size=16),
    ],
)
def test_what_is_not_understood_is_unknown(settings: dict[str, Any]) -> None:
    assert attention_of(settings) is None


def test_what_a_token_and_a_window_take() -> None:
    gemma, step = attention_of(GEMMA_3), attention_of(STEP)
    assert gemma is not None and step is not None
    assert token_bytes(gemma, 1, 2) == 81920 and standing_bytes(gemma, 1, 2) / GIB == pytest.approx(2.03, abs=0.01)
    assert token_bytes(step, 1, 2) == 49152


def rope(
    kind: str, factor: Any, original: Any = None, name: str = "rope_scaling", key: str = "rope_type"
) -> dict[str, Any]:
    settings = {key: kind, "factor": factor}
    return {name: {**settings, "original_max_position_embeddings": original} if original else settings}


@pytest.mark.parametrize(
    ("settings", "tokens", "engines"),
    [
        ({"max_position_embeddings": 40960}, 40960, 40960),
        # YaRN: huggingface.co/Qwen/Qwen3-8B with its card's recipe, and Qwen2.5 as older files write it
        ({"max_position_embeddings": 40960, **rope("yarn", 4.0, 32768)}, 131072, 40960),
        ({"max_position_embeddings": 32768, **rope("yarn", 4.0, 32768, key="type")}, 131072, 32768),
        # Already in: huggingface.co/openai/gpt-oss-20b, huggingface.co/deepseek-ai/DeepSeek-V3
        ({"max_position_embeddings": 131072, **rope("yarn", 32.0, 4096)}, 131072, 131072),
        ({"max_position_embeddings": 163840, **rope("deepseek_yarn", 40, 4096)}, 163840, 163840),
        # As newer files write it, and one that does not say what it was before.
        ({"max_position_embeddings": 40960, **rope("yarn", 2.0, 32768, "rope_parameters")}, 65536, 40960),
        ({"max_position_embeddings": 40960, **rope("yarn", 4.0)}, 40960, 40960),
        # The others: huggingface.co/meta-llama/Llama-3.3-70B-Instruct, huggingface.co/microsoft/Phi-4-mini-instruct
        ({"max_position_embeddings": 131072, **rope("llama3", 8.0, 8192)}, 131072, 131072),
        ({"max_position_embeddings": 131072, **rope("longrope", 32.0)}, 131072, 131072),
        ({"max_position_embeddings": 4096, **rope("linear", 4.0)}, 16384, 16384),
        ({"max_position_embeddings": 4096, **rope("dynamic", 2.0)}, 8192, 8192),
        # huggingface.co/google/gemma-3-27b-it has its factor in already
        ({"model_type": "gemma3_text", "max_position_embeddings": 131072, **rope("linear", 8.0)}, 131072, 131072),
        # One for every kind of layer.
        (
            {"max_position_embeddings": 65536, "rope_parameters": {"full_attention": {"rope_type": "yarn", "factor": 16.0, "original_max_position_embeddings": 8192}, "sliding_attention": {"rope_type": "default"}}},
            131072,
            65536,
        ),
        # Other names, of which the smallest counts.
        ({"n_positions": 2048}, 2048, 2048),
        ({"max_position_embeddings": 8192, "model_max_length": 4096}, 4096, 4096),
        # Nonsense is no factor.
        ({"max_position_embeddings": 4096, **rope("linear", "four")}, 4096, 4096),
        ({"max_position_embeddings": 4096, **rope("yarn", -4, 32768)}, 4096, 4096),
        ({"max_position_embeddings": 4096, **rope("linear", 1e300)}, 4096, 4096),
        ({"rope_scaling": "yarn"}, None, None),
        ({}, None, None),
    ],
)  # fmt: skip
def test_how_long_it_reads(settings: dict[str, Any], tokens: int | None, engines: int | None) -> None:
    assert (context_of(settings), engine_context_of(settings)) == (tokens, engines)


@pytest.mark.parametrize("inside", [False, True])
def test_the_engine_is_told_of_a_context_that_it_does_not_see(inside: bool) -> None:
    text = {
        **shape(36, 32, 8),
        "max_position_embeddings": 40960,
        **rope("yarn", 4.0, 32768),
        "architectures": ["Qwen3ForCausalLM"],
    }
    about = {"id": "a/b", "siblings": [{"rfilename": "model.safetensors", "size": 10**9}]}
    whole = {"architectures": ["Qwen3VLForConditionalGeneration"], "text_config": text} if inside else text
    model = model_from_hub("a/b", about, whole)
    limit = '{"max_position_embeddings": 131072}'
    assert model.max_context == 131072
    assert model.variants[0].flags == {"hf-overrides": f'{{"text_config": {limit}}}' if inside else limit}
    assert model_from_hub("a/b", about, {**text, "max_position_embeddings": 131072}).variants[0].flags == {}


@pytest.mark.parametrize(
    ("settings", "widths"),
    [
        ({"intermediate_size": 17408}, (None, (17408,))),
        # huggingface.co/Qwen/Qwen3-30B-A3B: all layers are mixtures
        ({"num_experts": 128, "moe_intermediate_size": 768, "intermediate_size": 6144}, (768, ())),
        # huggingface.co/Qwen/Qwen3-Next-80B-A3B-Instruct: an expert that every token goes through
        ({"num_experts": 512, "moe_intermediate_size": 512, "shared_expert_intermediate_size": 512}, (512, (512,))),
        # huggingface.co/zai-org/GLM-4.5-Air: the first layers are dense
        (
            {"n_routed_experts": 128, "moe_intermediate_size": 1408, "intermediate_size": 10944, "n_shared_experts": 1, "first_k_dense_replace": 1},
            (1408, (10944, 1408)),
        ),
        # huggingface.co/mistralai/Mixtral-8x7B-Instruct-v0.1
        ({"num_local_experts": 8, "intermediate_size": 14336}, (14336, ())),
        ({}, (None, ())),
    ],
)  # fmt: skip
def test_how_wide_it_is_inside(settings: dict[str, Any], widths: tuple[int | None, tuple[int, ...]]) -> None:
    assert widths_of(settings) == widths
