# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What vLLM's log says: how far a start is, and why the engine stopped. Texts of vLLM 0.32 and 0.33.

The end of a failed log is generic ("see root cause above"), so the first explanation of the last run counts. A cause
comes with the engine flags that would help, computed from the engine's own figures, where flags can help at all.
"""

from __future__ import annotations

import ast
import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Callable

from ..core.bounded import newest, short_lines

# Newest phase last; the last marker that is found names the phase.
_PHASES = (
    ("starting", re.compile(r"non-default args")),
    ("loading the configuration", re.compile(r"Resolved architecture|Using max model len")),
    ("starting the engine", re.compile(r"Initializing a V1 LLM engine")),
    ("connecting the GPUs", re.compile(r"world_size=\d{1,6} rank=\d{1,6} .{0,200}backend=")),
    ("loading the weights", re.compile(r"Starting to load model|Loading model from scratch")),
    (
        "compiling",
        re.compile(
            r"for vLLM's torch\.compile|Compiling a graph|Dynamo bytecode transform|Directly load the compiled graph|"
            r"torch\.compile took"
        ),
    ),
    (
        "measuring memory",
        re.compile(r"Initial profiling/warmup run|Available KV cache memory|(?:GPU|CPU) KV cache size"),
    ),
    ("warming up", re.compile(r"Capturing CUDA graphs|Graph capturing finished|kernel warmup starting|init engine")),
    ("starting the server", re.compile(r"Starting vLLM server|Application startup complete")),
)
_BARS = (
    (
        "loading the weights",
        re.compile(
            r"checkpoint shards: {1,9}(\d{1,3})% Completed \| (\d{1,9})/(\d{1,9})(?: \[[\d:]{1,20}<([\d:]{1,20}))?"
        ),
    ),
    (
        "warming up",
        re.compile(
            r"Capturing CUDA graphs[^\r\n%]{0,100}?(\d{1,3})%\|[^|\n]{0,200}\| (\d{1,9})/(\d{1,9})(?: \[[\d:]{1,20}<([\d:]{1,20}))?"
        ),
    ),
)
_SIZE = re.compile(r"Checkpoint size: (\d{1,9}\.\d{1,9} [KMGT]iB)")

_ANSI = re.compile(r"\x1b\[[0-9;?]{0,40}[A-Za-z]|\x1b\][^\x07\x1b\n]*\x07")
# What stands before the text: the service (Compose), a time (docker logs -t), the process, the level and the source.
_PREFIX = re.compile(
    r"^(?:[\w.-]{1,64}-\d{1,5} {1,64}\| )?(?:\d{4}-\d\d-\d\dT[\d:.]{1,20}Z )?"
    r"(?:\((?:APIServer|EngineCore|Worker|VllmWorker)[^\s)]{0,80}(?: pid=\d{1,10})?\) )?"
    r"(?:(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) \d\d-\d\d \d\d:\d\d:\d\d (?:\[[^\]\n]*\] ?)?)?",
    re.MULTILINE,
)
# Lines that quote a failure without being one.
_HARMLESS = re.compile(
    r"^.*(?:Found ulimit of|This can cause fd limit errors|Custom allreduce is disabled because|"
    r"cannot schedule new futures after shutdown).*$|^[^\S\n]*raise .*$",
    re.MULTILINE,
)
_RUN = re.compile(r"^.*(?:non-default args: |version \d{1,9}\.\d{1,9}\.\d\S{0,80}$)", re.MULTILINE)
_STOPPED = re.compile(r"\[shutdown\] API server: shutdown triggered")
# What is older than this many characters is about earlier runs.
_LONGEST = 600_000
_READY = re.compile(r"Application startup complete")
# Said by an engine that serves, also where the beginning of its log is cut off.
_SERVING = re.compile(_READY.pattern + r'|Engine \d+: Avg prompt throughput|HTTP/1\.1" \d')
_ARGUMENTS = re.compile(r"^.*?non-default args: (\{.*\})", re.MULTILINE)


@dataclass(frozen=True)
class Diagnosis:
    """One explanation of a failure.

    :param slug: its name, for programs.
    :param groups: what the pattern caught, as text.
    :param parameters: engine flags to change, one step; None for a value takes the flag away. None when no flag helps.
    :param healable: whether trying something by program can help; otherwise a person has to decide.
    :param line: the line that says so.
    :param fetch: whether the model's files have to be fetched again first: a restart alone finds them as they are.
    """

    slug: str
    sentence: str
    remedy: str
    groups: tuple[str, ...] = ()
    parameters: dict[str, Any] | None = None
    healable: bool = False
    line: str = ""
    fetch: bool = False


@dataclass(frozen=True)
class Progress:
    phase: str
    fraction: float | None = None
    detail: str = ""


@dataclass(frozen=True)
class _Context:
    """What the last run says about itself: its flags and what came before the failure."""

    arguments: dict[str, Any]
    before: str

    def number(self, flag: str, default: int) -> int:
        value = self.arguments.get(flag.replace("-", "_"))
        return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else default

    def share(self, flag: str, default: float) -> float:
        value = self.arguments.get(flag.replace("-", "_"))
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else default

    def has(self, flag: str) -> bool:
        return bool(self.arguments.get(flag.replace("-", "_")))


_Parameters = Callable[["re.Match[str]", _Context], "dict[str, Any] | None"]


@dataclass(frozen=True)
class _Cause:
    slug: str
    pattern: re.Pattern[str]
    sentence: str
    remedy: str
    parameters: _Parameters | None = None
    healable: bool = False
    fetch: bool = False
    # 0 explains; 1 may be a consequence or pass by itself; 2 only says that something stopped.
    rank: int = 0


def _cause(slug: str, pattern: str, sentence: str, remedy: str, **more: Any) -> _Cause:
    return _Cause(slug, re.compile(pattern, re.DOTALL), sentence, remedy, **more)


# vLLM's own default is 0.92 in these versions.
_MEMORY_SHARE = 0.92
_MEMORY_SHARE_FLOOR = 0.70
_SHORTEST_CONTEXT = 8192


def _shorter_context(match: re.Match[str], _context: _Context) -> dict[str, Any] | None:
    if match[4] is None:
        return None
    length = math.floor(int(match[4]) * 0.97 / 1024) * 1024
    return {"max-model-len": length} if length >= _SHORTEST_CONTEXT else None


def _more_room(_match: re.Match[str], context: _Context) -> dict[str, Any] | None:
    """Room for the cache: first what the graphs take, then what nobody else uses."""
    if not context.has("enforce-eager"):
        return {"enforce-eager": True}
    if context.share("gpu-memory-utilization", _MEMORY_SHARE) < 0.95:
        return {"gpu-memory-utilization": 0.95}
    return None


def _smaller_batches(_match: re.Match[str], context: _Context) -> dict[str, Any] | None:
    batched = context.number("max-num-batched-tokens", 8192)
    if batched > 1024:
        return {"max-num-batched-tokens": max(1024, batched // 2)}
    sequences = context.number("max-num-seqs", 256)
    if sequences > 8:
        return {"max-num-seqs": 32 if sequences > 32 else 8}
    return None


def _smaller_graphs(_match: re.Match[str], context: _Context) -> dict[str, Any] | None:
    """The share of memory does not help here: graphs are allocated outside of it."""
    size = context.number("max-cudagraph-capture-size", 512)
    for smaller in (64, 16, 4):
        if size > smaller:
            return {"max-cudagraph-capture-size": smaller}
    if context.number("max-num-seqs", 256) > 8:
        return {"max-num-seqs": 8}
    return None if context.has("enforce-eager") else {"enforce-eager": True}


def _smaller_share(_match: re.Match[str], context: _Context) -> dict[str, Any] | None:
    share = round(context.share("gpu-memory-utilization", _MEMORY_SHARE) - 0.03, 2)
    return {"gpu-memory-utilization": share} if share >= _MEMORY_SHARE_FLOOR else None


def _fewer_sequences(match: re.Match[str], _context: _Context) -> dict[str, Any] | None:
    sequences = int(match[1])
    return {"max-num-seqs": 8 if sequences <= 64 else max(16, sequences // 4)} if sequences > 8 else None


def _share_that_is_free(match: re.Match[str], _context: _Context) -> dict[str, Any] | None:
    free, total = float(match[1]), float(match[2])
    share = math.floor((free / total - 0.02) * 100) / 100 if total else 0.0
    return {"gpu-memory-utilization": share} if share >= 0.80 else None


def _parallel_that_fits(match: re.Match[str], _context: _Context) -> dict[str, Any] | None:
    fitting = [size for size in (1, 2, 4, 8) if size <= int(match[2])]
    return {"tensor-parallel-size": fitting[-1]} if fitting else None


def _parallel_that_divides(match: re.Match[str], _context: _Context) -> dict[str, Any] | None:
    heads, current = int(match[1]), int(match[2])
    return {"tensor-parallel-size": max(size for size in (1, 2, 4) if heads % size == 0 and size <= max(1, current))}


def _unknown_flags(match: re.Match[str], _context: _Context) -> dict[str, Any] | None:
    flags = [word.removeprefix("--").split("=")[0] for word in match[1].split() if word.startswith("--")]
    return dict.fromkeys(flags) if flags else None


def _set(**flags: Any) -> _Parameters:
    return lambda _match, _context: {name.replace("_", "-"): value for name, value in flags.items()}


_OOM = (
    r"(?:torch\.(?:cuda\.)?OutOfMemoryError: )?CUDA out of memory\. Tried to allocate ([\d.]{1,20} [KMG]iB)"
    r"(?:\. GPU (\d{1,4}) has a total capacity of ([\d.]{1,20} [MG]iB) of which ([\d.]{1,20} [KMG]iB) is free)?"
    r"|torch\.(?:cuda\.)?OutOfMemoryError|CUDA error: out of memory"
)

# In the order in which one explains another: host and driver, container, image, hub, configuration, memory, run time.
_CAUSES = (
    _cause(
        "driver_too_old",
        r"unsatisfied condition: cuda>=([\d.]{1,20})|NVIDIA driver on your system is too old|Error 803: system has unsupported "
        r"display driver",
        "The GPU driver is too old for the engine's image.",
        "Install driver 580 or newer and reboot.",
    ),
    _cause(
        "driver_mismatch",
        r"Failed to initialize NVML: Driver/library version mismatch",
        "The driver's libraries do not match its loaded module.",
        "Reboot the VM.",
        healable=True,
    ),
    _cause(
        "toolkit_missing",
        r'could not select device driver "" with capabilities: \[\[gpu\]\]|unresolvable CDI devices? (\S{1,200})',
        "Docker does not know how to pass GPUs to a container.",
        "Install and configure nvidia-container-toolkit, then restart docker.service.",
        healable=True,
    ),
    _cause(
        "container_lost_gpu",
        r"Failed to initialize NVML: Unknown Error",
        "The container's access to the GPUs was taken away while it ran.",
        "Create the container anew.",
        healable=True,
    ),
    _cause(
        "container_sees_no_gpu",
        r"Failed to infer device type, please set the environment variable|No CUDA GPUs are available|"
        r"libcuda\.so\.1: cannot open shared object file",
        "The container sees no GPU.",
        "Create the container anew with the GPUs passed to it.",
        healable=True,
    ),
    _cause(
        "gpu_lost",
        r"GPU has fallen off the bus|GPU is lost|CUDA error: unspecified launch failure|"
        r"CUDA-capable device\(s\) is/are busy or unavailable",
        "The engine lost a GPU.",
        "Reboot the VM; when it comes again, replace it.",
        healable=True,
    ),
    _cause(
        "ecc_error",
        r"CUDA error: uncorrectable ECC error encountered",
        "The GPU reported an uncorrectable memory error.",
        "Reboot the VM and look at the remapped rows.",
        healable=True,
    ),
    _cause(
        "unsupported_ptx",
        r"the provided PTX was compiled with an unsupported toolchain|no kernel image is available for execution on the device",
        "The image's kernels do not run on this card with this driver.",
        "Use a newer driver, or an image that was built for the card.",
    ),
    _cause(
        "illegal_memory_access",
        r"CUDA error: an illegal memory access was encountered",
        "A kernel of the engine read or wrote memory that is not its own.",
        "Restart the engine without CUDA graphs once; if it comes again, use another attention backend or image.",
        parameters=_set(enforce_eager=True),
        healable=True,
    ),
    _cause(
        "device_assert",
        r"CUDA error: device-side assert triggered",
        "A kernel of the engine found its input impossible.",
        "Restart the engine.",
        healable=True,
    ),
    _cause(
        "cuda_unknown_error",
        r"CUDA error: unknown error|CUDA unknown error",
        "CUDA failed without saying why.",
        "Restart the engine; if it comes again, reboot the VM.",
        healable=True,
    ),
    _cause(
        "gated_model",
        r"GatedRepoError|Cannot access gated repo for url (\S{1,300})|Access to model (\S{1,200}) is restricted|"
        r"403 Client Error[^\n]{0,400}huggingface\.co",
        "The model is gated, and the token given may not read it.",
        "Accept the model's licence on its page and give a token of the same account, or choose a model without a gate.",
    ),
    _cause(
        "model_not_found",
        r"RepositoryNotFoundError|Repository Not Found for url: (\S{1,300})|HFValidationError: Repo id must(?![^\n]{0,600}/hub/models--)|"
        r"is not a local folder and is not a valid model identifier",
        "The model does not exist, or is private.",
        "Check its id; for a private model give a token.",
    ),
    _cause(
        "rate_limited",
        r"429 (?:Client Error: )?Too Many Requests(?:[^\n]{0,400}?Retry after (\d{1,9}) seconds)?",
        "The model hub limits the rate of downloads.",
        "Wait and try again; a token raises the limit.",
        healable=True,
        rank=1,
    ),
    _cause(
        "model_not_cached",
        # A folder of the cache that is gone is taken for the id of a model.
        r"LocalEntryNotFoundError|Cannot find an appropriate cached snapshot folder|HFValidationError: [^\n]{0,600}/hub/models--",
        "The model is not on the disk completely, and the engine may not download.",
        "Download the model again; the download goes on where it stopped.",
        healable=True,
        fetch=True,
    ),
    _cause(
        "network",
        r"ReadTimeout(?:Error)?\b|(?:requests\.exceptions\.)?ConnectionError\b|MaxRetryError|Temporary failure in name resolution",
        "The network or the model hub did not answer.",
        "Try again; the download goes on where it stopped.",
        healable=True,
        rank=1,
    ),
    _cause(
        "disk_full",
        r"Not enough free disk space to download the file|\[Errno 28\] No space left on device(?![^\n]{0,300}/dev/shm)",
        "The disk is full.",
        "Remove images and models that are not in use, or take a plan with a larger disk.",
    ),
    _cause(
        "corrupt_weights",
        r"SafetensorError: Error while deserializing header: ([^\n]{0,300})|HeaderTooLarge|MetadataIncompleteBuffer",
        "A file of the model's weights is damaged.",
        "Delete the damaged file and download it again.",
        healable=True,
        fetch=True,
    ),
    _cause(
        "no_weights",
        r"Cannot find any model weights with `([^`\n]{0,200})`",
        "The model's folder has no weights that the engine can load.",
        "Choose a repository with safetensors files.",
    ),
    _cause(
        "too_many_open_files",
        r"\[Errno 24\] Too many open files",
        "The engine ran out of file descriptors.",
        "Raise the container's limit of open files to 65535.",
        healable=True,
    ),
    _cause(
        "unknown_flag",
        r"error: unrecognized arguments: ([^\n]{0,1000})",
        "The engine does not know the option {0}.",
        "Remove the option, or use a version of the engine that has it.",
        parameters=_unknown_flags,
    ),
    _cause(
        "bad_argument",
        r"error: argument (\S{1,100}): ([^\n]{0,300})",
        "The engine does not accept the value of {0}: {1}.",
        "Correct the option.",
    ),
    _cause(
        "unknown_architecture",
        r"Model architectures \[([^\]\n]{0,300})\] (?:are not supported for now|failed to be inspected)|"
        r"has model type `?(\w[\w.-]{0,100})`? but Transformers does not recognize this architecture|"
        r"was supported in vLLM until v(\S{1,40})|not supported in-tree anymore",
        "This version of the engine does not know the model's architecture.",
        "Choose another model, or an engine version that supports it.",
    ),
    _cause(
        "remote_code",
        r"contains custom code|requires you to execute the|Failed to load the model config\. If the model is a custom model|"
        r"(?:sett?(?:ing)?|pass(?:ing)?|option|argument) `?trust_remote_code=True",
        "The model wants to run its own code.",
        "Choose a model of the catalogue; running a model's own code is never switched on by itself.",
    ),
    _cause(
        "tool_parser",
        r"invalid tool call parser: (\S{1,100}) \(chose from|--enable-auto-tool-choice requires --tool-call-parser",
        "The engine has no such tool-call parser.",
        "Use one of the parsers that the log lists, or none.",
        parameters=_set(tool_call_parser=None, enable_auto_tool_choice=None),
        healable=True,
    ),
    _cause(
        "reasoning_parser",
        r"Reasoning parser '([^'\n]{0,100})' not found",
        "The engine has no reasoning parser {0}.",
        "Use one of the parsers that the log lists, or none.",
        parameters=_set(reasoning_parser=None),
        healable=True,
    ),
    _cause(
        "context_above_model",
        r"User-specified max_model_len \((\d{1,9})\) is greater than the derived max_model_len "
        r"\(\w{1,60}=(\d{1,9})",
        "The context of {0} tokens is longer than the model's {1}.",
        "Ask for at most the model's own length.",
        parameters=lambda match, _context: {"max-model-len": int(match[2])},
        healable=True,
    ),
    _cause(
        "quantization_unsupported",
        r"quantization method (\S{1,60}) is not supported for the current GPU\. Minimum capability: (\d{1,4})\. Current capability: (\d{1,4})",
        "The quantisation {0} needs a newer card.",
        "Choose another variant of the model, or a plan with a newer card.",
    ),
    _cause(
        "quantization_unknown",
        r"Unknown quantization method: (\S{1,60}?)\. Must be one of|Cannot find the config file for (\w{1,60})|"
        r"Quantization method specified in the model config \([^)\n]{0,100}\) does not match",
        "The quantisation asked for does not fit the model.",
        "Leave the quantisation to the model's own configuration.",
        parameters=_set(quantization=None),
        healable=True,
    ),
    _cause(
        "dtype_unsupported",
        r"Bfloat16 is only supported on GPUs with compute capability of at least 8\.0|"
        r"torch\.bfloat16 is not supported for quantization method",
        "The card or the quantisation does not support bfloat16.",
        "Use half precision.",
        parameters=_set(dtype="half"),
        healable=True,
    ),
    _cause(
        "kv_cache_dtype",
        r"FP8 KV cache is not supported by the Triton",
        "The card does not support an fp8 cache.",
        "Leave the cache's type to the engine; the context may have to be shorter.",
        parameters=_set(kv_cache_dtype="auto"),
        healable=True,
    ),
    _cause(
        "attention_backend",
        r"No valid attention backend found for|Selected backend (\S{1,100}) is not valid for this configuration",
        "The attention backend asked for does not run with this card and model.",
        "Leave the choice of the backend to the engine.",
        parameters=lambda _match, context: (
            {"attention-backend": None} if context.has("attention-backend") else {"kv-cache-dtype": "auto"}
        ),
        healable=True,
    ),
    _cause(
        "more_gpus_than_there_are",
        r"World size \((\d{1,6})\) is larger than the number of available GPUs \((\d{1,6})\)",
        "The engine was told to use {0} GPUs, and there are {1}.",
        "Choose a plan with more GPUs; when the plan has them, look for a lost one.",
        parameters=_parallel_that_fits,
        healable=True,
    ),
    _cause(
        "more_gpus_than_there_are",
        r"larger than the number of available GPUs \((\d{1,6})\)",
        "The engine was told to use more GPUs than there are ({0}).",
        "Choose a plan with more GPUs; when the plan has them, look for a lost one.",
        healable=True,
    ),
    _cause(
        "heads_not_divisible",
        r"Total number of attention heads \((\d{1,6})\) must be divisible by tensor parallel size \((\d{1,6})\)",
        "The model's {0} attention heads do not divide among {1} GPUs.",
        "Use a number of GPUs that divides the heads.",
        parameters=_parallel_that_divides,
        healable=True,
    ),
    _cause(
        "chat_template",
        r"ChatTemplateResolutionError|default chat template is no longer allowed",
        "The model has no chat template.",
        "Give a chat template, or choose an instruction-tuned model.",
    ),
    _cause(
        "tokenizer",
        r"Couldn't instantiate the backend tokenizer|Can't load tokenizer for",
        "The model's tokenizer is missing or incomplete.",
        "Download the model again.",
        healable=True,
        fetch=True,
    ),
    _cause(
        "port_in_use",
        r"[Aa]ddress already in use|port is already allocated",
        "Something else already listens on the engine's port.",
        "Look at what runs on the VM, or take the session down and up again.",
    ),
    _cause(
        "context_too_long",
        r"max seq len \((\d{1,9})\), \(([\d.]{1,20}) GiB KV cache is\s{1,40}needed.{0,400}?KV cache memory \(([\d.]{1,20}) GiB\)"
        r"(?:[^\n]{0,80}?estimated maximum model length is (\d{1,9}))?",
        "The context of {0} tokens needs {1} GiB of KV cache, and the cards have {2} GiB left.",
        "Ask for a shorter context, a smaller model or a larger plan.",
        parameters=_shorter_context,
        healable=True,
    ),
    _cause(
        "no_cache_memory",
        r"No available memory for the cache blocks|Cannot auto-fit max_model_len",
        "The model's weights leave no memory for the KV cache on this plan.",
        "Choose a smaller or quantised model, or a larger plan.",
        parameters=_more_room,
        healable=True,
    ),
    _cause(
        "gpu_not_free",
        r"Free memory on device \S{1,40} \((\d{1,6}(?:\.\d{1,6})?)/(\d{1,6}(?:\.\d{1,6})?) GiB\) on startup is less than desired",
        "Only {0} of {1} GiB of GPU memory are free: something else uses the card.",
        "Wait until the earlier container has ended; find out who uses the card otherwise.",
        parameters=_share_that_is_free,
        healable=True,
    ),
    _cause(
        "memory_profiling",
        r"Error in memory profiling\. Initial free memory",
        "Another process took or freed GPU memory while the engine measured it.",
        "Restart the engine when the card is free.",
        healable=True,
    ),
    _cause(
        "too_many_sequences",
        r"max_num_seqs \((\d{1,9})\) exceeds available Mamba cache blocks \((\d{1,9})\)",
        "The engine was told to serve {0} requests at once, and its memory holds the state of {1}.",
        "Serve fewer requests at once.",
        parameters=lambda match, _context: {"max-num-seqs": int(match[2])} if int(match[2]) else None,
        healable=True,
    ),
    _cause(
        "oom_sampler",
        r"CUDA out of memory occurred when warming up sampler with (\d{1,9}) dummy requests",
        "The GPU ran out of memory while the engine warmed up for {0} requests at once.",
        "Serve fewer requests at once.",
        parameters=_fewer_sequences,
        healable=True,
    ),
    _cause(
        "oom",
        _OOM,
        "The GPU ran out of memory.",
        "Choose a smaller model, a shorter context or a larger plan.",
    ),
    _cause(
        "shared_memory",
        r"Error while creating shared memory segment /dev/shm|No space left on device[^\n]{0,300}/dev/shm|\bBus error\b",
        "The container's shared memory is too small.",
        "Give the container the host's IPC namespace.",
        healable=True,
    ),
    _cause(
        "no_peer_access",
        r"peer access is not supported between these two devices",
        "The cards cannot reach each other's memory in this VM.",
        "Set NCCL_P2P_DISABLE=1 and switch the custom all-reduce off.",
        parameters=_set(disable_custom_all_reduce=True),
        healable=True,
    ),
    _cause(
        "nccl",
        r"NCCL error: (unhandled (?:system|cuda) error|internal error|remote process exited)|ncclSystemError|ncclUnhandledCudaError",
        "The GPUs could not talk to each other.",
        "Give the container the host's IPC namespace; then set NCCL_P2P_DISABLE=1.",
        healable=True,
        rank=1,
    ),
    _cause(
        "compile_cache",
        r"vLLM failed to compile the model|remove ~/\.cache/vllm/torch_compile_cache|Expected tensors only, but got: <class 'int'>",
        "The cache of compiled kernels is stale.",
        "Delete torch_compile_cache and start again.",
        healable=True,
    ),
    _cause(
        "jit_compile",
        r"nvcc fatal|ninja: build stopped|FlashInfer [^\n]{0,120}?JIT[^\n]{0,120}?(?:fail|error)",
        "A kernel could not be compiled on the VM.",
        "Start again with MAX_JOBS=2, or choose another attention backend.",
        healable=True,
    ),
    _cause(
        "start_timeout",
        r"Timed out waiting for engine core processes to start",
        "The engine did not start in its time.",
        "Give it more time (VLLM_ENGINE_READY_TIMEOUT_S) if its phases went on.",
        healable=True,
    ),
    _cause(
        "rpc_timeout",
        r"TimeoutError: RPC call to (\S{1,100}) timed out",
        "A worker of the engine stopped answering.",
        "Restart the container; again within a day: without speculative decoding.",
        healable=True,
    ),
    _cause(
        "worker_died",
        r"Worker proc (\S{1,100}) died unexpectedly \(exit code: (-?\d{1,6})\)",
        "A worker process of the engine died (exit code {1}).",
        "Restart the container; -9 usually means that the VM ran out of memory.",
        healable=True,
        rank=1,
    ),
    _cause(
        "worker_died",
        r"Worker proc \S{1,100} died unexpectedly",
        "A worker process of the engine died.",
        "Restart the container; see in the kernel's log whether the VM ran out of memory.",
        healable=True,
        rank=1,
    ),
    _cause(
        "engine_hung",
        r"No available shared memory broadcast block found in \d{1,9} seconds",
        "The engine's processes wait for each other.",
        "Restart the container.",
        healable=True,
        rank=1,
    ),
    _cause(
        "engine_died",
        r"EngineDeadError|EngineCore encountered a(?:n issue| fatal error)|engine core exited unexpectedly",
        "The engine died while serving.",
        "Restart the container.",
        healable=True,
        rank=2,
    ),
    _cause(
        "engine_start_failed",
        r"Engine core initialization failed",
        "The engine failed to start.",
        "Read the engine's log.",
        healable=True,
        rank=2,
    ),
)

# An OOM is about weights, activations, graphs or requests, depending on when it comes: the newest marker before it,
# or the functions its traceback names where the log begins too late.
_OOM_PHASES = (
    (
        "oom_running",
        re.compile(
            r"Application startup complete|Engine 000: Avg prompt throughput|\bexecute_model\b(?!.{0,300}profile_run)"
        ),
        "The GPU ran out of memory while serving.",
        "Give the engine a smaller share of the memory and set PYTORCH_ALLOC_CONF=expandable_segments:True.",
        _smaller_share,
        True,
    ),
    (
        "oom_graphs",
        re.compile(r"Capturing CUDA graphs|\bcapture_model\b"),
        "The GPU ran out of memory while the engine captured CUDA graphs.",
        "Capture fewer graphs, or none.",
        _smaller_graphs,
        True,
    ),
    (
        "oom_profiling",
        re.compile(r"Model loading took|Available KV cache memory|\bprofile_run\b|\bdetermine_available_memory\b"),
        "The GPU ran out of memory during the engine's trial run.",
        "Let the engine work on smaller batches.",
        _smaller_batches,
        True,
    ),
    (
        "oom_loading",
        re.compile(r"Starting to load model|Loading model from scratch|\bload_model\b"),
        "The model's weights do not fit into the GPU memory.",
        "Choose a smaller or quantised variant, or a plan with more GPU memory.",
        None,
        False,
    ),
)
_PYDANTIC = re.compile(
    r"validation errors? for \w{1,100}\n(?:[^\n]*\n)??[^\S\n]{1,80}Value error, (.{1,1000}?)(?: \[type=value_error|\n[^\S\n]{1,80}For further|\Z)",
    re.DOTALL,
)
_LAST_ERROR = re.compile(r"^(?:\w{1,100}\.){0,20}(\w{0,100}(?:Error|Exception|Interrupt)): ([^\n]+)$", re.MULTILINE)


def _clean(log: str) -> str:
    """The text without colours, prefixes and lines that only quote a failure. A bar's states become lines."""
    text = _ANSI.sub("", newest(log, _LONGEST)).replace("\r\n", "\n").replace("\r", "\n")
    return _HARMLESS.sub("", _PREFIX.sub("", short_lines(text)))


# One look asks the same log for several things.
@lru_cache(maxsize=4)
def _last_run(log: str) -> str:
    """From the beginning of the newest start; the banner and the flags belong to the same one."""
    text = _clean(log)
    starts = [match.start() for match in _RUN.finditer(text)]
    if not starts:
        return text
    newer = starts[-1]
    for start in reversed(starts[:-1]):
        if newer - start > 2000 or _READY.search(text, start, newer):
            break
        newer = start
    return text[newer:]


def _arguments(run: str) -> dict[str, Any]:
    found = _ARGUMENTS.findall(run)
    try:
        arguments = ast.literal_eval(found[-1]) if found else {}
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return {}
    return arguments if isinstance(arguments, dict) else {}


def _line_at(text: str, match: re.Match[str]) -> str:
    line = text[: match.start()].rpartition("\n")[2] + text[match.start() :].partition("\n")[0]
    return line.strip()[:500]


def _placed_oom(match: re.Match[str], context: _Context, line: str) -> Diagnosis:
    groups = tuple(group or "" for group in match.groups())
    last: tuple[int, int] | None = None
    for index, (_slug, marker, *_rest) in enumerate(_OOM_PHASES):
        places = [found.end() for found in marker.finditer(context.before)]
        if places and (last is None or places[-1] > last[0]):
            last = (places[-1], index)
    if last is None:
        cause = next(cause for cause in _CAUSES if cause.slug == "oom")
        return Diagnosis("oom", cause.sentence, cause.remedy, groups, _smaller_batches(match, context), True, line)
    slug, _marker, sentence, remedy, parameters, healable = _OOM_PHASES[last[1]]
    suggested = parameters(match, context) if parameters else None
    return Diagnosis(slug, sentence, remedy, groups, suggested, healable and suggested is not None, line)


def _explain(cause: _Cause, match: re.Match[str], context: _Context, line: str) -> Diagnosis:
    if cause.slug == "oom":
        return _placed_oom(match, context, line)
    groups = tuple(group or "" for group in match.groups())
    suggested = cause.parameters(match, context) if cause.parameters else None
    healable = cause.healable and (suggested is not None or cause.parameters is not _shorter_context)
    sentence = cause.sentence.format(*groups)
    return Diagnosis(cause.slug, sentence, cause.remedy, groups, suggested, healable, line, cause.fetch)


def _unclassified(text: str) -> Diagnosis | None:
    """What an error of no known kind says about itself, also where it is wrapped."""
    wrapped = _PYDANTIC.search(text)
    if wrapped:
        said = " ".join(wrapped[1].split())[:300]
        return Diagnosis(
            "configuration", f"The engine refuses its configuration: {said}", "Correct the configuration.", line=said
        )
    errors = [match for match in _LAST_ERROR.finditer(text) if match[1] not in ("KeyboardInterrupt", "CancelledError")]
    if not errors:
        return None
    said = f"{errors[0][1]}: {errors[0][2]}"[:300]
    return Diagnosis(
        "unknown_error", f"The engine stopped with {said}", "Read the engine's log.", healable=True, line=said
    )


def diagnose(log: str) -> list[Diagnosis]:
    """Why the last run in a log failed: the explanation first, then its consequences; empty when nothing failed."""
    run = _last_run(log)
    ready = list(_READY.finditer(run))
    start = ready[-1].end() if ready else 0
    arguments = _arguments(run)
    found: list[tuple[int, int, Diagnosis]] = []
    taken: list[tuple[int, int]] = []
    for cause in _CAUSES:
        match = cause.pattern.search(run, start)
        if match is None or any(begin <= match.start() < end for begin, end in taken):
            continue
        taken.append(match.span())
        context = _Context(arguments, run[: match.start()])
        found.append((cause.rank, match.start(), _explain(cause, match, context, _line_at(run, match))))
    found.sort(key=lambda entry: entry[:2])
    diagnoses: list[Diagnosis] = []
    for _rank, _place, diagnosis in found:
        if diagnosis.slug not in [earlier.slug for earlier in diagnoses]:
            diagnoses.append(diagnosis)
    if (not found or found[0][0] == 2) and not _STOPPED.search(run, start):
        other = _unclassified(run[start : found[0][1]] if found and found[0][1] > start else run[start:])
        if other is not None and not (found and "EngineDeadError" in other.sentence):
            diagnoses.insert(0, other)
    return diagnoses


def has_served(log: str) -> bool:
    """Whether the last run in a log got so far that it served."""
    return bool(_SERVING.search(_last_run(log)))


def phase_of(log: str) -> str:
    """The newest phase of the last start whose marker is in the log."""
    run = _last_run(log)
    found = [name for name, marker in _PHASES if marker.search(run)]
    # Importing takes half a minute before anything of the engine's own is said.
    return found[-1] if found else "starting" if run.strip() else "waiting for the container"


def progress_of(log: str) -> Progress:
    """The phase, and how far it is where the engine shows a bar."""
    run = _last_run(log)
    phase = phase_of(log)
    for name, pattern in _BARS:
        shown = pattern.findall(run)
        if shown and name == phase:
            percent, done, total, left = shown[-1]
            size = _SIZE.search(run) if name == "loading the weights" else None
            parts = [
                f"{done} of {total}",
                f"{size[1]} in all" if size else "",
                f"{left} left" if left and done != total else "",
            ]
            return Progress(phase, min(int(percent), 100) / 100, ", ".join(filter(None, parts)))
    return Progress(phase)


def cause_of(log: str) -> tuple[str, str] | None:
    """A sentence and a remedy for the failure the log explains; None when it explains none."""
    diagnoses = diagnose(log)
    return (diagnoses[0].sentence, diagnoses[0].remedy) if diagnoses else None
