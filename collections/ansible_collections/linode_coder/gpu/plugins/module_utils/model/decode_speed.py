# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast one stream is expected to be: what a token reads from memory, and what every layer takes on top."""

from __future__ import annotations

from ..linode.gpu_plans import Card
from .catalogue import Model, Variant

# Of the bandwidth on paper, what is reached; and seconds per layer. Fitted to published single-stream figures, which it
# meets within 16 percent.
_BANDWIDTH_SHARE = 0.85
_DENSE_LAYER_S = 15e-6
_MIXTURE_LAYER_S = 45e-6
_EXCHANGE_S = 35e-6  # tensor parallel over PCIe
# A mixture reads its output embedding in 16 bits whatever its experts are stored in.
_MIXTURE_HEAD_GB = 0.8


def decode_tokens_per_second(
    model: Model, variant: Variant, card: Card, tensor_parallel: int, context_bytes: float = 0.0
) -> float | None:
    """Tokens per second of one stream without speculation; ``context_bytes`` is the KV cache it reads for each token.

    None when the model's size or number of layers is unknown.
    """
    whole_gb = variant.loaded_gb or variant.disk_gb
    if not (whole_gb and model.layers and model.parameters_b and model.active_b):
        return None
    read_gb = whole_gb * model.active_b / model.parameters_b
    read_gb += _MIXTURE_HEAD_GB if model.mixture else -min(model.unread_gb, read_gb / 2)
    layer = (_MIXTURE_LAYER_S if model.mixture else _DENSE_LAYER_S) + (_EXCHANGE_S if tensor_parallel > 1 else 0.0)
    bandwidth = _BANDWIDTH_SHARE * card.bandwidth_gbs * 1e9 * tensor_parallel
    return 1.0 / ((read_gb * 1e9 + context_bytes) / bandwidth + model.layers * layer)
