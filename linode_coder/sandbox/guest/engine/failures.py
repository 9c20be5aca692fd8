"""How a start of vLLM fails, by the slug of the cause: where, with which text, and which settings avoid it.

`stage` says where it happens: "config" is the API server's own process before the engine exists, the others are phases
of the engine. `avoided` is true for options with which the real one would start, so that a changed parameter heals.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass

Avoided = Callable[[argparse.Namespace], bool]
STAGES = ("config", "start", "download", "load", "compile", "profile", "kv", "capture")

_HUB = "https://huggingface.co/{model}/resolve/main/config.json"
_OOM = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.16 GiB. GPU 0 has a total capacity of {total:.2f} GiB "
    "of which 47.06 MiB is free. Including non-PyTorch memory, this process has {used:.2f} GiB memory in use. Of the "
    "allocated memory {used:.2f} GiB is allocated by PyTorch, and 112.40 MiB is reserved by PyTorch but unallocated. If "
    "reserved but unallocated memory is large try setting PYTORCH_ALLOC_CONF=expandable_segments:True to avoid "
    "fragmentation.  See documentation for Memory Management"
)


@dataclass(frozen=True)
class StartFailure:
    stage: str
    text: str
    avoided: Avoided | None = None
    code: int = 1


def invalid(config: str, text: str, field: str | None = None, given: object = None) -> str:
    """As pydantic wraps what a configuration class refuses: as a whole, or what it was given for one of its fields."""
    value, kind = "ArgsKwargs((), {'model': ...nderer_num_workers': 1})", "ArgsKwargs"
    if field is not None:
        value, kind = repr(given), type(given).__name__
    return (
        f"pydantic_core._pydantic_core.ValidationError: 1 validation error for {config}\n"
        + ("" if field is None else f"{field}\n")
        + f"  Value error, {text} [type=value_error, input_value={value}, input_type={kind}]\n"
        "    For further information visit https://errors.pydantic.dev/2.14/v/value_error"
    )


def fill(text: str, values: dict[str, object]) -> str:
    """Put values in for their names in braces; other braces stay."""

    def value(match: re.Match[str]) -> str:
        name, form = match.groups()
        return format(values[name], form or "") if name in values else match.group()

    return re.sub(r"\{(\w+)(?::([^}]*))?\}", value, text)


def at_most(name: str, limit: int) -> Avoided:
    return lambda options: (getattr(options, name) or 1 << 30) <= limit


def either(*conditions: Avoided) -> Avoided:
    return lambda options: any(condition(options) for condition in conditions)


def is_one_of(name: str, *values: object) -> Avoided:
    return lambda options: getattr(options, name) in values


# The variables in braces: model, architecture, model_type, tp, gpus, card, cc, total, used, longest, needed, room, context, port.
FAILURES: dict[str, StartFailure] = {
    # -- the Hub
    "gated": StartFailure(
        "config",
        "huggingface_hub.errors.GatedRepoError: 401 Client Error. (Request ID: Root=1-6924c0de;sandbox)\n\nCannot access "
        f"gated repo for url {_HUB}.\nAccess to model {{model}} is restricted. You must have access to it and be "
        "authenticated to access it. Please log in.",
    ),
    "repo_not_found": StartFailure(
        "config",
        "huggingface_hub.errors.RepositoryNotFoundError: 401 Client Error. (Request ID: Root=1-6924c0de;sandbox)\n\n"
        f"Repository Not Found for url: {_HUB}.\nPlease make sure you specified the correct `repo_id` and `repo_type`.\n"
        "If you are trying to access a private or gated repo, make sure you are authenticated.\n"
        "OSError: {model} is not a local folder and is not a valid model identifier listed on 'https://huggingface.co/models'",
    ),
    "rate_limited": StartFailure(
        "config",
        "huggingface_hub.errors.HfHubHTTPError: 429 Client Error: Too Many Requests for url: "
        f"{_HUB} (Request ID: Root=1-6924c0de;sandbox)\n\nYou have exceeded the rate limit. Retry after 287 seconds.",
    ),
    "hub_unreachable": StartFailure(
        "config",
        "requests.exceptions.ConnectionError: (MaxRetryError('HTTPSConnectionPool(host=\\'huggingface.co\\', port=443): "
        "Max retries exceeded with url: /{model}/resolve/main/config.json (Caused by NameResolutionError)'))",
    ),
    "weights_missing": StartFailure(
        "config",
        "huggingface_hub.errors.LocalEntryNotFoundError: Cannot find an appropriate cached snapshot folder for the "
        "specified revision on the local disk and outgoing traffic has been disabled. To enable repo look-ups and "
        "downloads online, pass 'local_files_only=False' as input.",
    ),
    "disk_full": StartFailure("load", "OSError: [Errno 28] No space left on device"),
    # -- the configuration
    "unknown_architecture": StartFailure(
        "config",
        invalid(
            "ModelConfig",
            "Model architectures ['{architecture}'] are not supported for now. Supported architectures: "
            "dict_keys(['GptOssForCausalLM', 'Qwen2ForCausalLM', 'Qwen3ForCausalLM', 'Qwen3MoeForCausalLM'])",
        ),
    ),
    "unknown_model_type": StartFailure(
        "config",
        invalid(
            "ModelConfig",
            "The checkpoint you are trying to load has model type `{model_type}` but Transformers does not recognize this "
            "architecture. This could be because of an issue with the checkpoint, or because your version of "
            "Transformers is out of date.",
        ),
    ),
    "remote_code": StartFailure(
        "config",
        "RuntimeError: Failed to load the model config. If the model is a custom model not yet available in the "
        "HuggingFace transformers library, consider setting `trust_remote_code=True` in LLM or using the "
        "`--trust-remote-code` flag in the CLI.",
        avoided=lambda options: bool(options.trust_remote_code),
    ),
    "bad_flag": StartFailure(
        "config",
        "usage: vllm serve [model_tag] [options]\nvllm serve: error: unrecognized arguments: --no-such-flag",
        code=2,
    ),
    "bad_quantization": StartFailure(
        "config",
        invalid(
            "VllmConfig",
            "Unknown quantization method: bitsandbytes. Must be one of ['awq', 'fp8', 'gptq', 'modelopt'].",
        ),
        avoided=is_one_of("quantization", None),
    ),
    "quantization_needs_newer_gpu": StartFailure(
        "config",
        invalid(
            "VllmConfig",
            "The quantization method mxfp4 is not supported for the current GPU. Minimum capability: 80. "
            "Current capability: {cc}.",
        ),
    ),
    "quantization_dtype": StartFailure(
        "config",
        invalid(
            "VllmConfig",
            "torch.bfloat16 is not supported for quantization method awq. Supported dtypes: [torch.float16]",
        ),
        avoided=is_one_of("dtype", "half", "float16"),
    ),
    "heads_not_divisible": StartFailure(
        "config",
        invalid(
            "VllmConfig",
            "Total number of attention heads (32) must be divisible by tensor parallel size ({tp}).",
        ),
        avoided=is_one_of("tensor_parallel_size", 1, 2, 4),
    ),
    "max_num_seqs_over_mamba_blocks": StartFailure(
        "kv",
        "ValueError: max_num_seqs (256) exceeds available Mamba cache blocks (48). Each decode sequence requires one "
        "Mamba cache block, so CUDA graph capture cannot proceed. Please lower max_num_seqs to at most 48 or increase "
        "gpu_memory_utilization.",
        avoided=at_most("max_num_seqs", 48),
    ),
    # -- the weights
    "weights_truncated": StartFailure(
        "load",
        "safetensors_rust.SafetensorError: Error while deserializing header: incomplete metadata, file not fully covered",
    ),
    "no_weights": StartFailure("load", "RuntimeError: Cannot find any model weights with `{model}`"),
    "tokenizer": StartFailure(
        "config",
        "OSError: Can't load tokenizer for '{model}'. If you were trying to load it from 'https://huggingface.co/models', "
        "make sure you don't have a local directory with the same name.",
    ),
    # -- memory
    "oom_load": StartFailure("load", _OOM),
    "oom_profile": StartFailure(
        "profile", _OOM, avoided=either(at_most("max_num_batched_tokens", 1024), at_most("max_num_seqs", 32))
    ),
    "oom_sampler": StartFailure(
        "profile",
        "RuntimeError: CUDA out of memory occurred when warming up sampler with 256 dummy requests. Please try lowering "
        "`max_num_seqs` or `gpu_memory_utilization` when initializing the engine.",
        avoided=at_most("max_num_seqs", 64),
    ),
    "oom_capture": StartFailure(
        "capture",
        _OOM,
        avoided=either(lambda options: bool(options.enforce_eager), at_most("max_cudagraph_capture_size", 16)),
    ),
    "no_kv_room": StartFailure(
        "kv",
        "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing "
        "the engine. See https://docs.vllm.ai/en/latest/configuration/conserving_memory/ for more details.",
        avoided=either(
            lambda options: bool(options.enforce_eager), lambda options: options.gpu_memory_utilization >= 0.95
        ),
    ),
    "context_too_long": StartFailure(
        "kv",
        "ValueError: To serve at least one request with the model's max seq len ({context}), ({needed:.2f} GiB KV cache is "
        "needed, which is larger than the available KV cache memory ({room:.2f} GiB). Based on the available memory, the "
        "estimated maximum model length is {longest}. Try increasing `gpu_memory_utilization` (which also controls CPU "
        "memory on the CPU backend) or decreasing `max_model_len` when initializing the engine. See "
        "https://docs.vllm.ai/en/latest/configuration/conserving_memory/ for more details.",
        avoided=lambda options: -1 <= (options.max_model_len or 1 << 30) <= 16384,
    ),
    "auto_context_impossible": StartFailure(
        "kv",
        "ValueError: Cannot auto-fit max_model_len: not enough GPU memory available to serve even a single token. Try "
        "increasing `gpu_memory_utilization`.",
    ),
    "gpu_busy": StartFailure(
        "start",
        "ValueError: Free memory on device cuda:0 ({room:.2f}/{total:.2f} GiB) on startup is less than desired GPU memory "
        "utilization ({utilization}, {wanted:.2f} GiB). Decrease GPU memory utilization or reduce GPU memory used by other "
        "processes.",
    ),
    "profiling_race": StartFailure(
        "profile",
        "AssertionError: Error in memory profiling. Initial free memory 17.02 GiB, current free memory 18.40 GiB. This "
        "happens when other processes sharing the same container release GPU memory while vLLM is profiling during "
        "initialization. To fix this, ensure consistent GPU memory allocation or isolate vLLM in its own container.",
    ),
    # -- driver, GPUs and their kernels
    "driver_too_old": StartFailure(
        "start",
        "RuntimeError: The NVIDIA driver on your system is too old (found version 12080). Please update your GPU driver by "
        "downloading and installing a new version from the URL: http://www.nvidia.com/Download/index.aspx",
    ),
    "no_gpu": StartFailure(
        "config",
        "RuntimeError: Failed to infer device type, please set the environment variable `VLLM_LOGGING_LEVEL=DEBUG` to turn "
        "on verbose logging to help debug the issue.",
    ),
    "gpu_lost": StartFailure(
        "start", "torch.AcceleratorError: CUDA error: CUDA-capable device(s) is/are busy or unavailable"
    ),
    "unsupported_ptx": StartFailure(
        "profile", "torch.AcceleratorError: CUDA error: the provided PTX was compiled with an unsupported toolchain."
    ),
    "no_kernel_image": StartFailure(
        "profile", "torch.AcceleratorError: CUDA error: no kernel image is available for execution on the device"
    ),
    "bf16_unsupported": StartFailure(
        "start",
        "ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0. Your {card} GPU has compute "
        "capability 7.5. You can use float16 instead by explicitly setting the `dtype` flag in CLI, for example: --dtype=half.",
        avoided=is_one_of("dtype", "half", "float16"),
    ),
    "fp8_kv_unsupported": StartFailure(
        "start",
        "ValueError: FP8 KV cache is not supported by the Triton attention backend on {card} (compute capability 7.5); "
        "native FP8 (fp8e4nv) requires SM89+. Re-run with --kv-cache-dtype float16.",
        avoided=is_one_of("kv_cache_dtype", "auto", "float16", None),
    ),
    "no_attention_backend": StartFailure(
        "start",
        "ValueError: No valid attention backend found for cuda with AttentionSelectorConfig(head_size=80, "
        "dtype=torch.float16, kv_cache_dtype=fp8). Reasons: {FLASH_ATTN: [compute capability not supported]}.",
        avoided=is_one_of("attention_backend", None),
    ),
    "fp8_unsupported": StartFailure(
        "profile",
        "ValueError(\"type fp8e4nv not supported in this architecture. The supported fp8 dtypes are ('fp8e4b15', 'fp8e5')\")",
    ),
    "attention_sinks": StartFailure(
        "start",
        "AssertionError: Sinks are only supported in FlashAttention 3",
        avoided=is_one_of("attention_backend", "TRITON_ATTN"),
    ),
    "moe_backend": StartFailure(
        "load",
        "ValueError: NvFp4 MoE backend 'FLASHINFER_CUTLASS' does not support the deployment configuration since kernel does not "
        "support current device.",
    ),
    "kernel_not_built": StartFailure(
        "profile",
        "RuntimeError: No compiled cutlass_scaled_mm for CUDA device capability: {cc}. Required capability: 90 or 100",
    ),
    "card_shared_memory": StartFailure(
        "profile",
        "triton.runtime.errors.OutOfResources: out of resource: shared memory, Required: 98304, Hardware limit: 65536. Reducing block "
        "sizes or `num_stages` may help.",
    ),
    "no_nvcc": StartFailure(
        "profile", "RuntimeError: Could not find nvcc and default cuda_home='/usr/local/cuda' doesn't exist"
    ),
    "cuda_not_ready": StartFailure(
        "start",
        "RuntimeError: Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before calling NumCudaDevices() "
        "that might have already set an error? Error 802: system not yet initialized",
    ),
    "weights_mismatch": StartFailure(
        "load",
        "ValueError: There is no module or parameter named 'model.layers.3.self_attn.k_scale' in Qwen3MoeForCausalLM",
    ),
    "tokenizer_too_new": StartFailure(
        "config", "ValueError: Tokenizer class TokenizersBackend does not exist or is not currently imported."
    ),
    "unknown": StartFailure("load", "KeyError: 'a thing that nobody has met'"),
    # -- several GPUs
    "shards_do_not_divide": StartFailure(
        "load",
        "ValueError: The output_size of gate's and up's weight = 192 is not divisible by weight quantization block_n = 128.",
        avoided=is_one_of("tensor_parallel_size", 1),
    ),
    "nccl": StartFailure(
        "start",
        "RuntimeError: NCCL error: unhandled system error (run with NCCL_DEBUG=INFO for details)",
    ),
    "shm_full": StartFailure(
        "start",
        "Error while creating shared memory segment /dev/shm/nccl-6uFz7w (size 9637888), error: No space left on device (28)",
    ),
    # -- compilation
    "compile_cache": StartFailure(
        "compile",
        "RuntimeError: vLLM failed to compile the model. The most likely reason for this is that a previous compilation "
        "failed, leading to a corrupted compilation artifact. We recommend trying to remove ~/.cache/vllm/torch_compile_cache "
        "and try again to see the real issue.",
        avoided=lambda options: bool(options.enforce_eager),
    ),
    "jit_failed": StartFailure(
        "compile",
        "RuntimeError: Ninja build failed. Ninja output:\nnvcc fatal   : Unsupported gpu architecture\nninja: build stopped: subcommand failed.",
    ),
    "start_timeout": StartFailure(
        "compile",
        "TimeoutError: Timed out waiting for engine core processes to start. This is often caused by slow weight loading for "
        "large models. Waited 600s (configured by VLLM_ENGINE_READY_TIMEOUT_S). To increase the timeout, set the environment "
        "variable: VLLM_ENGINE_READY_TIMEOUT_S=<seconds>.",
    ),
    "too_many_files": StartFailure("config", "OSError: [Errno 24] Too many open files"),
}
