# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Over how many GPUs a model can be spread: which of its parts tensor parallel cuts, and where it may not."""

from __future__ import annotations

from .catalogue import Model, Variant


def largest_tensor_parallel(gpus: int, heads: int | None) -> int:
    """The most GPUs one model can be spread over: a power of two that divides the attention heads."""
    size = 1
    while size * 2 <= gpus and (heads is None or heads % (size * 2) == 0):
        size *= 2
    return size


def spread_of(gpus: int, model: Model, variant: Variant) -> int:
    """The most GPUs that this variant can be spread over."""
    size = largest_tensor_parallel(gpus, model.heads)
    while size > 1 and _parts_problem(size, model, variant):
        size //= 2
    return size


def tensor_parallel_problem(
    tensor_parallel: int, gpus: int, model: Model, variant: Variant | None = None
) -> str | None:
    """Why the model cannot be spread like this; None when it can. Without a variant, only what holds for all."""
    if tensor_parallel < 1:
        return f"Tensor parallel of {tensor_parallel} is less than one GPU."
    if tensor_parallel > gpus:
        return f"Tensor parallel of {tensor_parallel} needs {tensor_parallel} GPUs, and the plan has {gpus}."
    if model.heads is not None and model.heads % tensor_parallel:
        return f"Tensor parallel of {tensor_parallel} does not divide the {model.heads} attention heads of {model.id}."
    if tensor_parallel & (tensor_parallel - 1):
        return f"Tensor parallel of {tensor_parallel} is not a power of two, which the engine's kernels ask for."
    return _parts_problem(tensor_parallel, model, variant)


def _parts_problem(size: int, model: Model, variant: Variant | None) -> str | None:
    """The parts beside the heads: KV heads are cut or copied evenly, states are cut, and scaled squares stay whole."""
    for group in model.attention or ():
        heads = group.kv_heads if group.kind in ("full", "sliding") else 0
        if heads and heads % size and size % heads:
            return f"Tensor parallel of {size} neither divides nor multiplies the {heads} KV heads of {model.id}."
        if group.state_heads and group.state_heads % size:
            return (
                f"Tensor parallel of {size} does not divide the {group.state_heads} heads of the states of {model.id}."
            )
    if variant is None or variant.block is None or size == 1:
        return None
    # The engine refuses to start ("not divisible by weight quantization block_n"), up to 0.32 at least. 0.33 cuts the
    # squares of experts finer for its Triton kernels; nobody here has seen that run, so it is not relied on.
    widths = [("dense layers", width) for width in model.dense_widths]
    if model.expert_width is not None and not (model.flags | variant.flags).get("enable-expert-parallel"):
        widths.append(("experts", model.expert_width))
    for name, width in widths:
        if width % (size * variant.block):
            return (
                f"Tensor parallel of {size} cuts the {name} of {variant.id}, which are {width} wide, to {width / size:g}, and its "
                f"weights share scales in blocks of {variant.block}, which have to stay whole."
            )
    return None
