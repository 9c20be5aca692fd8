# SPDX-License-Identifier: GPL-3.0-or-later
"""Over how many GPUs a model is spread, and which cards its kernels run on."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.linode.gpu_plans import card_of, known_plan
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.card_needs import (
    capability_problem,
    needed_capability,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.catalogue import (
    Layers,
    Model,
    Variant,
    find,
    packaged,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.choice import best_on_plan
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.request import make_request, unlisted
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.sharding import spread_of, tensor_parallel_problem

FP8 = Variant("o/m-FP8", "fp8", 30.0, block=128)
PLAIN = Variant("o/m", "bf16", 60.0)
MIXTURE = Model("m", "m", "o/m", "f", "l", False, 30.0, 3.0, None, (FP8, PLAIN), heads=32, expert_width=768)


@pytest.mark.parametrize(
    ("width", "spread"),
    [
        # github.com/vllm-project/vllm/issues/25292: Qwen3-30B-A3B
        (768, 2),
        # github.com/vllm-project/vllm/pull/48173: MiniMax M2.7 is cut in four, not in eight
        (1536, 4),
        # github.com/vllm-project/vllm/issues/17569: Qwen3-235B-A22B
        (1536, 4),
        # github.com/vllm-project/vllm/issues/54178: Qwen3.8-Flash-Next
        (320, 1),
        (512, 4),
        (1024, 8),
    ],
)
def test_experts_are_cut_in_whole_blocks(width: int, spread: int) -> None:
    model = replace(MIXTURE, expert_width=width)
    assert spread_of(8, model, FP8) == spread
    assert spread_of(8, model, PLAIN) == 8
    # Whole experts go to every GPU then.
    assert spread_of(8, replace(model, flags={"enable-expert-parallel": True}), FP8) == 8
    assert spread_of(8, model, replace(FP8, flags={"enable-expert-parallel": True})) == 8


def test_so_are_dense_layers() -> None:
    dense = replace(MIXTURE, expert_width=None, dense_widths=(17408, 384))
    assert spread_of(8, dense, FP8) == 1 and spread_of(8, replace(dense, dense_widths=(17408,)), FP8) == 8
    problem = str(tensor_parallel_problem(2, 2, dense, FP8))
    assert "cuts the dense layers of o/m-FP8, which are 384 wide, to 192" in problem and "blocks of 128" in problem


@pytest.mark.parametrize(
    ("group", "spread"),
    [
        # huggingface.co/microsoft/phi-4: 40 heads, 10 KV heads
        (Layers("full", 40, kv_heads=10, head_dim=128), 2),
        (Layers("sliding", 40, kv_heads=6, head_dim=128, window=512), 2),
        (Layers("full", 40, kv_heads=2, head_dim=128), 8),
        (Layers("latent", 40, latent_dim=576), 8),
        (Layers("state", 40, state_heads=12, state_size=8192), 4),
    ],
)
def test_kv_heads_and_states_are_cut_evenly(group: Layers, spread: int) -> None:
    assert spread_of(8, replace(MIXTURE, heads=40, attention=(group,)), PLAIN) == spread


def test_the_case_of_four_small_cards() -> None:
    selection, plan = find(packaged(), "Qwen/Qwen3-Coder-30B-A3B-Instruct-FP8"), known_plan("g2-gpu-rtx4000a4-s")
    assert selection is not None and plan is not None
    engine = best_on_plan(selection, plan)
    assert (engine.tensor_parallel, engine.problem) == (2, None)
    assert any("768 wide, to 192" in note for note in engine.notes)
    assert "768 wide" in str(best_on_plan(selection, plan, tensor_parallel=4).problem)
    # Asked for by number, it is refused with the request, before any plan.
    with pytest.raises(Failure) as caught:
        make_request(unlisted, "Qwen/Qwen3-Coder-30B-A3B-Instruct-FP8", tensor_parallel=4)
    assert (caught.value.kind, caught.value.field) == ("usage", "tensor_parallel") and "768 wide" in str(caught.value)
    make_request(unlisted, "Qwen/Qwen3-Coder-30B-A3B-Instruct-FP8", tensor_parallel=2)


LARGE_HEADS = (
    Layers("full", 10, kv_heads=4, head_dim=512),
    Layers("sliding", 50, kv_heads=16, head_dim=256, window=1024),
)


@pytest.mark.parametrize(
    ("attention", "variant", "least", "what"),
    [
        (None, PLAIN, "7.5", "o/m (bf16)"),
        (LARGE_HEADS, PLAIN, "8.0", "heads of 512"),
        (LARGE_HEADS[1:], PLAIN, "7.5", "o/m (bf16)"),
        ((Layers("latent", 47, latent_dim=576),), PLAIN, "8.0", "Latent attention"),
        (LARGE_HEADS, replace(PLAIN, min_capability="8.9"), "8.9", "o/m (bf16)"),
        (LARGE_HEADS, replace(PLAIN, min_capability="10.0"), "10.0", "o/m (bf16)"),
    ],
)
def test_the_generation_that_is_needed(
    attention: tuple[Layers, ...] | None, variant: Variant, least: str, what: str
) -> None:
    model = replace(MIXTURE, attention=attention)
    found = needed_capability(model, variant)
    assert found[0] == least and what in found[1]
    turing, ada = card_of("g1-gpu-rtx6000-1"), card_of("g2-gpu-rtx4000a1-m")
    assert turing is not None and ada is not None
    assert (capability_problem(model, variant, turing) is None) == (least == "7.5")
    assert (capability_problem(model, variant, ada) is None) == (least != "10.0")


def test_no_model_with_large_heads_or_latents_is_offered_on_turing() -> None:
    plan = known_plan("g1-gpu-rtx6000-4")
    assert plan is not None
    for name in ("gemma-4-31b", "gemma-4-26b-a4b", "glm-4.7-flash"):
        selection = find(packaged(), name)
        assert selection is not None
        assert "compute capability 8.0" in str(best_on_plan(selection, plan).problem)
