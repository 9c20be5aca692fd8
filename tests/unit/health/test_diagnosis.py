# SPDX-License-Identifier: GPL-3.0-or-later
"""Why an engine failed, by its log: one text for each cause, real logs, and where a memory error comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.diagnosis import cause_of, diagnose
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.log_text import has_served
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.phases import phase_of, progress_of
from hypothesis import given, settings
from hypothesis import strategies as st

LOGS = Path(__file__).parent / "vllm-logs"
START = "(APIServer pid=1) INFO 11-23 21:01:45 [api_utils.py:286] non-default args: {}\n".format
READY = "INFO:     Application startup complete.\n"
TAIL = "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}\n"
OOM = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.02 GiB. GPU 0 has a total capacity of 19.53 GiB of "
    "which 512.00 MiB is free. Including non-PyTorch memory, this process has 19.00 GiB memory in use.\n"
)

# real logs: slug, parameters, healable
RECORDED: dict[str, tuple[str | None, dict[str, Any] | None, bool]] = {
    "badarch": ("unknown_architecture", None, False),
    "badflag": ("unknown_flag", {"no-such-flag": None}, False),
    "badmodeltype": ("unknown_architecture", None, False),
    "badparser": ("tool_parser", {"tool-call-parser": None, "enable-auto-tool-choice": None}, True),
    "badquant": ("quantization_unknown", {"quantization": None}, True),
    "context-too-long": ("context_too_long", {"max-model-len": 507904}, True),
    "core-killed": ("engine_died", None, True),
    "model-deleted": ("model_not_cached", None, True),
    "model-deleted-while-starting": ("model_not_cached", None, True),
    "nodir": ("model_not_found", None, False),
    "notok": (None, None, False),
    "noweights": ("no_weights", None, False),
    "ok-start-0.32-cpu": (None, None, False),
    "port-in-use": ("port_in_use", None, False),
    "reasonbad": ("reasoning_parser", {"reasoning-parser": None}, True),
    "repooffline": ("model_not_cached", None, True),
    "sigterm-inflight-drain60": (None, None, False),
    "toolong": ("context_above_model", {"max-model-len": 4096}, True),
    "truncated-weights": ("corrupt_weights", None, True),
    "worker-killed-idle": ("worker_died", None, True),
}


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_recorded_logs_are_explained(name: str) -> None:
    found = diagnose((LOGS / f"{name}.log").read_text())
    slug, parameters, healable = RECORDED[name]
    if slug is None:
        assert found == []
    else:
        assert (found[0].slug, found[0].parameters, found[0].healable) == (slug, parameters, healable)
        assert found[0].line and "{" not in found[0].sentence


def test_what_a_restart_finds_as_it_is_has_to_be_fetched_first() -> None:
    fetched = {name for name in RECORDED for found in diagnose((LOGS / f"{name}.log").read_text())[:1] if found.fetch}
    assert fetched == {"model-deleted", "model-deleted-while-starting", "repooffline", "truncated-weights"}


def test_whether_an_engine_served_shows_also_where_its_beginning_is_cut_off() -> None:
    served = {name for name in RECORDED if has_served((LOGS / f"{name}.log").read_text())}
    assert served == {"core-killed", "notok", "ok-start-0.32-cpu", "sigterm-inflight-drain60", "worker-killed-idle"}
    steady = "(APIServer pid=1) INFO 11-24 12:58:46 [loggers.py:335] Engine 000: Avg prompt throughput: 0.1 tokens/s\n"
    assert has_served(steady) and not has_served("")
    assert not has_served((LOGS / "core-killed.log").read_text() + START("{}"))


# slug, text, parameters of the first diagnosis
TEXTS: list[tuple[str, str, dict[str, Any] | None]] = [
    (
        "oom_sampler",
        "RuntimeError: CUDA out of memory occurred when warming up sampler with 1024 dummy requests.",
        {"max-num-seqs": 256},
    ),
    (
        "no_cache_memory",
        "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`",
        {"enforce-eager": True},
    ),
    (
        "context_too_long",
        "ValueError: To serve at least one request with the model's max seq len (131072), (7.00 GiB KV cache is needed, which is "
        "larger than the available KV cache memory (2.50 GiB). Based on the available memory, the estimated maximum model length is 46808.",
        {"max-model-len": 45056},
    ),
    (
        "context_too_long",
        "ValueError: To serve at least one request with the model's max seq len (131072), (7.00 GiB KV cache is needed, which is "
        "larger than the available KV cache memory (0.10 GiB). Based on the available memory, the estimated maximum model length is 4000.",
        None,
    ),
    (
        "no_cache_memory",
        "ValueError: Cannot auto-fit max_model_len: not enough GPU memory available to serve even a single token",
        {"enforce-eager": True},
    ),
    (
        "gpu_not_free",
        "ValueError: Free memory on device cuda:0 (17.50/19.53 GiB) on startup is less than desired GPU memory utilization (0.92, 17.97 GiB).",
        {"gpu-memory-utilization": 0.87},
    ),
    (
        "gpu_not_free",
        "ValueError: Free memory on device cuda:0 (3.50/19.53 GiB) on startup is less than desired GPU memory utilization (0.92, 17.97 GiB).",
        None,
    ),
    (
        "memory_profiling",
        "AssertionError: Error in memory profiling. Initial free memory 17.2 GiB, current free memory 18",
        None,
    ),
    (
        "too_many_sequences",
        "ValueError: max_num_seqs (256) exceeds available Mamba cache blocks (48).",
        {"max-num-seqs": 48},
    ),
    (
        "driver_too_old",
        "nvidia-container-cli: requirement error: unsatisfied condition: cuda>=13.0, please update",
        None,
    ),
    ("driver_too_old", "RuntimeError: The NVIDIA driver on your system is too old (found version 12020).", None),
    ("driver_too_old", "Error 803: system has unsupported display driver / cuda driver combination", None),
    ("driver_mismatch", "Failed to initialize NVML: Driver/library version mismatch", None),
    (
        "toolkit_missing",
        'Error response from daemon: could not select device driver "" with capabilities: [[gpu]].',
        None,
    ),
    (
        "container_sees_no_gpu",
        "RuntimeError: Failed to infer device type, please set the environment variable `VLLM_LOGGING_LEVEL`",
        None,
    ),
    ("container_sees_no_gpu", "RuntimeError: No CUDA GPUs are available", None),
    (
        "container_sees_no_gpu",
        "ImportError: libcuda.so.1: cannot open shared object file: No such file or directory",
        None,
    ),
    ("container_lost_gpu", "Failed to initialize NVML: Unknown Error", None),
    ("launch_failure", "torch.AcceleratorError: CUDA error: unspecified launch failure", None),
    ("gpu_lost", "CUDA error: CUDA-capable device(s) is/are busy or unavailable", None),
    ("illegal_memory_access", "CUDA error: an illegal memory access was encountered", {"enforce-eager": True}),
    ("device_assert", "CUDA error: device-side assert triggered", None),
    ("ecc_error", "CUDA error: uncorrectable ECC error encountered", None),
    ("unsupported_ptx", "CUDA error: the provided PTX was compiled with an unsupported toolchain.", None),
    ("unsupported_ptx", "CUDA error: no kernel image is available for execution on the device", None),
    (
        "more_gpus_than_there_are",
        "ValueError: World size (4) is larger than the number of available GPUs (2) in this node.",
        {"tensor-parallel-size": 2},
    ),
    (
        "heads_not_divisible",
        "ValueError: Total number of attention heads (28) must be divisible by tensor parallel size (3).",
        {"tensor-parallel-size": 2},
    ),
    ("nccl", "RuntimeError: NCCL error: unhandled system error (run with NCCL_DEBUG=INFO for details)", None),
    ("shared_memory", "Error while creating shared memory segment /dev/shm/nccl-abc (size 9637888)", None),
    ("shared_memory", "Bus error (core dumped)", None),
    (
        "no_peer_access",
        "Cuda failure 217 'peer access is not supported between these two devices'",
        {"disable-custom-all-reduce": True},
    ),
    ("worker_died", "Worker proc VllmWorker-0 died unexpectedly (exit code: -9), shutting down executor.", None),
    (
        "dtype_unsupported",
        "ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0.",
        {"dtype": "half"},
    ),
    (
        "dtype_unsupported",
        "ValueError: torch.bfloat16 is not supported for quantization method awq.",
        {"dtype": "half"},
    ),
    (
        "quantization_unsupported",
        "ValueError: The quantization method mxfp4 is not supported for the current GPU. Minimum capability: 80. Current capability: 75.",
        None,
    ),
    (
        "quantization_unknown",
        "ValueError: Unknown quantization method: bnb. Must be one of ['awq']",
        {"quantization": None},
    ),
    (
        "kv_cache_dtype",
        "ValueError: FP8 KV cache is not supported by the Triton attention backend",
        {"kv-cache-dtype": "auto"},
    ),
    ("attention_backend", "ValueError: No valid attention backend found for cuda", {"kv-cache-dtype": "auto"}),
    ("unknown_architecture", "ValueError: Model architectures ['FooForCausalLM'] are not supported for now.", None),
    ("unknown_architecture", "ValueError: FooForCausalLM was supported in vLLM until v0.9", None),
    (
        "remote_code",
        "ValueError: Failed to load the model config. If the model is a custom model not yet available",
        None,
    ),
    ("disk_full", "OSError: [Errno 28] No space left on device", None),
    (
        "corrupt_weights",
        "safetensors_rust.SafetensorError: Error while deserializing header: incomplete metadata, file not fully covered",
        None,
    ),
    ("no_weights", "RuntimeError: Cannot find any model weights with `./x`", None),
    ("too_many_open_files", "OSError: [Errno 24] Too many open files", None),
    (
        "gated_model",
        "huggingface_hub.errors.GatedRepoError: 403 Client Error. Cannot access gated repo for url https://x",
        None,
    ),
    (
        "model_not_found",
        "huggingface_hub.errors.RepositoryNotFoundError: 401 Client Error. Repository Not Found for url: https://x",
        None,
    ),
    ("model_not_found", "OSError: nope/nope is not a local folder and is not a valid model identifier listed on", None),
    (
        "rate_limited",
        "huggingface_hub.errors.HfHubHTTPError: 429 Client Error: Too Many Requests for url: https://x. Retry after 55 seconds",
        None,
    ),
    ("network", 'requests.exceptions.ReadTimeout: (ReadTimeoutError("HTTPSConnectionPool"))', None),
    ("chat_template", "vllm.exceptions.ChatTemplateResolutionError: default chat template is no longer allowed", None),
    ("tokenizer", "ValueError: Couldn't instantiate the backend tokenizer from one of:", None),
    ("compile_cache", "RuntimeError: vLLM failed to compile the model. remove ~/.cache/vllm/torch_compile_cache", None),
    ("jit_compile", "nvcc fatal   : Unsupported gpu architecture 'compute_120a'", None),
    (
        "start_timeout",
        "TimeoutError: Timed out waiting for engine core processes to start. This is often caused by slow",
        None,
    ),
    ("rpc_timeout", "TimeoutError: RPC call to execute_model timed out.", None),
    ("engine_died", "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue.", None),
    ("kernel_not_built", "RuntimeError: FlashInfer requires GPUs with sm75 or higher", None),
    (
        "kernel_not_built",
        "ValueError: Marlin does not support weight_bits = uint4b8. Only types = [] are supported",
        None,
    ),
    ("quantization_unsupported", "AssertionError: MXFP4 quantization requires compute capability >= 80", None),
    ("compiler_and_card", "RuntimeError: PassManager::run failed", None),
    ("compiler_and_card", "ptxas fatal   : Value 'sm_121a' is not defined for option 'gpu-name'", None),
    (
        "quantization_scheme",
        "ValueError: Failed to find a kernel that can implement the WNA16 linear layer. Reasons:",
        None,
    ),
    ("quantization_scheme", "NotImplementedError: No compressed-tensors compatible scheme was found.", None),
    (
        "weights_mismatch",
        "AssertionError: Tried to load weights of size torch.Size([1]) to a parameter of size torch.Size([2])",
        None,
    ),
    ("weights_mismatch", "KeyError: 'layers.0.mlp.experts.w2_weight'", None),
    ("card_too_old", "NotImplementedError: nvfp4 is only supported on Blackwell", None),
    ("cuda_error", "torch.AcceleratorError: CUDA error: operation not permitted when stream is capturing", None),
    ("cuda_start", "RuntimeError: CUDA driver initialization failed, you might not have a CUDA gpu.", None),
    ("unsupported_ptx", "RuntimeError: Triton Error [CUDA]: device kernel image is invalid", None),
    ("attention_backend", "ValueError: Unsupported head size 192", {"kv-cache-dtype": "auto"}),
    (
        "no_compiler",
        "subprocess.CalledProcessError: Command '['/usr/bin/gcc', '/tmp/x.c']' returned non-zero exit status 1.",
        None,
    ),
    (
        "nccl_timeout",
        "[rank1]:[E214 ProcessGroupNCCL.cpp:632] Watchdog caught collective operation timeout: WorkNCCL",
        None,
    ),
    (
        "cuda_library",
        "RuntimeError: CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        None,
    ),
    ("graph_compiler", "torch._dynamo.exc.Unsupported: call_function", {"enforce-eager": True}),
    ("host_memory", "OSError: [Errno 12] Cannot allocate memory", None),
    ("not_for_text", "ValueError: This model does not support `generate` tasks", None),
    ("speculation", "ValueError: Speculative decoding is not supported with this model", None),
    ("batch_too_small", "ValueError: max_num_batched_tokens (2048) is smaller than max_model_len (32768).", None),
    ("engine_hung", "No available shared memory broadcast block found in 60 seconds. This typically happens", None),
    ("port_in_use", "OSError: [Errno 98] Address already in use", None),
    ("bad_argument", "api_server.py: error: argument --dtype: invalid choice: 'x' (choose from auto, half)", None),
    (
        "configuration",
        "1 validation error for VllmConfig\n  Value error, Something nobody has seen [type=value_error, input_value=x]",
        None,
    ),
    ("unknown_error", "builtins.ZeroDivisionError: division by zero", None),
]


@pytest.mark.parametrize(("slug", "text", "parameters"), TEXTS)
def test_every_cause_is_found(slug: str, text: str, parameters: dict[str, Any] | None) -> None:
    log = START("{'model': 'x'}") + f"(EngineCore pid=7) ERROR 11-23 21:01:45 [core.py:1] {text}\n" + TAIL
    found = diagnose(log)
    assert (found[0].slug, found[0].parameters) == (slug, parameters)
    assert "{" not in found[0].sentence and found[0].remedy
    assert [entry.slug for entry in found][-1] in ("engine_start_failed", slug)


@pytest.mark.parametrize(
    ("before", "slug", "parameters"),
    [
        ("Starting to load model x...\n", "oom_loading", None),
        ("Starting to load model\nModel loading took 12 GiB\n", "oom_profiling", {"max-num-batched-tokens": 4096}),
        (
            "Model loading took 12 GiB\nAvailable KV cache memory: 2 GiB\nCapturing CUDA graphs:  45%\n",
            "oom_graphs",
            {"max-cudagraph-capture-size": 64},
        ),
        ("Capturing CUDA graphs\n" + READY, "oom_running", {"gpu-memory-utilization": 0.89}),
        (
            '  File "gpu_worker.py", line 1, in determine_available_memory\n  File "x", line 2, in profile_run\n',
            "oom_profiling",
            {"max-num-batched-tokens": 4096},
        ),
        ("", "oom", {"max-num-batched-tokens": 4096}),
    ],
)
def test_a_memory_error_is_placed(before: str, slug: str, parameters: dict[str, Any] | None) -> None:
    found = diagnose(START("{'model': 'x'}") + before + OOM + TAIL)
    assert (found[0].slug, found[0].parameters) == (slug, parameters)
    assert found[0].healable == (parameters is not None)


@pytest.mark.parametrize(
    ("arguments", "text", "parameters"),
    [
        ({"max_num_batched_tokens": 2048}, "Model loading took\n" + OOM, {"max-num-batched-tokens": 1024}),
        ({"max_num_batched_tokens": 1024}, "Model loading took\n" + OOM, {"max-num-seqs": 32}),
        ({"max_num_batched_tokens": 1024, "max_num_seqs": 8}, "Model loading took\n" + OOM, None),
        ({"enforce_eager": True}, "No available memory for the cache blocks", {"gpu-memory-utilization": 0.95}),
        ({"enforce_eager": True, "gpu_memory_utilization": 0.95}, "No available memory for the cache blocks", None),
        ({"gpu_memory_utilization": 0.72}, READY + OOM, None),
        ({"attention_backend": "FLASHINFER"}, "No valid attention backend found for", {"attention-backend": None}),
    ],
)
def test_the_next_step_goes_on_from_the_flags_in_effect(
    arguments: dict[str, Any], text: str, parameters: dict[str, Any] | None
) -> None:
    assert diagnose(START(repr(arguments)) + text)[0].parameters == parameters


GRAPHS = "Model loading took\nCapturing CUDA graphs\n" + OOM
LOADED = "Model loading took\n" + OOM
SERVED = READY + OOM
NO_CACHE = "No available memory for the cache blocks"


@pytest.mark.parametrize(
    ("arguments", "text", "parameters"),
    [
        ({"max_num_batched_tokens": 3000}, LOADED, {"max-num-batched-tokens": 1500}),
        ({"max_num_batched_tokens": 1025}, LOADED, {"max-num-batched-tokens": 1024}),
        ({"max_num_batched_tokens": 1}, LOADED, {"max-num-seqs": 32}),
        # What is no number of tokens is the engine's own default.
        ({"max_num_batched_tokens": 0}, LOADED, {"max-num-batched-tokens": 4096}),
        ({"max_num_batched_tokens": True}, LOADED, {"max-num-batched-tokens": 4096}),
        ({"max_num_batched_tokens": "1024"}, LOADED, {"max-num-batched-tokens": 4096}),
        ({"max_num_batched_tokens": 1024, "max_num_seqs": 33}, LOADED, {"max-num-seqs": 32}),
        ({"max_num_batched_tokens": 1024, "max_num_seqs": 32}, LOADED, {"max-num-seqs": 8}),
        ({"max_num_batched_tokens": 1024, "max_num_seqs": 9}, LOADED, {"max-num-seqs": 8}),
        ({"max_cudagraph_capture_size": 65}, GRAPHS, {"max-cudagraph-capture-size": 64}),
        ({"max_cudagraph_capture_size": 64}, GRAPHS, {"max-cudagraph-capture-size": 16}),
        ({"max_cudagraph_capture_size": 16}, GRAPHS, {"max-cudagraph-capture-size": 4}),
        ({"max_cudagraph_capture_size": 4}, GRAPHS, {"max-num-seqs": 8}),
        ({"max_cudagraph_capture_size": 4, "max_num_seqs": 9}, GRAPHS, {"max-num-seqs": 8}),
        ({"max_cudagraph_capture_size": 4, "max_num_seqs": 8}, GRAPHS, {"enforce-eager": True}),
        ({"max_cudagraph_capture_size": 4, "max_num_seqs": 8, "enforce_eager": True}, GRAPHS, None),
        ({"gpu_memory_utilization": 0.73}, SERVED, {"gpu-memory-utilization": 0.7}),
        ({"gpu_memory_utilization": 1}, SERVED, {"gpu-memory-utilization": 0.97}),
        ({"gpu_memory_utilization": True}, SERVED, {"gpu-memory-utilization": 0.89}),
        ({"gpu_memory_utilization": "0.8"}, SERVED, {"gpu-memory-utilization": 0.89}),
        ({"enforce_eager": True, "gpu_memory_utilization": 0.94}, NO_CACHE, {"gpu-memory-utilization": 0.95}),
        ({"enforce_eager": False}, NO_CACHE, {"enforce-eager": True}),
    ],
)
def test_every_step_that_is_left(arguments: dict[str, Any], text: str, parameters: dict[str, Any] | None) -> None:
    found = diagnose(START(repr(arguments)) + text)[0]
    assert (found.parameters, found.healable) == (parameters, parameters is not None)


SAMPLER = "CUDA out of memory occurred when warming up sampler with {} dummy requests".format
FREE = "Free memory on device cuda:0 ({}/{} GiB) on startup is less than desired".format
GPUS = "World size (8) is larger than the number of available GPUs ({})".format
HEADS = "Total number of attention heads ({}) must be divisible by tensor parallel size ({})".format
FLAGS = "error: unrecognized arguments: {}".format
CONTEXT = (
    "max seq len (131072), (7.00 GiB KV cache is needed, which is larger than the available KV cache memory (2.50 GiB). "
    "Based on the available memory, the estimated maximum model length is {}."
).format


@pytest.mark.parametrize(
    ("text", "parameters", "healable"),
    [
        (SAMPLER(1024), {"max-num-seqs": 256}, True),
        (SAMPLER(65), {"max-num-seqs": 16}, True),
        (SAMPLER(64), {"max-num-seqs": 8}, True),
        (SAMPLER(9), {"max-num-seqs": 8}, True),
        # Where only a flag helps and none is left, a start in the same way does not.
        (SAMPLER(8), None, False),
        (FREE("82.5", "100"), {"gpu-memory-utilization": 0.8}, True),
        (FREE("81.5", "100"), None, True),
        (FREE("0", "0"), None, True),
        (GPUS(0), None, False),
        (GPUS(1), {"tensor-parallel-size": 1}, True),
        (GPUS(3), {"tensor-parallel-size": 2}, True),
        (GPUS(4), {"tensor-parallel-size": 4}, True),
        (GPUS(9), {"tensor-parallel-size": 8}, True),
        (HEADS(28, 8), {"tensor-parallel-size": 4}, True),
        (HEADS(28, 2), {"tensor-parallel-size": 2}, True),
        (HEADS(6, 4), {"tensor-parallel-size": 2}, True),
        (HEADS(7, 2), {"tensor-parallel-size": 1}, True),
        (HEADS(8, 1), {"tensor-parallel-size": 1}, True),
        (HEADS(8, 0), {"tensor-parallel-size": 1}, True),
        (FLAGS("--one=1 --two x"), {"one": None, "two": None}, False),
        (FLAGS("one two"), None, False),
        (CONTEXT(8704), {"max-model-len": 8192}, True),
        (CONTEXT(8400), None, False),
        (CONTEXT(100000), {"max-model-len": 96256}, True),
        (CONTEXT("unknown"), None, False),
    ],
)
def test_a_step_from_the_engines_own_figures(text: str, parameters: dict[str, Any] | None, healable: bool) -> None:
    found = diagnose(START("{}") + text)[0]
    assert (found.parameters, found.healable) == (parameters, healable)


def test_what_is_missing_in_a_text_is_empty_and_not_none() -> None:
    found = diagnose(START("{}") + "torch.OutOfMemoryError")[0]
    assert (found.slug, found.sentence, found.healable) == ("oom", "The GPU ran out of memory.", True)
    told = diagnose(START("{}") + CONTEXT("unknown"))[0].sentence
    assert told == "The context of 131072 tokens needs 7.00 GiB of KV cache, and the cards have 2.50 GiB left."
    told = diagnose(START("{}") + "libfoo.so.1: cannot open shared object file")[0].sentence
    assert told.startswith("The parts of the engine's image do not fit together (libfoo.so.1): ")


@pytest.mark.parametrize(
    ("before", "slug"),
    [
        ("Capturing CUDA graphs\nStarting to load model\n", "oom_loading"),
        ("Starting to load model\nCapturing CUDA graphs\n", "oom_graphs"),
        ("in execute_model\nprofile_run\n" + "x" * 400, "oom_profiling"),
        ("Model loading took\nin execute_model\n", "oom_running"),
    ],
)
def test_the_newest_marker_places_a_memory_error(before: str, slug: str) -> None:
    assert diagnose(START("{}") + before + OOM)[0].slug == slug


NVML = "Failed to initialize NVML: Unknown Error"


@pytest.mark.parametrize(
    ("log", "line"),
    [
        (NVML, NVML),
        (f"  {NVML} (here)  ", f"{NVML} (here)"),
        (f"one\nbefore: {NVML}; after\nthree\n", f"before: {NVML}; after"),
        ("x" * 400 + NVML + "y" * 400, "x" * 400 + NVML + "y" * (100 - len(NVML))),
    ],
)
def test_the_line_that_says_so(log: str, line: str) -> None:
    assert diagnose(log)[0].line == line


BANNER = "version 0.33.0\n"


def apart(text: str, characters: int) -> str:
    """Padded to so many characters, in lines of its own."""
    return text + "." * (characters - len(text) - 1) + "\n"


@pytest.mark.parametrize(
    ("log", "found"),
    [
        # The banner and the flags are two beginnings of one start; a thousand lines later it is another one.
        (apart(f"{BANNER}{NVML}\n", 2000) + START("{}"), ["container_lost_gpu"]),
        (apart(f"{BANNER}{NVML}\n", 2001) + START("{}"), []),
        (apart(f"{BANNER}{NVML}\n", 1500) + apart(BANNER, 1500) + START("{}"), ["container_lost_gpu"]),
        (f"{BANNER}{NVML}\n{READY}{START('{}')}", []),
        (f"{READY}{BANNER}{NVML}\n{START('{}')}", ["container_lost_gpu"]),
        # What came before it served is over.
        (f"{START('{}')}{NVML}\n{READY}", []),
        (f"{START('{}')}{READY}{NVML}\n{READY}", []),
        (f"{START('{}')}{READY}{NVML}\n", ["container_lost_gpu"]),
        # One that explains comes first, what may only follow from it later, and each once.
        (f"NCCL error: internal error\n{NVML}\n", ["container_lost_gpu", "nccl"]),
        ("Worker proc x died unexpectedly (exit code: 1)\nWorker proc y died unexpectedly\n", ["worker_died"]),
        ("Worker proc x died unexpectedly\nWorker proc y died unexpectedly (exit code: 1)\n", ["worker_died"]),
        (f"{NVML}\nCUDA error: device-side assert triggered\n", ["container_lost_gpu", "device_assert"]),
        (f"CUDA error: device-side assert triggered\n{NVML}\n", ["device_assert", "container_lost_gpu"]),
        # Two patterns for one text.
        (GPUS(2), ["more_gpus_than_there_are"]),
        # What stopped it is told where nothing else explains it.
        (f"ValueError: odd\n{TAIL}", ["unknown_error", "engine_start_failed"]),
        (f"{TAIL}ValueError: odd\n", ["unknown_error", "engine_start_failed"]),
        (f"{NVML}\nValueError: odd\n", ["container_lost_gpu"]),
        ("ValueError: odd\nEngineDeadError: x\n", ["unknown_error", "engine_died"]),
        ("EngineDeadError: x\n", ["engine_died"]),
        ("KeyboardInterrupt: x\n", []),
        ("asyncio.exceptions.CancelledError: x\n", []),
        ("KeyboardInterrupt: x\nValueError: odd\n", ["unknown_error"]),
        ("[shutdown] API server: shutdown triggered\nValueError: odd\n", []),
        (f"[shutdown] API server: shutdown triggered\n{START('{}')}ValueError: odd\n", ["unknown_error"]),
        (f"{READY}ValueError: odd\n", ["unknown_error"]),
        (f"ValueError: odd\n{READY}", []),
    ],
)
def test_what_a_log_is_taken_for(log: str, found: list[str]) -> None:
    assert [one.slug for one in diagnose(log)] == found


def test_the_newest_flags_count_and_nothing_else_is_taken_for_flags() -> None:
    tokens = START("{'max_num_batched_tokens': 2048}")
    assert diagnose(START("{}") + tokens + LOADED)[0].parameters == {"max-num-batched-tokens": 1024}
    for odd in ("{1, 2}", "{'a': }", "{f()}"):
        assert diagnose(START(odd) + LOADED)[0].parameters == {"max-num-batched-tokens": 4096}


@pytest.mark.parametrize(
    ("text", "slug", "sentence"),
    [
        (
            "ValueError: first\nTypeError: second\n",
            "unknown_error",
            "The engine stopped with ValueError: first (a setting or file that the engine does not accept).",
        ),
        (
            f"ValueError: {'x' * 400}\n",
            "unknown_error",
            f"The engine stopped with ValueError: {'x' * 288} (a setting or file that the engine does not accept).",
        ),
        (
            "1 validation error for Config\n  Value error, this\n  and that [type=value_error]\n",
            "configuration",
            "The engine refuses its configuration: this and that",
        ),
        (
            f"1 validation error for Config\n  Value error, {'x' * 400} [type=value_error]\n",
            "configuration",
            f"The engine refuses its configuration: {'x' * 300}",
        ),
    ],
)
def test_an_error_of_no_known_kind_speaks_for_itself(text: str, slug: str, sentence: str) -> None:
    found = diagnose(text)[0]
    assert (found.slug, found.sentence) == (slug, sentence)
    assert found.line and found.healable == (slug == "unknown_error")


@pytest.mark.parametrize(
    ("log", "phase", "fraction", "detail"),
    [
        ("", "waiting for the container", None, ""),
        (" \n", "waiting for the container", None, ""),
        ("INFO importing\n", "starting", None, ""),
        ("Starting to load model\ncheckpoint shards: 150% Completed | 3/2\n", "loading the weights", 1.0, "3 of 2"),
        ("Capturing CUDA graphs:  25%|##  | 1/4 [00:01<00:03]\n", "warming up", 0.25, "1 of 4, 00:03 left"),
        # A bar of a phase that is over.
        ("checkpoint shards: 50% Completed | 1/2\nApplication startup complete\n", "starting the server", None, ""),
        ("Checkpoint size: 9.5 GiB\nCapturing CUDA graphs:  25%|##  | 1/4 [00:01<00:03]\n", "warming up", 0.25, "1 of 4, 00:03 left"),
    ],
)  # fmt: skip
def test_how_far_it_is(log: str, phase: str, fraction: float | None, detail: str) -> None:
    found = progress_of(log)
    assert (found.phase, found.fraction, found.detail) == (phase, fraction, detail)


def test_the_first_cause_is_what_is_told() -> None:
    assert cause_of(f"NCCL error: internal error\n{NVML}\n") == (
        "The container's access to the GPUs was taken away while it ran.",
        "Recreate the container.",
    )


def test_an_exit_code_that_the_engine_does_not_know_is_not_told() -> None:
    known, unknown = (
        "Worker proc VllmWorker-0 died unexpectedly (exit code: -9)",
        "Worker proc x died unexpectedly (exit code: None)",
    )
    assert [found.sentence for log in (known, unknown) for found in diagnose(START("{}") + log)] == [
        "A worker process of the engine died (exit code -9).",
        "A worker process of the engine died.",
    ]


def test_only_the_last_run_counts() -> None:
    failed = START("{}") + OOM + TAIL
    running = START("{}") + "Starting to load model x\n" + READY
    assert diagnose(failed + running) == []
    assert diagnose(running + failed)[0].slug == "oom"
    assert diagnose(START("{}") + "requests.exceptions.ConnectionError: x\n" + READY) == []


def test_the_first_cause_is_above_the_tail_whatever_it_is_wrapped_in() -> None:
    log = "vllm-1  | \x1b[1;36m(EngineCore pid=7)\x1b[0;0m ERROR 11-23 21:01:45 [core.py:1512] " + OOM
    log += "vllm-1  | (APIServer pid=1) ERROR 11-23 21:01:45 [x.py:1] NCCL error: remote process exited\n" + TAIL
    assert [found.slug for found in diagnose(log)] == ["oom", "nccl", "engine_start_failed"]


def test_phases_and_bars() -> None:
    log = (
        START("{}")
        + "Starting to load model x\nLoading safetensors checkpoint shards:  33% Completed | 3/9 [00:01<00:02]\r"
    )
    assert (progress_of(log).phase, progress_of(log).fraction, progress_of(log).detail) == (
        "loading the weights",
        0.33,
        "3 of 9, 00:02 left",
    )
    assert phase_of((LOGS / "ok-start-0.32-cpu.log").read_text()) == "starting the server"
    assert phase_of("") == "waiting for the container"
    assert cause_of("") is None


@given(
    st.text(max_size=600)
    | st.lists(st.sampled_from([text for _slug, text, _parameters in TEXTS]), max_size=5).map("\n".join)
)
@settings(max_examples=200, deadline=None)
def test_no_text_breaks_the_reader(text: str) -> None:
    for found in diagnose(text):
        assert found.slug and found.sentence and found.remedy
    progress_of(text)
