# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why an engine fails on its cards: memory, kernels that a card cannot run, several GPUs, CUDA. Texts of vLLM 0.6 to 0.33.

What a generation of cards cannot run is known from the engine's own texts and public reports; no card was at hand.
"""

from __future__ import annotations

import re

from . import flag_steps as steps
from .cause import AGAIN, AGAIN_THEN_REBOOT, FLAGS, FOLLOWS, GENERAL, ONCE, PERSON, Cause, cause

CARD = (
    cause(
        "fp8_unsupported",
        (
            r"type fp8e4(?:nv|b8) not supported in this architecture",
            r"torch\._scaled_mm is only supported on (?:CUDA )?devices? with compute capability",
            r"fp8e4nv data type is not supported",
            r"FP8 (?:computation|quantization|GEMM|kernels?)[^\n]{0,80}(?:requires?|only supported|not supported)[^\n]{0,80}",
        ),
        "The card has no FP8 arithmetic, which this quantisation or cache needs; Ada, Hopper and newer cards have it.",
        "Choose another variant of the model (AWQ, GPTQ or bf16) and no fp8 cache, or a plan with a newer card.",
        FLAGS,
        flags=steps.plain_cache,
    ),
    cause(
        "attention_sinks",
        (
            r"Sinks are only supported in FlashAttention 3",
            r"does not support attention sinks",
            r"[Aa]ttention sinks? (?:is|are) (?:not supported|only supported)[^\n]{0,80}",
            r"got an unexpected keyword argument 'sinks'",
        ),
        "The attention backend has no attention sinks on this card, which the model needs (FlashAttention 3 is for Hopper).",
        "Use the backend that runs on every card (attention-backend: TRITON_ATTN), or a newer version of the engine's image.",
        FLAGS,
        flags=steps.other_attention,
    ),
    cause(
        "moe_backend",
        (
            r"MoE backend '?(?P<backend>[\w.-]{1,60})'? does not support the deployment configuration[^\n]{0,120}",
            r"No (?P<backend>\w{1,30}) MoE backend supports the deployment configuration",
            r"MoE kernel does not support current device[^\n]{0,40}",
            r"[Kk]ernel does not support (?:the )?current device",
            r"does not support backend '(?P<backend>[\w-]{1,40})' with capability \d{1,4}",
            r"(?:No|no) (?:\w{1,20} )?(?:fused )?(?:MoE|moe) (?:kernel|backend|method)[^\n]{0,60}(?:supports?|available|found)",
        ),
        (
            "The engine has no mixture-of-experts kernel for this card and quantisation ({backend}).",
            "The engine has no mixture-of-experts kernel for this card and quantisation.",
        ),
        "Leave the MoE backend to the engine or try marlin (moe-backend, without VLLM_USE_FLASHINFER_MOE_*); else another variant of the "
        "model or a newer version of the engine's image.",
        PERSON,
    ),
    cause(
        "card_shared_memory",
        (
            r"out of resource: shared memory, Required: (?P<needs>\d{1,9}),[^\n]{0,5} Hardware limit: (?P<limit>\d{1,9})",
            r"out of resource: (?:threads|registers|tensor memory|shared memory)",
            r"OutOfResources",
            r"exceeds the maximum (?:dynamic )?shared memory",
            r"Failed to set the allowed dynamic shared memory size",
        ),
        (
            "A kernel needs {needs} bytes of shared memory on the card, and this card has {limit}.",
            "A kernel needs more shared memory or registers than this card has.",
        ),
        "Choose another model or variant, or a plan with a newer card: Turing has 64 KB, Ampere and Ada 99 KB.",
        PERSON,
    ),
    cause(
        "kernel_not_built",
        (
            r"No compiled \w{1,60} for (?:a compute capability less than )?(?:CUDA device capability|current)[^\n]{0,80}",
            r"(?:cutlass|CUTLASS)[^\n]{0,200}(?:Error Internal|kErrorInternal|not supported|[Ii]nternal [Ee]rror)",
            r"RuntimeError: Error Internal",
            r"[Gg]ot cutlass error",
            r"Exception raised from cutlass_\w{1,60}",
            r"(?:not (?:compiled|built|supported) for|only supported on|requires?|[Oo]nly supports?) (?:arch |architecture )?(?:sm|SM)_?\d{2,3}\w?"
            r"[^\n]{0,60}",
            r"cudnnGraphNotSupportedError|No execution plans support the graph",
            r"Not implemented or built, mos?tly likely because the current",
            r"requires? GPUs? with (?:sm|SM)_?\d{2,3}",
            r"deep_gemm[^\n]{0,160}(?:Unknown|Unsupported|unsupported|Assertion error)",
            r"(?:marlin|machete|Marlin|Machete)[^\n]{0,80}(?:not supported|does not support|requires)[^\n]{0,80}",
            r"DeepGEMM[^\n]{0,80}(?:not supported|requires|Unsupported)",
        ),
        "The engine's image has no kernel for this quantisation on this card, or the one it has fails on it: {line}",
        "Use a newer version of the engine's image or another variant of the model; VLLM_DISABLED_KERNELS with the kernel's name in "
        "vllm_environment takes the next one.",
        PERSON,
    ),
    cause(
        "unsupported_ptx",
        (
            r"the provided PTX was compiled with an unsupported toolchain",
            r"no kernel image is available for execution on the device",
            r"cudaErrorNoKernelImageForDevice",
            r"(?:CUDA error|Triton Error \[CUDA\]): (?:device kernel image is invalid|invalid device function)",
        ),
        "The image's kernels do not run on this card with this driver.",
        "Use a newer driver, or an image that was built for the card.",
        PERSON,
    ),
    cause(
        "compiler_and_card",
        (
            r"ptxas (?:fatal|error)[^\n]{0,160}",
            r"Unsupported gpu architecture '?(?P<architecture>\w{1,30})",
            r"is not defined for option 'gpu-(?:name|architecture)'",
            r"PTX assembly aborted",
            r"LLVM ERROR: [^\n]{1,80}",
            r"PassManager::run failed",
            r"triton\.compiler\.errors\.CompilationError",
        ),
        (
            "The compiler in the engine's image does not know this card ({architecture}), so a kernel could not be compiled.",
            "The compiler in the engine's image could not compile a kernel for this card.",
        ),
        "Use a newer version of the engine's image, another attention backend, or another variant of the model.",
        PERSON,
        rank=GENERAL,
    ),
    cause(
        "no_nvcc",
        (
            r"Could not find nvcc[^\n]{0,120}",
            r"nvcc: (?:not found|command not found|No such file)",
            r"No such file or directory: '[^'\n]{0,100}nvcc'",
            r"CUDA_HOME environment variable is not set",
        ),
        "FlashInfer has to compile a kernel, and the engine's image has no nvcc.",
        "Use the full image (vllm/vllm-openai), or set VLLM_USE_FLASHINFER_SAMPLER=0 in vllm_environment and another attention backend.",
        FLAGS,
        flags=lambda caught, context: {"attention-backend": None} if context.has("attention-backend") else None,
    ),
    cause(
        "no_compiler",
        (
            r"Failed to find C compiler",
            r"No (?:working )?C(?:\+\+)? compiler",
            r"(?:gcc|g\+\+|cc1plus|clang): (?:not found|command not found|No such file)",
            r"No such file or directory: '(?:gcc|g\+\+|cc|c\+\+|ninja)'",
            r"fatal error: Python\.h: No such file",
            r"InvalidCxxCompiler",
            r"Command '\['[^'\n]{0,60}/(?:gcc|g\+\+|cc|c\+\+|clang)'[^\n]{0,300}returned non-zero",
        ),
        "A kernel has to be compiled, and the engine's image has no C compiler or not its headers.",
        "Use the engine's own image (vllm/vllm-openai), which has a compiler.",
        PERSON,
    ),
    cause(
        "attention_backend",
        (
            r"No valid attention backend found for",
            r"Selected backend \S{1,100} is not valid for this configuration",
            r"(?:head_size|Head size) \d{1,5} is not supported by[^\n]{0,60}",
            r"(?:Invalid|Unknown|Unsupported) attention backend[^\n]{0,80}",
            r"Unsupported head size \d{1,5}",
            r"Cannot use \w{1,40}(?:-\d)? backend for[^\n]{0,80}",
        ),
        "The attention backend asked for does not run with this card and model.",
        "Leave the choice of the backend to the engine.",
        FLAGS,
        flags=steps.backend_or_cache,
    ),
    cause(
        "card_too_new",
        (
            r"CUDA capability sm_\d{2,3} is not compatible with the current PyTorch installation",
            r"current PyTorch install supports CUDA capabilities",
        ),
        "The image's torch was not built for this card.",
        "Use a newer version of the engine's image (vllm_image).",
        PERSON,
        rank=GENERAL,
    ),
    cause(
        "card_too_old",
        (
            r"(?:requires?|needs|[Oo]nly supported on|at least|>=) [^\n]{0,60}compute capability (?:of )?(?:at least |>= ?)?(?P<needs>\d{1,2}\.\d)",
            r"is not supported on (?:Turing|Volta|Ampere|this GPU)[^\n]{0,60}",
            r"(?:requires?|[Oo]nly (?:supported|available) on|[Oo]nly supports?) [^\n]{0,40}(?:Hopper|Blackwell|Ada|Ampere)\b",
            r"compute capability (?P<has>\d{1,2}\.\d) [^\n]{0,60}(?:is not supported|not supported|too (?:old|low))",
        ),
        "This card's generation cannot run what the engine wants to: {line}",
        "Choose another variant of the model or another attention backend, or a plan with a newer card.",
        PERSON,
        rank=GENERAL,
    ),
    cause(
        "heads_not_divisible",
        r"Total number of attention heads \((?P<heads>\d{1,6})\) must be divisible by tensor parallel size \((?P<gpus>\d{1,6})\)",
        "The model's {heads} attention heads do not divide among {gpus} GPUs.",
        "Use a number of GPUs that divides the heads.",
        FLAGS,
        flags=steps.parallel_that_divides,
    ),
    cause(
        "shards_do_not_divide",
        (
            r"(?:output|input)_size of [^\n]{1,60} = (?P<size>\d{1,9}) is not divisible by weight quantization block_[nk] = (?P<block>\d{1,6})",
            r"size is not aligned with the quantized weight shape",
            r"(?:output|input)_size_per_partition = (?P<size>\d{1,9}) is not divisible by[^\n]{0,60}(?P<block>\d{1,6})",
            r"reducing tensor_parallel_size",
            r"too large tensor parallel size",
            r"AssertionError: (?P<size>\d{1,9}) is not divisible by (?P<block>\d{1,6})",
            r"(?:must|should) be divisible by (?:the )?(?:tensor parallel|tp[_ ]size|world)[^\n]{0,60}",
        ),
        (
            "The model's weights do not divide among so many GPUs: {size} is not divisible by {block}.",
            "The model's weights do not divide among so many GPUs.",
        ),
        "Use fewer GPUs for it (tensor parallel 2 or 1), expert parallel, or another variant of the model.",
        FLAGS,
        flags=steps.fewer_gpus,
    ),
    cause(
        "more_gpus_than_there_are",
        (
            r"World size \((?P<wanted>\d{1,6})\) is larger than the number of available GPUs \((?P<there>\d{1,6})\)",
            r"larger than the number of available GPUs \((?P<there>\d{1,6})\)",
            r"CUDA error: invalid device ordinal",
        ),
        (
            "The engine was told to use {wanted} GPUs, and there are {there}.",
            "The engine was told to use more GPUs than there are ({there}).",
            "The engine was told to use more GPUs than there are.",
        ),
        "Choose a plan with more GPUs; when the plan has them, look for a lost one.",
        FLAGS,
        flags=steps.parallel_that_fits,
    ),
)

MEMORY = (
    cause(
        "context_too_long",
        (
            r"max seq len \((?P<asked>\d{1,9})\), \((?P<needs>[\d.]{1,20}) GiB KV cache is\s{1,40}needed.{0,400}?KV cache memory "
            r"\((?P<room>[\d.]{1,20}) GiB\)(?:[^\n]{0,80}?estimated maximum model length is (?P<longest>\d{1,9}))?",
            r"max seq len \((?P<asked>\d{1,9})\) is larger than the maximum number of tokens that can be stored in KV cache "
            r"\((?P<holds>\d{1,9})\)",
        ),
        (
            "The context of {asked} tokens needs {needs} GiB of KV cache, and the cards have {room} GiB left.",
            "The context of {asked} tokens is too long: the cards hold a cache of {holds}.",
            "The context is too long for the cards.",
        ),
        "Ask for a shorter context, a smaller model or a larger plan.",
        FLAGS,
        flags=steps.shorter_context,
    ),
    cause(
        "no_cache_memory",
        (r"No available memory for the cache blocks", r"Cannot auto-fit max_model_len"),
        "The model's weights leave no memory for the KV cache on this plan.",
        "Choose a smaller or quantised model, or a larger plan.",
        FLAGS,
        flags=steps.more_room,
    ),
    cause(
        "gpu_not_free",
        r"Free memory on device \S{1,40} \((?P<free>\d{1,6}(?:\.\d{1,6})?)/(?P<total>\d{1,6}(?:\.\d{1,6})?) GiB\) on startup is less than desired",
        "Only {free} of {total} GiB of GPU memory are free: something else uses the card.",
        "Wait until the earlier container has ended; otherwise find out what uses the card.",
        AGAIN,
        flags=steps.share_that_is_free,
    ),
    cause(
        "memory_profiling",
        r"Error in memory profiling\. Initial free memory",
        "Another process took or freed GPU memory while the engine measured it.",
        "Restart the engine when the card is free.",
        AGAIN,
    ),
    cause(
        "too_many_sequences",
        r"max_num_seqs \((?P<requests>\d{1,9})\) exceeds available Mamba cache blocks \((?P<there>\d{1,9})\)",
        "The engine was told to serve {requests} requests at once, and its memory holds the state of {there}.",
        "Serve fewer requests at once.",
        FLAGS,
        flags=steps.sequences_that_fit,
    ),
    cause(
        "oom_sampler",
        r"CUDA out of memory occurred when warming up sampler with (?P<requests>\d{1,9}) dummy requests",
        "The GPU ran out of memory while the engine warmed up for {requests} requests at once.",
        "Serve fewer requests at once.",
        FLAGS,
        flags=steps.fewer_sequences,
        check="ctr.oom",
    ),
    cause(
        "oom",
        (
            r"(?:torch\.(?:cuda\.)?OutOfMemoryError: )?CUDA out of memory\. Tried to allocate [\d.]{1,20} [KMG]iB",
            r"torch\.(?:cuda\.)?OutOfMemoryError",
            r"CUDA error: out of memory",
            r"cudaErrorMemoryAllocation",
            r"Triton Error \[CUDA\]: out of memory",
            r"CUBLAS_STATUS_ALLOC_FAILED",
            r"CUDA (?:driver )?error: (?:CUDA_ERROR_)?OUT_OF_MEMORY",
            r"\bNCCL[^\n]{0,80}Cuda failure 2 'out of memory'",
        ),
        "The GPU ran out of memory.",
        "Choose a smaller model, a shorter context or a larger plan.",
        FLAGS,
        flags=steps.smaller_batches,
        check="ctr.oom",
    ),
    cause(
        "host_memory",
        (
            r"\[Errno 12\] Cannot allocate memory",
            r"std::bad_alloc",
            r"DefaultCPUAllocator: (?:can't|not enough)",
            r"^MemoryError",
            r"Too large swap space",
            r"Cannot allocate memory \((?:os error )?12\)",
        ),
        "The VM's memory (not the GPU's) is too small for the engine.",
        "Take a plan with more memory, a smaller model, or no CPU offload.",
        PERSON,
    ),
    cause(
        "shared_memory",
        (
            r"Error while creating shared memory segment /dev/shm",
            r"No space left on device[^\n]{0,300}/dev/shm",
            r"\bBus error\b",
            r"unable to (?:open|write to) shared memory object",
            r"insufficient shared memory \(shm\)",
        ),
        "The container's shared memory is too small.",
        "Give the container the host's IPC namespace (ipc: host), and with it all of the machine's /dev/shm.",
        ("recreate_container", "alert"),
        exit_codes=(135,),
    ),
)

# An OOM is about weights, activations, graphs or requests, depending on when it comes: the newest marker before it, or the functions
# its traceback names where the log begins too late.
OOM_PLACES: tuple[tuple[re.Pattern[str], Cause], ...] = (
    (
        re.compile(
            r"Application startup complete|Engine 000: Avg prompt throughput|\bexecute_model\b(?!.{0,300}profile_run)"
        ),
        cause(
            "oom_running",
            (),
            "The GPU ran out of memory while serving.",
            "Give the engine a smaller share of the memory and set PYTORCH_ALLOC_CONF=expandable_segments:True.",
            FLAGS,
            flags=steps.smaller_share,
            check="ctr.oom",
        ),
    ),
    (
        re.compile(r"Capturing CUDA graphs|\bcapture_model\b"),
        cause(
            "oom_graphs",
            (),
            "The GPU ran out of memory while the engine captured CUDA graphs.",
            "Capture fewer graphs, or none.",
            FLAGS,
            flags=steps.smaller_graphs,
            check="ctr.oom",
        ),
    ),
    (
        re.compile(
            r"Encoder cache will be initialized|profile run for multi-modal|\bprofile_multimodal_encoder\b|\b_execute_mm_encoder\b|"
            r"too short to hold the multi-modal embeddings"
        ),
        cause(
            "oom_images",
            (),
            "The GPU ran out of memory in the engine's trial run with images or video.",
            "Serve text only (language-model-only), or allow fewer images and no video per prompt (limit-mm-per-prompt); smaller batches "
            "need less too.",
            FLAGS,
            flags=steps.smaller_batches,
            check="ctr.oom",
        ),
    ),
    (
        re.compile(r"Model loading took|Available KV cache memory|\bprofile_run\b|\bdetermine_available_memory\b"),
        cause(
            "oom_profiling",
            (),
            "The GPU ran out of memory during the engine's trial run.",
            "Let the engine work on smaller batches.",
            FLAGS,
            flags=steps.smaller_batches,
            check="ctr.oom",
        ),
    ),
    (
        re.compile(r"Starting to load model|Loading model from scratch|\bload_model\b"),
        cause(
            "oom_loading",
            (),
            "The model's weights do not fit into the GPU memory.",
            "Choose a smaller or quantised variant, or a plan with more GPU memory.",
            PERSON,
            check="ctr.oom",
        ),
    ),
)

# Several GPUs that wait for each other in silence: no text says so.
SILENT = cause(
    "gpus_do_not_connect",
    (),
    "The engine hangs while connecting the GPUs: NCCL waits for a connection between the cards that this VM does not have.",
    "Set NCCL_P2P_DISABLE=1 in vllm_environment and disable-custom-all-reduce: true; restart it then.",
    ONCE,
)

SEVERAL = (
    cause(
        "no_peer_access",
        (
            r"peer access is not supported between these two devices",
            r"Failed: Cuda error [^\n]{0,100}custom_all_reduce[^\n]{0,80}",
            r"custom_all_reduce\.cuh:\d{1,6}[^\n]{0,80}",
        ),
        "The cards cannot reach each other's memory in this VM.",
        "Set NCCL_P2P_DISABLE=1 (vllm_environment) and switch the custom all-reduce off.",
        AGAIN,
        flags=steps.setting(disable_custom_all_reduce=True),
    ),
    cause(
        "nccl_memory",
        r"Segfault encountered[^\0]{0,500}?(?:ncclCuMem|cuMemCreate|ncclCudaLibraryInit)",
        "NCCL, which connects the GPUs, crashed when it asked the driver for memory.",
        "Set NCCL_CUMEM_HOST_ENABLE=0 and NCCL_P2P_DISABLE=1 in vllm_environment.",
        PERSON,
    ),
    cause(
        "nccl_timeout",
        (
            r"Watchdog caught collective operation timeout",
            r"ran for \d{1,12} milliseconds before timing out",
            r"ProcessGroupNCCL's watchdog got stuck",
            r"NCCL watchdog thread terminated",
            r"Timed out (?:initializing process group|waiting for clients)",
        ),
        "The GPUs waited for each other until they timed out (NCCL).",
        "Restart the container; if it happens again, set NCCL_P2P_DISABLE=1 in vllm_environment and disable-custom-all-reduce: true.",
        AGAIN,
        rank=GENERAL,
    ),
    cause(
        "nccl",
        (
            r"NCCL error: (?:unhandled (?:system|cuda) error|internal error|remote process exited|invalid usage|invalid argument|in flight)",
            r"ncclSystemError",
            r"ncclUnhandledCudaError",
            r"nccl(?:InternalError|InvalidUsage|RemoteError)",
            r"DistBackendError",
            r"NCCL WARN [^\n]{0,120}",
        ),
        "The GPUs could not talk to each other.",
        "Give the container the host's IPC namespace; then set NCCL_P2P_DISABLE=1.",
        AGAIN,
        rank=FOLLOWS,
    ),
)

CUDA = (
    cause(
        "gpu_lost",
        (
            r"GPU has fallen off the bus",
            r"GPU is lost",
            r"CUDA-capable device\(s\) is/are busy or unavailable",
            r"cudaErrorDevicesUnavailable",
        ),
        "The engine lost a GPU.",
        "Reboot the VM; if it happens again, replace it.",
        AGAIN_THEN_REBOOT,
        check="ctr.cuda",
    ),
    cause(
        "ecc_error",
        (r"CUDA error: uncorrectable ECC error encountered", r"cudaErrorECCUncorrectable"),
        "The GPU reported an uncorrectable memory error (ECC).",
        "Reboot the VM and look at the remapped rows.",
        AGAIN_THEN_REBOOT,
        check="ctr.cuda",
    ),
    cause(
        "launch_failure",
        (r"CUDA error: unspecified launch failure", r"cudaErrorLaunchFailure", r"CUDA error: the launch timed out"),
        "A kernel of the engine crashed on the GPU (CUDA error: unspecified launch failure).",
        "Restart the container, and look for an Xid in the kernel's log; reboot the VM when nvidia-smi shows ERR! or it happens again.",
        AGAIN_THEN_REBOOT,
        check="ctr.cuda",
    ),
    cause(
        "illegal_memory_access",
        (
            r"CUDA error: an illegal memory access was encountered",
            r"cudaErrorIllegalAddress",
            r"CUDA_ERROR_ILLEGAL_ADDRESS",
        ),
        "A kernel of the engine read or wrote memory that is not its own.",
        "Restart the engine without CUDA graphs once; if it happens again, use another attention backend or image.",
        AGAIN,
        flags=steps.without_graphs,
        check="ctr.cuda",
    ),
    cause(
        "misaligned_address",
        (
            r"CUDA error: misaligned address",
            r"cudaErrorMisalignedAddress",
            r"CUDA error: an illegal instruction was encountered",
            r"CUDA error: (?:operation not supported on global/shared address space|invalid program counter|hardware stack error)",
        ),
        "A kernel of the engine is wrong for this card (CUDA error: misaligned address or illegal instruction).",
        "Restart the engine without CUDA graphs (enforce-eager) once; if it happens again, use another attention backend or image.",
        AGAIN,
        flags=steps.without_graphs,
        check="ctr.cuda",
    ),
    cause(
        "device_assert",
        (r"CUDA error: device-side assert triggered", r"cudaErrorAssert", r"Assertion `[^`\n]{1,120}` failed\.?$"),
        "A kernel of the engine failed an assertion on its input.",
        "Restart the engine.",
        AGAIN,
        check="ctr.cuda",
    ),
    cause(
        "cuda_unknown_error",
        (r"CUDA error: unknown error", r"CUDA unknown error", r"Error 999: unknown error"),
        "CUDA failed without saying why.",
        "Restart the engine; if it happens again, reboot the VM.",
        AGAIN_THEN_REBOOT,
        check="ctr.cuda",
    ),
    cause(
        "cuda_start",
        (
            r"cudaGetDeviceCount\(\)[^\n]{0,200}?(?P<said>Error \d{1,5}: [^\n(]{1,120})",
            r"CUDA driver initialization failed[^\n]{0,60}",
            r"CUDA error: (?P<said>initialization error|driver shutting down|OS call failed[^\n]{0,40})",
        ),
        ("CUDA could not be started: {said}.", "CUDA could not be started."),
        "Check whether nvidia-smi works on the VM; reboot the VM, and install the driver again when that does not help.",
        AGAIN_THEN_REBOOT,
        rank=GENERAL,
    ),
    cause(
        "cuda_library",
        (
            r"(?P<said>CUBLAS_STATUS_\w{1,40})",
            r"(?P<said>CUDNN_STATUS_\w{1,40})",
            r"(?P<said>CUSPARSE_STATUS_\w{1,40}|CUSOLVER_STATUS_\w{1,40})",
            r"cuDNN error: (?P<said>[^\n]{1,80})",
        ),
        "A CUDA library failed in the engine ({said}): it lacks GPU memory, or does not fit the card.",
        "Restart the container; if it happens again, give the engine a smaller share of the memory or use another version of the image.",
        AGAIN,
        rank=GENERAL,
    ),
    cause(
        "cuda_error",
        (
            r"CUDA (?:driver |runtime )?error: (?P<said>(?!CU[A-Z]{2,8}_STATUS)[^\n]{1,120})",
            r"\bCUDA Error: (?P<said>[^\n]{1,120})",
            r"Triton Error \[CUDA\]: (?P<said>[^\n]{1,120})",
            r"\bCuda failure (?P<said>[^\n]{1,80})",
        ),
        "CUDA failed in the engine: {said}",
        "Restart the container, and look for an Xid in the kernel's log; if it happens again, use another attention backend or image.",
        AGAIN,
        rank=GENERAL,
        check="ctr.cuda",
    ),
)

RUNNING = (
    cause(
        "compile_cache",
        (
            r"vLLM failed to compile the model",
            r"remove ~/\.cache/vllm/torch_compile_cache",
            r"Expected tensors only, but got: <class 'int'>",
        ),
        "The cache of compiled kernels is stale.",
        "Delete torch_compile_cache and start again.",
        AGAIN,
    ),
    cause(
        "jit_compile",
        (
            r"nvcc fatal",
            r"ninja: build stopped",
            r"[Nn]inja build failed",
            r"FlashInfer [^\n]{0,120}?JIT[^\n]{0,120}?(?:fail|error)",
            r"Error building extension",
        ),
        "A kernel could not be compiled on the VM.",
        "Start again with MAX_JOBS=2, or choose another attention backend or version of the image.",
        AGAIN,
        rank=GENERAL,
    ),
    cause(
        "graph_compiler",
        (
            r"torch\._(?:dynamo|inductor)\.exc\.\w{1,60}",
            r"BackendCompilerFailed",
            r"(?:InductorError|LoweringException|InternalTorchDynamoError)\b[^\n]{0,120}",
        ),
        "torch could not compile the model into a graph: {line}",
        "Start it without graphs (enforce-eager), or use another version of the engine's image.",
        FLAGS,
        flags=steps.without_graphs,
        rank=GENERAL,
    ),
    cause(
        "start_timeout",
        r"Timed out waiting for engine core processes to start",
        "The engine did not start in time.",
        "Give it more time (VLLM_ENGINE_READY_TIMEOUT_S) if its phases went on.",
        AGAIN,
    ),
    cause(
        "rpc_timeout",
        (
            r"TimeoutError: RPC call to \S{1,100} timed out",
            r"Engine iteration timed out",
            r"EXECUTE_MODEL_TIMEOUT[^\n]{0,60}",
        ),
        "A worker of the engine stopped answering.",
        "Restart the container; again within a day: without speculative decoding.",
        AGAIN,
    ),
    cause(
        "grammar",
        (
            r"/cpp/\w{0,60}(?:grammar|matcher|compiler|structural)\w{0,60}\.(?:cc|cpp):\d{1,6}:? (?P<said>[^\n]{1,160})",
            r"(?P<said>GrammarMatcher[^\n]{0,100})",
            r"File \"[^\"\n]{0,200}/(?:xgrammar|llguidance|outlines_core)/[^\"\n]{0,120}\"",
            r"File \"[^\"\n]{0,200}/structured_output/backend_\w{1,40}\.py\"",
        ),
        (
            "The engine failed on the grammar of a structured output: {said}",
            "The engine failed on the grammar of a structured output: {error}",
            "The engine failed on the grammar of a structured output.",
        ),
        "Restart the container; then send no such schema, use another backend (structured-outputs-config) or a newer version of the image.",
        AGAIN,
        rank=GENERAL,
    ),
    cause(
        "speculation_failed",
        r"File \"[^\"\n]{0,200}/(?:v1/)?spec_decode/[^\"\n]{0,120}\"",
        ("The engine's speculative decoding failed: {error}", "The engine's speculative decoding failed."),
        "Restart the container; if it happens again, start it without speculative decoding (speculative-config).",
        AGAIN,
        rank=FOLLOWS,
        flags=steps.without_speculation,
    ),
    cause(
        "crash",
        (
            r"Segfault encountered",
            r"Fatal Python error: (?P<said>(?:Segmentation fault|Aborted|Bus error|Floating[- ]point exception|[^\n]{1,60}))",
            r"\b(?P<said>Segmentation fault)\b",
            r"(?P<said>SIG(?:SEGV|ABRT|FPE|BUS)) received",
            r"(?P<said>terminate called after throwing an instance of '[^'\n]{1,100}')",
            r"(?P<said>free\(\): invalid \w{1,20}|double free or corruption[^\n]{0,20}|realloc\(\): invalid \w{1,20}|malloc\(\): [^\n]{1,40}|"
            r"corrupted (?:size|double-linked)[^\n]{0,30}|munmap_chunk\(\)[^\n]{0,30}|stack smashing detected)",
            r"(?:EngineCore\w{0,10}|Worker\w{0,10})'?: -(?P<said>11|6|7|8)\b",
        ),
        (
            "The engine crashed in compiled code: {said}.",
            "The engine crashed in compiled code (segmentation fault, segfault).",
        ),
        "Restart the container; if it happens again, use another version of the engine's image or another attention backend. It was no "
        "kill for want of memory.",
        AGAIN,
        rank=GENERAL,
        exit_codes=(139,),
    ),
    cause(
        "cpu_too_old",
        (r"Illegal instruction", r"Fatal Python error: Illegal instruction", r"SIGILL"),
        "The VM's processor does not have instructions that the engine's image uses.",
        "Use another version of the engine's image, or another plan.",
        PERSON,
        exit_codes=(132,),
    ),
    cause(
        "engine_hung",
        r"No available shared memory broadcast block found in \d{1,9} seconds",
        "The engine's processes wait for each other.",
        "Restart the container.",
        AGAIN,
        rank=FOLLOWS,
        passes=True,
    ),
)
