"""What the stand-ins of a host know of models: the catalogue's figures, which names alone do not tell."""

from __future__ import annotations

from functools import cache
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.model.catalogue import packaged
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.memory_fit import GIB, token_bytes

# A token of a 7B model with grouped-query attention at 16 bit: where the catalogue does not know.
_KV_BYTES = 57344


@cache
def listed_models() -> dict[str, dict[str, Any]]:
    """The contents of the guest's /etc/sandbox/models.json: by repository, for one GPU and a 16-bit cache."""
    return {
        variant.id: {
            "weights_gib": round(variant.disk_gb * 1e9 / GIB, 3),
            "kv_bytes": int(token_bytes(model.attention, 1, 2)) if model.attention else _KV_BYTES,
            "context": model.max_context or 32768,
            "images": model.multimodal,
        }
        for model in packaged()
        for variant in model.variants
        if variant.disk_gb is not None
    }
