# SPDX-License-Identifier: GPL-3.0-or-later
"""What the stand-in of the engine fails with is what the diagnosis knows: one cause for each of its failures."""

from __future__ import annotations

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.diagnosis import diagnose
from engine_ends import api, core

from linode_coder.sandbox.guest.engine.failures import FAILURES

# Where the two have other names for one thing.
NAMES = {
    "auto_context_impossible": "no_cache_memory",
    "bad_flag": "unknown_flag",
    "bad_quantization": "quantization_unknown",
    "bf16_unsupported": "dtype_unsupported",
    "fp8_kv_unsupported": "kv_cache_dtype",
    "gated": "gated_model",
    "gpu_busy": "gpu_not_free",
    "hub_unreachable": "network",
    "jit_failed": "jit_compile",
    "max_num_seqs_over_mamba_blocks": "too_many_sequences",
    "no_attention_backend": "attention_backend",
    "no_gpu": "container_sees_no_gpu",
    "no_kernel_image": "unsupported_ptx",
    "no_kv_room": "no_cache_memory",
    "oom_capture": "oom_profiling",
    "oom_load": "oom_profiling",
    "oom_profile": "oom_profiling",
    "profiling_race": "memory_profiling",
    "quantization_dtype": "dtype_unsupported",
    "quantization_needs_newer_gpu": "quantization_unsupported",
    "repo_not_found": "model_not_found",
    "shm_full": "shared_memory",
    "too_many_files": "too_many_open_files",
    "unknown": "unknown_error",
    "unknown_model_type": "unknown_architecture",
    "weights_missing": "model_not_cached",
    "weights_truncated": "corrupt_weights",
}


@pytest.mark.parametrize("name", sorted(FAILURES))
def test_every_failure_of_the_standin_has_its_cause(name: str) -> None:
    text = (
        FAILURES[name].text.replace("{", "").replace("}", "").replace("needed:.2f", "9.00").replace("room:.2f", "2.00")
    )
    for number in ("total:.2f", "used:.2f", "wanted:.2f"):
        text = text.replace(number, "19.50")
    for number in ("tp", "cc", "context", "longest"):
        text = text.replace(f"({number})", "(3)").replace(f" {number}.", " 3.")
    form = api if FAILURES[name].stage == "config" else core
    assert diagnose(form(text))[0].slug == NAMES.get(name, name)
