"""The flags of vLLM 0.33 by what they take, and other names it knows. Data only; `args.py` makes a parser of it."""

SWITCHES = """
    allow-credentials allow-deprecated-quantization async-scheduling cohere-is-reasoning-model cudagraph-metrics
    data-parallel-external-lb data-parallel-hybrid-lb dcp-q-replicate disable-cascade-attn
    disable-chunked-mm-input disable-custom-all-reduce disable-fastapi-docs disable-hybrid-kv-cache-manager
    disable-nccl-for-dp-synchronization disable-sliding-window disable-uvicorn-access-log
    enable-auto-tool-choice enable-batch-sharded-sampling enable-chunked-prefill enable-cumem-allocator
    enable-dbo enable-elastic-ep enable-ep-weight-filter enable-eplb enable-expert-parallel
    enable-fault-tolerance enable-flash-late-interaction enable-flashinfer-autotune enable-force-include-usage
    enable-hc-sp enable-layerwise-nvtx-tracing enable-log-deltas enable-log-outputs enable-log-requests
    enable-logging-iteration-details enable-lora enable-mamba-cache-stochastic-rounding
    enable-mamba-shared-prefix-checkpoint enable-mfu-metrics enable-mixed-moe-lora-format enable-mm-embeds
    enable-moe-shared-loras enable-nccl-comm-suspend enable-offline-docs enable-per-request-metrics
    enable-prefix-caching enable-prompt-embeds enable-prompt-tokens-details enable-request-id-headers
    enable-return-routed-experts enable-scale-out enable-server-load-tracking enable-shm-tensor-arena
    enable-sleep-mode enable-ssl-refresh enable-tokenizer-info-endpoint enable-tower-connector-lora
    enable-trace-replay enforce-eager exclude-tools-when-tool-choice-none fail-on-environ-validation
    fully-sharded-loras interleave-mm-strings jit-monitor-verbose kv-cache-metrics kv-sharing-fast-prefill
    language-model-only log-error-stack long-prefill-token-threshold-adaptive mm-device-do-normalize
    mm-encoder-only monokernel numa-bind ray-workers-use-nsight return-sampling-mask return-tokens-as-token-ids
    scheduler-reserve-full-isl skip-mm-profiling skip-tokenizer-init sleep-mode-offload-cudagraph
    specialize-active-lora swa-bounded-replay tokens-only trust-remote-code trust-request-chat-template
    trust-request-mm-kwargs use-fp64-gumbel use-replayssm use-tqdm-on-load
""".split()
PLAIN_SWITCHES = """
    aggregate-engine-logging data-parallel-multi-port-external-lb disable-log-stats grpc headless
""".split()
VALUES = """
    additional-config allowed-headers allowed-local-media-path allowed-methods allowed-origins api-server-count
    attention-backend attention-config aux-output-config block-size chat-template code-revision cohere-format
    compilation-config config config-format cp-kv-cache-interleave-size cpu-distributed-timeout-seconds
    cpu-offload-gb custom-histogram-buckets data-parallel-address data-parallel-backend data-parallel-rank
    data-parallel-rpc-port data-parallel-size data-parallel-size-local data-parallel-start-rank
    data-parallel-supervisor-port dbo-decode-token-threshold dbo-prefill-token-threshold
    dcp-kv-cache-interleave-size decode-context-parallel-size default-chat-template-kwargs default-mm-loras
    device-ids diffusion-config disable-access-log-for-endpoints distributed-executor-backend
    distributed-timeout-seconds download-dir dp-supervisor-probe-failure-threshold
    dp-supervisor-probe-interval-s dp-supervisor-probe-timeout-s dp-sync-interval ec-manager-config
    ec-transfer-config elastic-ep-max-dp-size engram-config eplb-config fault-tolerance-config fingerprint-value
    generation-config gpu-memory-utilization grpc-port h11-max-header-count h11-max-incomplete-event-size
    hf-config-path hf-overrides hf-token host io-processor-plugin ir-op-priority kernel-config kv-cache-dtype
    kv-cache-memory-bytes kv-cache-metrics-sample kv-events-config kv-offloading-size kv-transfer-config
    limit-mm-per-prompt load-format log-config-file logging-config long-prefill-token-threshold mamba-backend
    mamba-block-size mamba-cache-philox-rounds master-addr master-port max-cpu-loras max-cudagraph-capture-size
    max-log-len max-logprobs max-lora-cls-labels max-loras max-model-len max-num-active-seqs
    max-num-batched-tokens max-num-queued-reqs max-num-queued-tokens max-num-scheduled-tokens max-num-seqs
    max-parallel-loading-workers media-io-kwargs middleware mm-encoder-attn-backend mm-encoder-fp8-scale-path
    mm-encoder-fp8-scale-save-margin mm-encoder-fp8-scale-save-path mm-ipc-gpu-memory-gb mm-processor-cache-gb
    mm-processor-kwargs mm-shm-cache-max-object-size-mb model model-class-overrides model-impl
    model-loader-extra-config nnodes node-rank num-gpu-blocks-override offload-group-size offload-num-in-group
    offload-prefetch-step optimization-level otlp-traces-endpoint override-generation-config
    pipeline-parallel-size pooler-config port prefill-context-parallel-size prefill-schedule-interval
    prefix-cache-retention-interval prefix-match-unit profiler-config pt-load-map-location quantization
    quantization-config reasoning-config reasoning-effort-map reasoning-parser reasoning-parser-plugin
    renderer-num-workers replayssm-buffer-len response-role revision root-path safetensors-prefetch-block-size
    safetensors-prefetch-num-threads scheduler-cls seed show-hidden-metrics-for-version shutdown-timeout
    sleep-mode-backend spec-model spec-tokens speculative-config sse-keep-alive-interval ssl-ca-certs
    ssl-cert-reqs ssl-certfile ssl-ciphers ssl-keyfile stream-interval structured-outputs-config
    tensor-parallel-size tokenizer tokenizer-mode tokenizer-revision tool-call-parser tool-parser-plugin
    tool-server ubatch-size uds video-pruning-rate watchdog-config watermark watermark-config
    weight-transfer-config worker-cls worker-extension-cls
""".split()
LISTS = """
    allowed-media-domains api-key collect-detailed-traces cpu-offload-params cudagraph-capture-sizes
    ignore-patterns kv-cache-dtype-skip-layers logits-processors lora-modules lora-target-modules numa-bind-cpus
    numa-bind-nodes offload-params served-model-name sleep-preserve-parameter-names
""".split()
CHOICES = {
    "all2all-backend": [
        "allgather_reducescatter",
        "deepep_high_throughput",
        "deepep_low_latency",
        "deepep_v2",
        "flashinfer_all2allv",
        "flashinfer_nvlink_one_sided",
        "flashinfer_nvlink_two_sided",
        "moonep",
        "mori_high_throughput",
        "mori_low_latency",
        "naive",
        "nixl_ep",
        "pplx",
    ],
    "anthropic-disabled-thinking-effort": ["auto", "high", "low", "max", "medium", "none", "xhigh"],
    "chat-template-content-format": ["auto", "openai", "string"],
    "collect-detailed-traces": ["all", "model", "worker", "None"],
    "convert": ["auto", "classify", "embed", "none"],
    "dcp-comm-backend": ["a2a", "ag_rs", "None"],
    "dtype": ["auto", "bfloat16", "float", "float16", "float32", "half"],
    "expert-placement-strategy": ["linear", "round_robin"],
    "fingerprint-mode": ["custom", "full", "hash", "none"],
    "gdn-prefill-backend": ["flashinfer", "triton", "cutedsl", "aiter_flydsl", "sycl"],
    "jit-monitor-mode": ["error", "warn"],
    "kda-decode-backend": ["auto", "native", "flashinfer", "triton"],
    "kda-prefill-backend": ["auto", "triton", "flashkda", "flashinfer", "fused"],
    "kv-offloading-backend": ["lmcache", "native"],
    "linear-backend": [
        "aiter",
        "auto",
        "b12x",
        "conch",
        "cutlass",
        "deep_gemm",
        "emulation",
        "exllama",
        "fbgemm",
        "flashinfer_b12x",
        "flashinfer_cudnn",
        "flashinfer_cutedsl",
        "flashinfer_cutlass",
        "flashinfer_trtllm",
        "humming",
        "machete",
        "marlin",
        "torch",
        "triton",
        "xpu",
        "xpu_woq",
    ],
    "log-level": ["CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG", "NOTSET"],
    "logprobs-mode": ["processed_logits", "processed_logprobs", "raw_logits", "raw_logprobs"],
    "lora-dtype": ["auto", "bfloat16", "float16"],
    "mamba-cache-dtype": ["auto", "bfloat16", "float16", "float32"],
    "mamba-cache-mode": ["align", "none"],
    "mamba-ssm-cache-dtype": ["auto", "bfloat16", "float16", "float32"],
    "mamba-ssu-algorithm": ["auto", "horizontal", "simple", "vertical", "None"],
    "max-lora-rank": ["1", "8", "16", "32", "64", "128", "256", "320", "512"],
    "mm-encoder-attn-dtype": ["fp8", "None"],
    "mm-encoder-tp-mode": ["data", "weights"],
    "mm-hasher-algorithm": ["blake3", "sha256", "sha512"],
    "mm-processor-cache-type": ["lru", "shm"],
    "mm-processor-device": ["auto", "cpu"],
    "mm-tensor-ipc": ["direct_rpc", "torch_shm"],
    "moe-backend": [
        "aiter",
        "aiter_mega_moe",
        "aiter_triton_mxfp4_bf16",
        "auto",
        "b12x",
        "batched_triton",
        "cutlass",
        "deep_gemm",
        "deep_gemm_mega_moe",
        "emulation",
        "flashinfer_b12x",
        "flashinfer_cutedsl",
        "flashinfer_cutlass",
        "flashinfer_moe_ep_cutedsl",
        "flashinfer_moe_ep_mega_deep_gemm",
        "flashinfer_trtllm",
        "flydsl",
        "hpc",
        "humming",
        "marlin",
        "rdna3",
        "triton",
        "triton_unfused",
        "aiter_triton_mxfp4_mxfp4",
    ],
    "offload-backend": ["auto", "prefetch", "uva"],
    "per-request-spec-decode-metrics": ["detailed", "none", "summary"],
    "performance-mode": ["balanced", "interactivity", "throughput"],
    "prefix-caching-hash-algo": ["sha256", "sha256_cbor", "xxhash", "xxhash_cbor"],
    "runner": ["auto", "draft", "generate", "pooling"],
    "safetensors-load-strategy": ["eager", "lazy", "prefetch", "torchao", "None"],
    "scheduling-policy": ["fcfs", "priority"],
    "sparse-indexer-topk-backend": [
        "aiter",
        "auto",
        "cooperative",
        "deep_select",
        "flashinfer",
        "per_row",
        "persistent",
        "torch",
    ],
    "spec-method": [
        "bailing_hybrid_mtp",
        "bailing_hybrid_v3_mtp",
        "custom_class",
        "deepseek_mtp",
        "dflash",
        "dots3_note_mtp",
        "draft_model",
        "dspark",
        "eagle",
        "eagle3",
        "ernie_mtp",
        "exaone4_5_mtp",
        "exaone_moe_mtp",
        "extract_hidden_states",
        "gemma4_mtp",
        "glm4_moe_lite_mtp",
        "glm4_moe_mtp",
        "glm5_next_mtp",
        "glm_ocr_mtp",
        "hy_v3_mtp",
        "hy_v4_mtp",
        "inkling_mtp",
        "kimi_k3_mtp",
        "longcat_flash_mtp",
        "mimo_mtp",
        "mimo_v2_mtp",
        "minimax_m3_mtp",
        "mtp",
        "nemotron_h_mtp",
        "ngram",
        "ngram_gpu",
        "pangu_ultra_moe_mtp",
        "qwen3_5_mtp",
        "qwen3_next_mtp",
        "qwen4_exp_mtp",
        "step3p5_mtp",
        "suffix",
        "None",
        "step5_mtp",
    ],
    "tool-strict-level": ["auto", "function", "parameter", "None"],
    "uvicorn-log-level": ["critical", "debug", "error", "info", "trace", "warning"],
    "video-pruning-method": ["evs", "vidcom2"],
}
# Checked only when the engine is configured, since a platform may bring kinds of its own; in the order in which they are named.
KV_CACHE_DTYPES = """
    auto float16 bfloat16 fp8 fp8_e4m3 fp8_e5m2 fp8_inc fp8_ds_mla nvfp4_ds_mla turboquant_k8v4
    turboquant_4bit_nc turboquant_k3v4_nc turboquant_3bit_nc octave_k3v4 octave_k3v3 octave_k3v3_compact
    ultraquant_4bit int4_per_token_head int8_per_token_head fp8_per_token_head nvfp4 nvfp4_4over6
""".split()
TOOL_PARSERS = """
    apertus beam cohere_command3 cohere_command4 deepseek_v3 deepseek_v31 deepseek_v32 deepseek_v4 deepseek_v41
    dots ernie45 functiongemma gemma4 gigachat3 glm45 glm47 granite granite-20b-fc granite4 hermes hf
    hunyuan_a13b hy_v3 hy_v4 inkling internlm jamba k2_horizon kimi_k2 kimi_k3 lfm2 ling3 llama3_json
    llama4_json llama4_pythonic longcat mimo minicpm5 minimax_m2 minimax_m3 mistral muse muse_glimmer
    musespark1x olmo3 openai phi4_mini_json plamo3 poolside_v1 pythonic qwen3_coder qwen3_json qwen3_xml
    seed_oss step3 step3p5 step5 xlam
""".split()
REASONING_PARSERS = """
    beam cohere_command3 cohere_command4 deepseek_r1 deepseek_v3 deepseek_v4 deepseek_v41 ernie45 gemma4 glm45
    glm47 granite granite_thinking_parser hf holo2 hunyuan_a13b hy_v3 hy_v4 inkling k2_horizon kimi_k2 kimi_k3
    ling3 mimo minicpmv minimax_m2 minimax_m2_append_think minimax_m3 mistral muse muse_glimmer musespark1x
    nemotron_v3 olmo3 openai_gptoss plamo3 poolside_v1 qwen3 seed_oss step3 step3p5 step5
""".split()
# Architectures that generate text.
ARCHITECTURES = """
    AXK1ForCausalLM AfmoeForCausalLM AliceAIForCausalLM ApertusForCausalLM ArceeForCausalLM
    BailingMoeForCausalLM BailingMoeV2ForCausalLM BailingMoeV2_5ForCausalLM BailingMoeV3ForCausalLM
    BeamForCausalLM BloomForCausalLM ChatGLMForConditionalGeneration ChatGLMModel Cohere2ForCausalLM
    Cohere2MoeForCausalLM CohereForCausalLM CwmForCausalLM DbrxForCausalLM DeciLMForCausalLM DeepseekForCausalLM
    DeepseekV2ForCausalLM DeepseekV32ForCausalLM DeepseekV3ForCausalLM DeepseekV4ForCausalLM
    DomynEdgeForCausalLM DoryForCausalLM Emu3ForConditionalGeneration Ernie4_5ForCausalLM
    Ernie4_5_MoeForCausalLM Exaone4ForCausalLM ExaoneForCausalLM ExaoneMoEForCausalLM ExaoneMoeForCausalLM
    FalconForCausalLM FalconH1ForCausalLM FalconMambaForCausalLM FlexOlmoForCausalLM FlintForCausalLM
    GPT2LMHeadModel GPTBigCodeForCausalLM GPTJForCausalLM GPTNeoXForCausalLM Gemma2ForCausalLM Gemma3ForCausalLM
    Gemma3nForCausalLM Gemma4ForCausalLM GemmaForCausalLM Glm4ForCausalLM Glm4MoeForCausalLM
    Glm4MoeLiteForCausalLM Glm5NextForCausalLM GlmForCausalLM GlmMoeDsaForCausalLM GptOssForCausalLM
    GraniteForCausalLM GraniteMoeForCausalLM GraniteMoeHybridForCausalLM GraniteMoeSWAForCausalLM
    GraniteMoeSharedForCausalLM GraniteSWAForCausalLM HCXVisionV2ForCausalLM HYV3ForCausalLM HYV4ForCausalLM
    HrmTextForCausalLM HunYuanDenseV1ForCausalLM HunYuanMoEV1ForCausalLM HunYuanVLForConditionalGeneration
    HyperCLOVAXForCausalLM IQuestCoderForCausalLM IQuestLoopCoderForCausalLM InklingForCausalLM
    InklingForConditionalGeneration InternLM2ForCausalLM InternLM3ForCausalLM Jais2ForCausalLM JambaForCausalLM
    K2HorizonForCausalLM KimiLinearForCausalLM Kolibri1ForCausalLM LLaMAForCausalLM LagunaForCausalLM
    Lfm2ForCausalLM Lfm2MoeForCausalLM Llama4ForCausalLM LlamaForCausalLM LongcatFlashForCausalLM
    LongcatFlashNgramForCausalLM Mamba2ForCausalLM MambaForCausalLM MellumForCausalLM MiMoForCausalLM
    MiMoV2FlashForCausalLM MiMoV2ForCausalLM MiniCPM3ForCausalLM MiniCPMForCausalLM MiniMaxM2ForCausalLM
    MiniMaxM3SparseForCausalLM Ministral3ForCausalLM MistralForCausalLM MistralLarge3ForCausalLM
    MixtralForCausalLM MuseGlimmerForCausalLM NanbeigeForCausalLM NemotronForCausalLM NemotronHForCausalLM
    NemotronHPuzzleForCausalLM OPTForCausalLM Olmo2ForCausalLM Olmo3ForCausalLM OlmoForCausalLM
    OlmoHybridForCausalLM OlmoeForCausalLM OrionForCausalLM PanguEmbeddedForCausalLM PanguProMoEV2ForCausalLM
    PanguUltraMoEForCausalLM Param2MoEForCausalLM Phi3ForCausalLM PhiForCausalLM PhiMoEForCausalLM
    Plamo3ForCausalLM Qwen2ForCausalLM Qwen2MoeForCausalLM Qwen3ForCausalLM Qwen3MoeForCausalLM
    Qwen3NextForCausalLM Qwen3_5ForCausalLM Qwen3_5MoeForCausalLM Qwen4ExpForCausalLM Rnj1ForCausalLM
    SarvamMLAForCausalLM SarvamMoEForCausalLM SeedOssForCausalLM SmolLM3ForCausalLM SolarForCausalLM
    StableLmForCausalLM Starcoder2ForCausalLM Step1ForCausalLM Step3TextForCausalLM Step3p5ForCausalLM
    Step5ForCausalLM TeleChat2ForCausalLM TeleChat3ForCausalLM TeleFLMForCausalLM VaultGemmaForCausalLM
    VibeVoiceAsrForConditionalGeneration Zamba2ForCausalLM
""".split()
