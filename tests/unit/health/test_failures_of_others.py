# SPDX-License-Identifier: GPL-3.0-or-later
"""Failures as people met them, in public threads whose address stands beside each: cause, rungs and advice for every kind.

The texts are written for these tests in the form that the thread shows; none is anybody's log.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.evaluate import evaluate
from engine_ends import HOOK, SHIM, api, begun, core, death, loaded, old, served, state, traceback, worker

NO_PREFIX = "nvidia-container-cli: "


class Kind(NamedTuple):
    """``cause``, whether a restart may help, what the summary and the remedy have to say, and the texts by their threads."""

    cause: str
    restart: bool
    says: str
    advises: str
    seen: dict[str, str]


VLLM = "vllm-project/vllm#"
# What docker inspect and what Docker or Compose printed; the latter stands where a log would.
CONTAINERS = (
    Kind(
        "driver_mismatch", False, "do not match", "[Rr]eboot",
        {
            "NVIDIA/nvidia-container-toolkit#394": state(HOOK + NO_PREFIX + "initialization error: nvml error: driver/library version mismatch: unknown"),
            "NVIDIA/nvidia-docker#1451": 'docker: Error response from daemon: OCI runtime create failed: container_linux.go:349: starting container process caused "running prestart hook 1 caused \\"error running hook: exit status 1, stderr: nvidia-container-cli: initialization error: nvml error: driver/library version mismatch\\"": unknown.',
            "saharmor/dalle-playground#104": "ERROR: for vllm  Cannot start service vllm: failed to create shim: OCI runtime create failed: error running hook #0: stderr: nvidia-container-cli: initialization error: nvml error: driver/library version mismatch: unknown\nERROR: Encountered errors while bringing up the project.",
        },
    ),
    Kind(
        "toolkit_missing", False, "pass GPUs", "toolkit",
        {
            "infiniflow/ragflow#9573": state('could not select device driver "nvidia" with capabilities: [[gpu]]'),
            "eduidl/ElasticFusion-Dockerfile#11": 'docker: Error response from daemon: could not select device driver "" with capabilities: [[gpu]].',
            "AbdBarho/stable-diffusion-webui-docker#743": 'Attaching to vllm-1\nError response from daemon: could not select device driver "nvidia" with capabilities: [[compute utility]]',
        },
    ),
    Kind(
        "toolkit_missing", False, "runtime nvidia", "nvidia-ctk runtime configure",
        {
            "duixcom/Duix-Avatar#28": "Error response from daemon: unknown or invalid runtime name: nvidia",
            "Kaouthia/ComfyUI-Docker#9": "[+] Running 1/1\n   \u2718 Container vllm  Error response from daemon: unknown or invalid runtime name: nvidia   0.0s\n",
            "rinongal/StyleGAN-nada#62": "ERROR: for vllm  Cannot create container for service vllm: Unknown runtime specified nvidia\n",
        },
    ),
    Kind(
        "cdi_unknown_device", False, "CDI specification", "cdi generate|nvidia-cdi-refresh",
        {
            "NVIDIA/nvidia-container-toolkit#434": state(SHIM + "could not apply required modification to OCI specification: error modifying OCI spec: failed to inject CDI devices: unresolvable CDI devices nvidia.com/gpu=all: unknown"),
            "NVIDIA/nvidia-container-toolkit#1537": "docker: Error response from daemon: " + SHIM + "failed to inject CDI devices: unresolvable CDI devices runtime.nvidia.com/gpu=all: unknown",
            "NVIDIA/nvidia-container-toolkit#146": "Error: error setting up CDI devices: unresolvable CDI devices nvidia.com/gpu=all\n",
            "VERT-sh/vertd#39": state("CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=all"),
        },
    ),
    Kind(
        "driver_too_old", False, "driver is too old", "driver",
        {
            "NVIDIA/nvidia-container-toolkit#152": state(HOOK + NO_PREFIX + "requirement error: unsatisfied condition: cuda>=13.0, please update your driver to a newer version, or use an earlier cuda container: unknown"),
            "NVIDIA/nvidia-docker#536": "docker: Error response from daemon: oci runtime error: nvidia-container-cli: requirement error: unsatisfied condition: cuda >= 13.0",
            "MauriceNino/dashdot#1226": "Error response from daemon: " + HOOK + NO_PREFIX + "requirement error: unsatisfied condition: cuda>=12.8, please update your driver to a newer version",
        },
    ),
    Kind(
        "driver_missing", False, "driver does not answer", "driver",
        {
            "getumbrel/llama-gpt#132": state(HOOK + NO_PREFIX + "detection error: nvml error: unknown error: unknown"),
            "NVIDIA/libnvidia-container#231": state(HOOK + NO_PREFIX + "initialization error: load library failed: libnvidia-ml.so.1: cannot open shared object file: no such file or directory: unknown"),
            "docker/for-win#13835": "Error response from daemon: " + HOOK + NO_PREFIX + "initialization error: load library failed: libnvidia-ml.so.1: cannot open shared object file",
            "AbdBarho/stable-diffusion-webui-docker#348": core("RuntimeError: Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU"),
        },
    ),
    Kind(
        "port_in_use", False, "port", "listens",
        {
            "shipping-docker/php-app#20": "ERROR: for vllm  Cannot start service vllm: driver failed programming external connectivity on endpoint vllm_1 (a987): Error starting userland proxy: Bind for 0.0.0.0:8000: unexpected error (Failure EADDRINUSE)",
            "nginx-proxy/nginx-proxy#839": state("driver failed programming external connectivity on endpoint vllm (6696): Error starting userland proxy: listen tcp4 0.0.0.0:8000: bind: address already in use"),
            "docker/compose#3277": state("failed to set up container networking: driver failed programming external connectivity on endpoint vllm (aa): Bind for 0.0.0.0:8000 failed: port is already allocated"),
        },
    ),
    Kind(
        "registry_limit", False, "registry", "Wait|docker login",
        {
            "docker/hub-feedback#2464": "Error response from daemon: toomanyrequests: You have reached your unauthenticated pull rate limit. https://www.docker.com/increase-rate-limit",
            "getarcaneapp/arcane#862": "failed to pull image: Error response from daemon: toomanyrequests: You have reached your unauthenticated pull rate limit.",
            "hystax/optscale#845": "failed to copy: httpReadSeeker: failed open: unexpected status code https://registry-1.docker.io/v2/vllm/vllm-openai/manifests/sha256:7a54: 429 Too Many Requests - Server message: toomanyrequests",
        },
    ),
    Kind(
        "disk_full", False, "disk is full", "larger disk",
        {
            "NVIDIA/nvidia-docker#792": "failed to register layer: Error processing tar file(exit status 1): write /usr/local/cuda/lib64/libcublas.so: no space left on device",
            "moby/moby#32811": "5065: Extracting [==================================================>] 4.055 GB/4.055 GB\nfailed to register layer: ApplyLayer exit status 1 stdout:  stderr: write /x: no space left on device",
            "docker/for-win#13751": state("failed to register layer: no space left on device"),
        },
    ),
    Kind(
        "image_not_found", False, "image", "tag",
        {
            "duixcom/Duix-Avatar#24": "Error response from daemon: manifest for vllm/vllm-openai:v0.99 not found: manifest unknown: manifest unknown",
            "czlonkowski/n8n-mcp#156": "Error response from daemon: manifest unknown",
            "docker/hub-feedback#2505": "Error response from daemon: pull access denied for vllm/vllm-openia, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
        },
    ),
    Kind(
        "cpu_too_old", False, "processor", "image|plan",
        {
            "leejet/stable-diffusion.cpp#1695": state(code=132, status="exited"),
            "serge-chat/serge#146": "vllm-1 exited with code 132\n",
            "intel/ipex-llm#12960": begun() + "Illegal instruction (core dumped)\n",
        },
    ),
    Kind(
        "host_memory_killed", True, "kernel killed the engine", "memory",
        {
            "vectorch-ai/ScaleLLM#38": state(code=137, status="exited", OOMKilled=True),
            "jhj0517/Whisper-WebUI#331": state(code=0, status="exited", OOMKilled=True),
        },
    ),
    Kind("killed", True, "killed from outside", "Start it again", {"docker stop after its time": state(code=137, status="exited")}),
    Kind("crash", True, "crashed", "image", {"a segmentation fault": state(code=139, status="exited")}),
    Kind("command_missing", False, "no program vllm", "image", {"another image": state('failed to create task: exec: "vllm": executable file not found in $PATH', 127)}),
    Kind("command_not_runnable", False, "permission denied", "image", {"a script": state(SHIM + 'unable to start container process: exec: "/start.sh": permission denied: unknown', 126)}),
    Kind("docker_refused", False, "something new", "docker inspect", {"nobody has seen": state("failed to create task for container: something new")}),
    Kind("cdi_stale", False, "libcuda.so.580", "nvidia-cdi-refresh", {"a driver upgrade": state(SHIM + 'error mounting "/usr/lib/x86_64-linux-gnu/libcuda.so.580.65.06" to rootfs: no such file or directory: unknown')}),
)  # fmt: skip

STARTS = (
    Kind(
        "fp8_unsupported", False, "FP8", "variant|newer",
        {
            VLLM + "17581": worker("ValueError(\"type fp8e4nv not supported in this architecture. The supported fp8 dtypes are ('fp8e4b15', 'fp8e5')\")"),
            VLLM + "18182": core("RuntimeError: Worker failed with error 'at 1:0:", "def fused_moe_kernel(", "^", "ValueError(\"type fp8e4nv not supported in this architecture. The supported fp8 dtypes are ('fp8e4b15', 'fp8e5')\")', please check the stack trace above for the root cause"),
            VLLM + "6815": old("RuntimeError: torch._scaled_mm is only supported on CUDA devices with compute capability >= 9.0 or 8.9, or ROCm MI300+"),
        },
    ),
    Kind(
        "attention_sinks", False, "attention sinks", "backend",
        {
            VLLM + "22331": core("AssertionError: Sinks are only supported in FlashAttention 3", file="vllm/v1/attention/backends/flash_attn.py"),
            VLLM + "30919": worker("NotImplementedError: FlashInfer backend currently does not support attention sinks, please use trtllm on blackwell or flash attention on earlier GPUs."),
            "Dao-AILab/flash-attention#1822": core("TypeError: FlashAttentionImpl.__init__() got an unexpected keyword argument 'sinks'"),
        },
    ),
    Kind(
        "attention_backend", False, "attention backend", "backend",
        {VLLM + "40153": core("ValueError: Selected backend AttentionBackendEnum.FLASHINFER is not valid for this configuration. Reason: ['sink setting not supported']")},
    ),
    Kind(
        "moe_backend", False, "mixture-of-experts", "backend|variant",
        {
            VLLM + "33416": core("ValueError: NvFp4 MoE backend 'FLASHINFER_CUTLASS' does not support the deployment configuration since kernel does not support current device."),
            VLLM + "35065": worker("NotImplementedError: No NvFp4 MoE backend supports the deployment configuration."),
            VLLM + "33417": core("RuntimeError: FlashInfer-CUTLASS MoE kernel does not support current device sm_120"),
            "flashinfer-ai/flashinfer#2577": core("flashinfer.utils.BackendSupportedError: mm_fp4 does not support backend 'trtllm' with capability 120"),
        },
    ),
    Kind(
        "kernel_not_built", False, "kernel", "newer|variant",
        {
            VLLM + "32109": core("RuntimeError: No compiled cutlass_scaled_mm for CUDA device capability: 120. Required capability: 90 or 100"),
            VLLM + "9419": old("NotImplementedError: Error in calling custom op cutlass_scaled_mm: No compiled cutlass_scaled_mm for a compute capability less than CUDA device capability: 75"),
            VLLM + "43367": core("RuntimeError: Error Internal", "Exception raised from cutlass_gemm_caller at /workspace/csrc/x.cuh:61 (most recent call first):"),
        },
    ),
    Kind(
        "card_shared_memory", False, "bytes of shared memory.*65536", "newer card|another model",
        {
            VLLM + "12498": old("triton.runtime.errors.OutOfResources: out of resource: shared memory, Required: 66560, Hardware limit: 65536. Reducing block sizes or `num_stages` may help."),
            VLLM + "36802": death("triton.runtime.errors.OutOfResources: out of resource: shared memory, Required: 81920, Hardware limit: 65536. Reducing block sizes or `num_stages` may help."),
            "FlashML-org/FreeToken#246": core("triton.runtime.errors.OutOfResources: out of resource: shared memory, Required: 98304, Hardware limit: 65536. Reducing block sizes or `num_stages` may help."),
        },
    ),
    Kind(
        "no_nvcc", False, "nvcc", "image|SAMPLER",
        {
            "flashinfer-ai/flashinfer#1919": worker("RuntimeError: Worker failed with error 'Could not find nvcc', please check the stack trace above for the root cause"),
            "flashinfer-ai/flashinfer#1781": worker("FileNotFoundError: [Errno 2] No such file or directory: 'nvcc'"),
            VLLM + "21960": core("RuntimeError: Ninja build failed. Ninja output:", "/bin/sh: 1: /usr/local/cuda/bin/nvcc: not found", "ninja: build stopped: subcommand failed."),
        },
    ),
    Kind(
        "no_compiler", False, "compiler", "image",
        {
            VLLM + "2997": old("RuntimeError: Failed to find C compiler. Please specify via CC environment variable."),
            VLLM + "15329": core("torch._inductor.exc.InductorError: RuntimeError: Failed to find C compiler. Please specify via CC environment variable or set triton.knobs.build.impl."),
            VLLM + "14075": core("/tmp/tmpx/main.c:5:10: fatal error: Python.h: No such file or directory", "subprocess.CalledProcessError: Command '['/usr/bin/gcc']' returned non-zero exit status 1."),
        },
    ),
    Kind(
        "cuda_not_ready", False, "not ready", "[Rr]eboot",
        {
            "MiniMax-AI/MiniMax-M2.5#9": worker("RuntimeError: Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before calling NumCudaDevices() that might have already set an error? Error 802: system not yet initialized"),
            "huggingface/huggingface_hub#4128": core("torch.AcceleratorError: CUDA error: system not yet initialized"),
            VLLM + "16127": old("RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 802: system not yet initialized"),
        },
    ),
    Kind(
        "driver_compatibility", False, "driver is too old", "driver",
        {
            VLLM + "5510": old("RuntimeError: Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before calling NumCudaDevices() that might have already set an error? Error 804: forward compatibility was attempted on non supported HW"),
            "gpustack/gpustack#1540": core("RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 804: forward compatibility was attempted on non supported HW"),
            "NVIDIA/TensorRT-LLM#1806": core("RuntimeError: [TensorRT-LLM][ERROR] CUDA runtime error in cudaGetDevice(&device): forward compatibility was attempted on non supported HW"),
        },
    ),
    Kind(
        "cuda_start", True, "Error 401", "nvidia-smi",
        {"facebookresearch/faiss#4426": core("RuntimeError: Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before calling NumCudaDevices() that might have already set an error? Error 401: the operation cannot be performed in the present state")},
    ),
    Kind(
        "shards_do_not_divide", False, "do not divide", "GPUs|expert",
        {
            VLLM + "17569": worker("ValueError: The output_size of gate's and up's weight = 192 is not divisible by weight quantization block_n = 128.", before=loaded(tensor_parallel_size=4)),
            VLLM + "54178": core("ValueError: The output_size of gate's and up's weight = 80 is not divisible by weight quantization block_n = 128.", before=loaded(tensor_parallel_size=8)),
            VLLM + "11671": old("ValueError: The output size is not aligned with the quantized weight shape. This can be caused by too large tensor parallel size."),
        },
    ),
    Kind(
        "image_broken", False, "do not fit together", "image|version",
        {
            VLLM + "21226": "Traceback (most recent call last):\n  File \"/usr/local/bin/vllm\", line 3, in <module>\nImportError: /opt/vllm/_C.abi3.so: undefined symbol: _ZN3c106ivalue14ConstantString6createENSt7\n",
            VLLM + "28199": core("ImportError: /opt/vllm/_C.abi3.so: undefined symbol: _Z20cutlass_moe_mm_sm100RN2at6TensorE"),
            "PrimeIntellect-ai/prime-rl#917": api("AttributeError: '_OpNamespace' '_moe_C' object has no attribute 'topk_softmax'"),
        },
    ),
    Kind(
        "weights_mismatch", False, "no module or parameter|do not match", "variant|repository|version",
        {
            VLLM + "28517": core("ValueError: There is no module or parameter named 'mlp_AR' in TransformersForCausalLM"),
            VLLM + "14212": old("ValueError: There is no module or parameter named 'lm_head' in Gemma2ForCausalLM"),
            VLLM + "21755": worker("ValueError: There is no module or parameter named 'lm_head' in Gemma3nForConditionalGeneration. The available parameters belonging to this module are: {'x'}"),
        },
    ),
    Kind(
        "tokenizer_too_new", False, "tokenizer", "newer",
        {
            "gpustack/gpustack#5096": api("ValueError: Tokenizer class TokenizersBackend does not exist or is not currently imported."),
            "modelscope/ms-swift#8098": "[2026-02-25 16:17:27] [/bin/sh]: (APIServer pid=26) ValueError: Tokenizer class TokenizersBackend does not exist or is not currently imported.\n",
            "tensorchord/modelz-llm#101": api("ValueError: Tokenizer class LLaMATokenizer does not exist or is not currently imported."),
        },
    ),
    Kind(
        "hub_transfer", True, "hub", "token|again",
        {
            "meta-pytorch/torchforge#109": core("RuntimeError: Data processing error: CAS service error : ReqwestMiddleware Error: Request failed after 5 retries"),
            "huggingface/xet-core#444": core("RuntimeError: Data processing error: CAS service error : IO Error: Timer expired"),
            "huggingface/xet-core#407": begun() + '{"timestamp":"2026-02-11T09:14:09.1Z","level":"WARN","fields":{"message":"Reqwest(reqwest::Error { kind: Request }). Retrying..."},"filename":"/x/http_client.rs"}\n' + core("RuntimeError: Data processing error: CAS service error : Error : single flight error: Real call failed"),
        },
    ),
    Kind(
        "permission", False, "[Pp]ermission", "writable",
        {
            "huggingface/sentence-transformers#2317": api("PermissionError: [Errno 13] Permission denied: '/root/.cache/huggingface/token'"),
            "tenstorrent/tt-inference-server#37": api("PermissionError: [Errno 13] Permission denied: '/home/user/cache_root/huggingface'"),
            "av/harbor#262": api("OSError: [Errno 13] Permission denied: '/root/.cache/huggingface/hub'"),
        },
    ),
    Kind(
        "flash_attention", False, "FlashAttention", "backend|image",
        {
            VLLM + "8189": old("RuntimeError: FlashAttention only supports Ampere GPUs or newer."),
            VLLM + "17347": core("ImportError: cannot import name 'flash_attn_varlen_func' from 'vllm.vllm_flash_attn' (unknown location)"),
            "Jiayi-Pan/TinyZero#115": old("RuntimeError: FlashAttention only support Ampere GPUs or newer."),
        },
    ),
    Kind(
        "gguf_unsupported", False, "GGUF", "safetensors",
        {
            VLLM + "28691": api("ValueError: GGUF model with architecture qwen3vlmoe is not supported yet."),
            VLLM + "33229": api("ValueError: GGUF model with architecture minimax-m2 is not supported yet."),
            "huggingface/transformers#32577": old("ValueError: Architecture gemma2 not supported"),
        },
    ),
    Kind(
        "no_config", False, "config.json", "base model",
        {
            "unslothai/unsloth#1191": api("ValueError: No supported config format found in me_adapter"),
            VLLM + "14090": api("ValueError: No supported config format found in 'meta/Model'. Please ensure the model is not empty / has config.json or params.json."),
            VLLM + "4416": api("OSError: /data/adapter does not appear to have a file named config.json. Checkout 'https://huggingface.co/x/tree/None' for available files."),
        },
    ),
    Kind(
        "oom_images", False, "images or video", "limit-mm-per-prompt",
        {
            VLLM + "22173": core("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 7.91 GiB. GPU 0 has a total capacity of 19.65 GiB of which 2.11 GiB is free.", file="vllm/v1/worker/gpu_model_runner.py", code="self.profile_run()", before=loaded() + "(EngineCore pid=88) INFO 02-11 09:15:50 [gpu_model_runner.py:4900] Encoder cache will be initialized with a budget of 16384 tokens, and profiled with 1 video items of the maximum feature size.\n"),
            VLLM + "17250": old("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 800.00 MiB.", before="INFO 04-27 16:27:00 api_server.py:712] vLLM API server version 0.8.4\nWARNING 04-27 16:27:59 [profiling.py:245] The sequence length used for profiling (max_num_batched_tokens / max_num_seqs = 20000) is too short to hold the multi-modal embeddings in the worst case\n"),
            VLLM + "10569": "INFO 11-22 07:19:26 model_runner.py:1067] Loading model weights took 19.9073 GB\nINFO 11-22 07:19:26 enc_dec_model_runner.py:301] Starting profile run for multi-modal models.\n[rank0]: Traceback (most recent call last):\n[rank0]:   File \"/x/test.py\", line 21, in <module>\n[rank0]:     llm = LLM(\n[rank0]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.30 GiB.\n",
        },
    ),
    Kind(
        "config_mismatch", False, "configuration", "image",
        {
            "QwenLM/Qwen3#724": old("AttributeError: 'Qwen2MoeConfig' object has no attribute 'mlp_only_layers'"),
            VLLM + "50428": api("TypeError: Invalid type of HuggingFace config. Expected type: <class 'x'>, but found type: <class 'y'>"),
            "huggingface/transformers#36683": api("AttributeError: 'Gemma3Config' object has no attribute 'vocab_size'"),
        },
    ),
    Kind(
        "unknown_error", True, "AmbiguousGlobalPerLayerAttributeError", "image",
        {VLLM + "51744": api("transformers.integrations.heterogeneity.configuration_utils.AmbiguousGlobalPerLayerAttributeError: 'head_dim' is a per-layer attribute and may vary across layers.")},
    ),
    Kind(
        "certificate", False, "certificate", "clock|certificate",
        {
            VLLM + "12673": api("urllib3.exceptions.MaxRetryError: HTTPSConnectionPool(host='huggingface.co', port=443): Max retries exceeded with url: /x (Caused by SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer certificate (_ssl.c:1007)')))"),
            "ai-dynamo/aiconfigurator#1361": api("urllib.error.URLError: <urlopen error [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer certificate (_ssl.c:1010)>"),
            "Stability-AI/stable-virtual-camera#23": api("urllib3.exceptions.SSLError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate in certificate chain (_ssl.c:1007)"),
        },
    ),
    Kind(
        "network", True, "network", "again",
        {"huggingface/huggingface_hub#3155": begun() + "(APIServer pid=1) '[Errno 104] Connection reset by peer' thrown while requesting HEAD https://huggingface.co/x\n(APIServer pid=1) Retrying in 1s [Retry 1/5].\n" + "(APIServer pid=1) OSError: We couldn't connect to 'https://huggingface.co' to load the files, and couldn't find them in the cached files.\n"},
    ),
    Kind(
        "unsupported_ptx", False, "kernels do not run on this card", "image|driver",
        {
            VLLM + "18835": core("RuntimeError: CUDA error: no kernel image is available for execution on the device"),
            VLLM + "19906": worker("torch.AcceleratorError: CUDA error: no kernel image is available for execution on the device"),
            "gpustack/gpustack#2097": core("RuntimeError: CUDA error: no kernel image is available for execution on the device", before=loaded() + "/x/torch/cuda/__init__.py:230: UserWarning: NVIDIA GeForce RTX 5090 D with CUDA capability sm_120 is not compatible with the current PyTorch installation.\n"),
        },
    ),
    Kind(
        "context_too_long", False, "context of 60000", "shorter",
        {"vLLM 0.8": core("ValueError: The model's max seq len (60000) is larger than the maximum number of tokens that can be stored in KV cache (58384). Try increasing `gpu_memory_utilization` or decreasing `max_model_len` when initializing the engine.")},
    ),
    Kind(
        "no_peer_access", True, "each other's memory", "NCCL_P2P",
        {
            VLLM + "49101": core("Failed: Cuda error /workspace/csrc/custom_all_reduce.cuh:455 'invalid argument'"),
            VLLM + "20170": death("Failed: Cuda error /workspace/csrc/custom_all_reduce.cuh:346 'an illegal memory access was encountered'"),
        },
    ),
)  # fmt: skip

DEATHS = (
    Kind(
        "unknown_error", True, "AssertionError: assert", "Restart",
        {
            VLLM + "20056": death("AssertionError", code="assert(request.existing_token_ids % self._max_num_batched_tokens == 0)"),
            VLLM + "51013": death("AssertionError", code="assert len(offload_keys) == len(offload_block_ids)"),
            VLLM + "28411": death("AssertionError", code="assert reorganized_kv_c_normed.shape[0] == sum_seq_len"),
        },
    ),
    Kind("unknown_error", True, "KeyError: 'chatcmpl-9f2'", "Restart", {VLLM + "27711": death("KeyError: 'chatcmpl-9f2'", code="req = self.requests[rid]")}),
    Kind(
        "nccl_memory", False, "NCCL", "NCCL_CUMEM_HOST_ENABLE",
        {VLLM + "27868": begun() + '!!!!!!! Segfault encountered !!!!!!!\n  File "<unknown>", line 0, in cuMemCreate\n  File "misc/cudawrap.cc", line 92, in ncclCuMemHostEnable()\n'},
    ),
    Kind(
        "crash", True, "crashed", "Restart",
        {
            "datalab-to/surya#543": loaded() + "realloc(): invalid pointer\n!!!!!!! Segfault encountered !!!!!!!\n  File \"<unknown>\", line 0, in __libc_free\n(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': -11}\n",
            VLLM + "6783": served() + "*** SIGSEGV received at time=1721904360 on cpu 140 ***\nFatal Python error: Segmentation fault\n\nThread 0x7f (most recent call first):\n",
            VLLM + "35746": served() + "!!!!!!! Segfault encountered !!!!!!!\n(APIServer pid=1) ERROR 02-11 10:41:31 [core_client.py:605] Engine core proc EngineCore_DP0 died unexpectedly, shutting down client.\n",
        },
    ),
    Kind(
        "misaligned_address", True, "CUDA error: misaligned", "image|backend",
        {
            VLLM + "41257": death("torch._dynamo.exc.InternalTorchDynamoError: AcceleratorError: CUDA error: misaligned address"),
            VLLM + "50934": death("torch.AcceleratorError: CUDA error: misaligned address", "Search for `cudaErrorMisalignedAddress' in https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__TYPES.html for more information."),
            "verl-project/verl#3579": death("RuntimeError: CUDA error: misaligned address"),
        },
    ),
    Kind(
        "illegal_memory_access", True, "memory that is not its own", "backend|image",
        {VLLM + "24430": death("torch.AcceleratorError: CUDA error: an illegal memory access was encountered")},
    ),
    Kind(
        "grammar", True, "grammar", "Restart",
        {
            VLLM + "11044": death("RuntimeError: [10:41:30] /workspace/cpp/matcher.cc:296: Token id 0: <unk> is regarded as a special token, and cannot be accepted by the GrammarMatcher"),
            VLLM + "47312": death("RuntimeError: the schema has an unsupported pattern", file="xgrammar/compiler.py"),
            VLLM + "43920": death("RuntimeError: EBNF parser error at line 2", file="vllm/v1/structured_output/backend_xgrammar.py"),
        },
    ),
    Kind(
        "launch_failure", True, "launch failure", "Xid",
        {
            VLLM + "27430": death("torch.AcceleratorError: CUDA error: unspecified launch failure"),
            VLLM + "22746": death("RuntimeError: CUDA error: unspecified launch failure"),
        },
    ),
    Kind(
        "speculation_failed", True, "IndexError: list index out of range", "speculative",
        {"a draft that ran off": death("IndexError: list index out of range", file="vllm/v1/spec_decode/eagle.py")},
    ),
)  # fmt: skip

CASES = [
    pytest.param(kind, text, id=f"{kind.cause} {thread}")
    for kind in (*CONTAINERS, *STARTS, *DEATHS)
    for thread, text in kind.seen.items()
]


def texts_of(text: str) -> dict[str, str]:
    return {"container.json" if text.startswith('[{"Name"') else "engine.log": text}


@pytest.mark.parametrize(("kind", "text"), CASES)
def test_the_cause_is_named_and_what_to_do(kind: Kind, text: str) -> None:
    health = evaluate(texts_of(text))
    found = next(one for one in health.findings if one.id == "ctr.state")
    assert (found.severity, found.cause) == ("fail", kind.cause), found
    assert re.search(kind.says, found.summary), found.summary
    assert re.search(kind.advises, found.remedy), found.remedy
    first = health.facts["engine"]["causes"][0]
    assert (first["slug"], first["restart_helps"]) == (kind.cause, kind.restart)
    if not kind.restart:
        assert "restart_container" not in found.ladder


@pytest.mark.parametrize(("kind", "text"), CASES)
def test_a_log_says_the_same_with_the_times_of_docker_and_the_names_of_compose(kind: Kind, text: str) -> None:
    if "container.json" in texts_of(text):
        return
    stamped = "".join(f"vllm-1  | 2027-01-15T07:51:00.123456789Z {line}\n" for line in text.splitlines())
    found = next(one for one in evaluate({"engine.log": stamped}).findings if one.id == "ctr.state")
    assert found.cause == kind.cause


def test_every_kind_that_is_given_has_relatives() -> None:
    threads = [thread for kind in (*CONTAINERS, *STARTS, *DEATHS) for thread in kind.seen if "#" in thread]
    assert len(threads) == len(set(threads)) and len(threads) > 90


def test_what_a_request_met_and_the_engine_outlived_is_not_what_ended_it() -> None:
    early = "(APIServer pid=1) ERROR 02-11 10:39:00 [serving.py:9] torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.00 GiB\n"
    before = served().replace("(APIServer pid=1) INFO 02-11 10:40", early + "(APIServer pid=1) INFO 02-11 10:40")
    found = next(
        one for one in evaluate({"engine.log": death("KeyError: 7", before=before)}).findings if one.id == "ctr.state"
    )
    assert found.cause == "unknown_error" and "KeyError: 7" in found.summary


def test_a_request_that_failed_alone_is_no_failure_of_the_engine() -> None:
    log = (
        served() + "(APIServer pid=1) " + "\n(APIServer pid=1) ".join(traceback("ValueError: the prompt is odd")) + "\n"
    )
    answered = log + '(APIServer pid=1) INFO:     127.0.0.1:5 - "POST /v1/chat/completions HTTP/1.1" 200 OK\n'
    assert [one for one in evaluate({"engine.log": answered}).findings if one.severity == "fail"] == []
    assert any(one.cause == "unknown_error" for one in evaluate({"engine.log": log}).findings)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        # A look-up that was handled, and what was raised instead.
        ("KeyError: 'qwen9'\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"x\", line 1, in y\nRuntimeError: no such thing", "RuntimeError: no such thing"),
        ("OddName", "OddName: return self.step()"),
        ("pkg.mod.QuotaSpent: no more", "QuotaSpent: no more"),
        ("RuntimeError: Worker failed with error 'KeyError(\"layer\")', please check the stack trace above for the root cause", "KeyError: layer"),
    ],
)  # fmt: skip
def test_the_exception_that_tells_most_is_quoted(error: str, said: str) -> None:
    found = next(one for one in evaluate({"engine.log": core(error)}).findings if one.id == "ctr.state")
    assert found.cause == "unknown_error" and said in found.summary
