# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why an engine does not take a model: the hub, the files, the image's software, the flags. Texts of vLLM 0.6 to 0.33."""

from __future__ import annotations

from . import flag_steps as steps
from .cause import AGAIN, FLAGS, FOLLOWS, GENERAL, PERSON, cause

HUB = (
    cause(
        "gated_model",
        (
            r"GatedRepoError",
            r"Cannot access gated repo for url",
            r"Access to model \S{1,200} is restricted",
            r"403 Client Error[^\n]{0,400}huggingface\.co",
            r"You are trying to access a gated repo",
        ),
        "The model is gated, and the token given may not read it.",
        "Accept the model's licence on its page and give a token of the same account, or choose a model without a gate.",
        PERSON,
    ),
    cause(
        "model_not_found",
        (
            r"RepositoryNotFoundError",
            r"RevisionNotFoundError",
            r"Repository Not Found for url: \S{1,300}",
            r"HFValidationError: Repo id must(?![^\n]{0,600}/hub/models--)",
            r"is not a local folder and is not a valid model identifier",
        ),
        "The model does not exist, or is private.",
        "Check its id; for a private model give a token.",
        PERSON,
    ),
    cause(
        "hub_token",
        (
            r"Invalid (?:user token|username or password)",
            r"401 Client Error(?![^\n]{0,200}(?:Repository|gated))",
            r"LocalTokenNotFoundError",
        ),
        "The model hub does not accept the token.",
        "Make a token with read access and set HF_TOKEN.",
        PERSON,
        rank=GENERAL,
    ),
    cause(
        "rate_limited",
        (
            r"429 (?:Client Error: )?Too Many Requests(?:[^\n]{0,400}?Retry after \d{1,9} seconds)?",
            r"Status Code: 429",
            r"exceeded the (?:rate limit|quota)",
        ),
        "The model hub limits the rate of downloads.",
        "Wait and try again; a token raises the limit.",
        AGAIN,
        rank=FOLLOWS,
        passes=True,
    ),
    cause(
        "hub_transfer",
        (
            r"CAS service error",
            r"Data processing error: ",
            r"xet_get|hf_xet|XetDownloadError|xethub\.hf\.co",
            r"hf_transfer[^\n]{0,80}[Ee]rror",
        ),
        "The download of the model from the hub broke off (Xet): the hub limits its rate, or the network does not let it through.",
        "Wait and try again: it goes on where it stopped, and a token raises the limit; HF_HUB_DISABLE_XET=1 takes the plain way.",
        AGAIN,
        rank=GENERAL,
        passes=True,
    ),
    cause(
        "model_not_cached",
        # A folder of the cache that is gone is taken for the id of a model.
        (
            r"LocalEntryNotFoundError",
            r"Cannot find an appropriate cached snapshot folder",
            r"HFValidationError: [^\n]{0,600}/hub/models--",
            r"OfflineModeIsEnabled",
        ),
        "The model is not on the disk completely, and the engine may not download.",
        "Download the model again; the download goes on where it stopped.",
        AGAIN,
        fetch=True,
    ),
    cause(
        "certificate",
        (
            r"CERTIFICATE_VERIFY_FAILED",
            r"certificate verify failed",
            r"SSLCertVerificationError",
            r"x509: certificate [^\n]{1,120}",
            r"(?:self-signed certificate|unable to get (?:local )?issuer certificate)",
        ),
        "The certificate of the model hub or registry is not trusted: the VM's clock is wrong, or something on the network reads along.",
        "Look at the VM's clock and its ca-certificates; behind a proxy of a company its certificate has to be known to VM and container.",
        PERSON,
    ),
    cause(
        "network",
        (
            r"ReadTimeout(?:Error)?\b",
            r"(?:requests\.exceptions\.|httpx\.)?Connect(?:ion)?(?:Error|Timeout)\b",
            r"MaxRetryError",
            r"Temporary failure in name resolution",
            r"NameResolutionError",
            r"We couldn't connect to 'https?://[^'\n]{1,100}'",
            r"Connection reset by peer",
            r"(?:RemoteProtocolError|ChunkedEncodingError|IncompleteRead|ProxyError|RemoteDisconnected)",
            r"Network is unreachable",
            r"50[0-4] Server Error",
        ),
        "The network or the model hub did not answer.",
        "Try again; the download goes on where it stopped. Look at the VM's network and name resolution when it comes again.",
        AGAIN,
        rank=FOLLOWS,
        passes=True,
    ),
)

FILES = (
    cause(
        "corrupt_weights",
        (
            r"SafetensorError: Error while deserializing(?: header)?: [^\n]{0,300}",
            r"SafetensorError: [^\n]{0,200}",
            r"HeaderTooLarge",
            r"MetadataIncompleteBuffer",
            r"PytorchStreamReader failed",
            r"unable to mmap \d{1,15} bytes from file",
            r"invalid load key",
        ),
        "A file of the model's weights is damaged.",
        "Delete the damaged file and download it again.",
        AGAIN,
        fetch=True,
    ),
    cause(
        "gguf_unsupported",
        (
            r"GGUF model with architecture (?P<architecture>[\w.-]{1,60}) is not supported",
            r"Architecture '?(?P<architecture>[\w.-]{1,60})'? (?:is )?not supported(?: yet)?",
            r"[Uu]nknown gguf model_type: (?P<architecture>[\w.-]{1,60})",
            r"GGUF (?:file|quantization|format)[^\n]{0,80}not supported",
            r"No GGUF tensors|multiple GGUF files",
        ),
        (
            "The engine does not serve GGUF files of the architecture {architecture}.",
            "The engine does not serve this model's GGUF files.",
        ),
        "Use the model's repository with safetensors, or another variant of it (AWQ, GPTQ or FP8).",
        PERSON,
    ),
    cause(
        "no_weights",
        r"Cannot find any model weights with `[^`\n]{0,200}`",
        "The model's folder has no weights that the engine can load.",
        "Choose a repository with safetensors files.",
        PERSON,
    ),
    cause(
        "no_config",
        (
            r"No supported config format found in '?(?P<model>[^'\s]{1,200}?)'?(?:\.|\s|$)",
            r"does not appear to have a file named config\.json",
            r"Unrecognized model in (?P<model>[^\s]{1,200}?)\.? Should have a `model_type` key",
            r"Invalid repository ID or local directory specified: '(?P<model>[^'\n]{1,200})'",
            r"Can't load the configuration of '(?P<model>[^'\n]{1,200})'",
        ),
        (
            "The repository {model} has no config.json: it holds an adapter, GGUF files or no model at all.",
            "The repository has no config.json: it holds an adapter, GGUF files or no model at all.",
        ),
        "Name the base model, or another repository of the model with config.json and safetensors; adapters are not served alone.",
        PERSON,
    ),
    cause(
        "weights_mismatch",
        (
            r"There is no module or parameter named '?(?P<parameter>[^'\s]{1,200})'? in (?P<architecture>\w{1,100})",
            r"Following weights were not initialized from checkpoint",
            r"Attempted to load weight \([^)\n]{0,80}\) into parameter",
            r"size mismatch for (?P<parameter>[\w.]{1,200})",
            r"KeyError: '(?P<parameter>(?:\w{1,60}\.){2,12}\w{1,60}(?:weight|scale|zero_point|bias|qweight|scales|qzeros|g_idx|packed|shape|inv))'",
            r"assert (?:param_data|param|loaded_weight)\.(?:shape|size\(\)) == (?:loaded_weight|param_data|param)\.(?:shape|size\(\))",
            r"(?:[Pp]arameter|[Ww]eight)s? [^\n]{0,120}(?:not found in|missing from|unexpected in) (?:the )?(?:model|checkpoint|params_dict)",
        ),
        (
            "The model's weights do not match the engine's {architecture}: no module or parameter named {parameter}.",
            "The model's weights do not match what the engine expects of its architecture ({parameter}).",
            "The model's weights do not match what the engine expects of its architecture.",
        ),
        "Use another variant or repository of the model, or the version of the engine's image that its page names.",
        PERSON,
    ),
    cause(
        "tokenizer_too_new",
        (
            r"Tokenizer class (?P<tokenizer>\w{1,100}) does not exist or is not currently imported",
            r"data did not match any variant of untagged enum \w{1,60}",
            r"has no attribute 'all_special_tokens_extended'",
            r"Unrecognized (?:configuration|processing) class [^\n]{0,200}to build an? (?:AutoTokenizer|AutoProcessor)",
        ),
        (
            "The model's tokenizer ({tokenizer}) was written by another version of transformers than the engine's image has.",
            "The model's tokenizer was written by another version of its library than the engine's image has.",
        ),
        "Use a newer version of the engine's image (vllm_image), or another repository of the model.",
        PERSON,
    ),
    cause(
        "tokenizer",
        (
            r"Couldn't instantiate the backend tokenizer",
            r"Can't load tokenizer for",
            r"(?:tokenizer\.json|tokenizer\.model|tokenizer_config\.json)[^\n]{0,80}(?:not found|No such file)",
            r"No (?:tokenizer|tekken) file found",
        ),
        "The model's tokenizer is missing or incomplete.",
        "Download the model again.",
        AGAIN,
        fetch=True,
    ),
    cause(
        "chat_template",
        (
            r"ChatTemplateResolutionError",
            r"default chat template is no longer allowed",
            r"The supplied chat template \([^\n]{0,200}\) (?:looks like a file path, but|string)",
            r"jinja2\.exceptions\.(?:TemplateSyntaxError|UndefinedError)",
        ),
        "The model has no chat template that the engine can use.",
        "Give a chat template, or choose an instruction-tuned model.",
        PERSON,
    ),
    cause(
        "permission",
        (
            r"PermissionError: \[Errno 13\] Permission denied: '(?P<path>[^'\n]{1,300})'",
            r"\[Errno 13\] Permission denied(?:: '(?P<path>[^'\n]{1,300})')?",
            r"Permission denied \(os error 13\)",
            r"\[Errno 1\] Operation not permitted: '(?P<path>[^'\n]{1,300})'",
        ),
        (
            "Permission denied: the engine may not use {path}.",
            "Permission denied: the engine may not use a file or directory.",
        ),
        "Give it to root and make it writable (chown -R root: and chmod -R u+rwX on the VM): the engine runs as root without its privileges.",
        PERSON,
    ),
)

SOFTWARE = (
    cause(
        "flash_attention",
        (
            r"cannot import name '\w{0,60}(?:flash_attn|flash_attention|fa_version|FA[234])\w{0,60}'",
            r"No module named '[\w.]{0,60}(?:flash_attn|flash_attention|vllm_flash_attn|flashinfer)[\w.]{0,60}'",
            r"(?:flash_attn|vllm_flash_attn)[^\n]{0,200}undefined symbol",
            r"FlashAttention (?:only )?supports? (?:only )?(?:Ampere|Hopper|SM)",
            r"FlashAttention only support Ampere",
            r"(?:FA[234]|FlashAttention[- ]?[234]) is (?:not supported|only supported|unavailable|not available)[^\n]{0,120}",
            r"This flash attention build (?:does not support|only supports)",
        ),
        "The image has no FlashAttention for this card and model.",
        "Use another attention backend (attention-backend: TRITON_ATTN), or another version of the engine's image.",
        FLAGS,
        flags=steps.other_attention,
    ),
    cause(
        "image_broken",
        (
            r"undefined symbol: (?P<what>\w{1,200})",
            r"(?:GLIBC|GLIBCXX|CXXABI)_[\d.]{1,12}' not found",
            r"(?P<what>lib[\w+-]{1,60}\.so[.\d]{0,20}): cannot open shared object file",
            r"numpy\.(?:dtype|ndarray|ufunc) size changed",
            r"A module that was compiled using NumPy 1\.x cannot be run in",
            r"cannot import name '(?P<what>\w{1,100})' from (?:partially initialized module )?'(?P<where>[\w.]{1,120})'",
            r"No module named '(?!transformers_modules)(?P<what>[\w.]{1,120})'",
            r"ImportError: (?:Please install|requires|To use) [^\n]{1,120}",
            r"'_OpNamespace' '\w{1,60}' object has no attribute '(?P<what>\w{1,80})'",
            r"(?:torch|vllm|operator)[\w.]{0,40} (?:version|was) [^\n]{0,80}(?:incompatible|compiled with a different)",
        ),
        (
            "The parts of the engine's image do not fit together ({what} of {where}).",
            "The parts of the engine's image do not fit together ({what}): torch, CUDA or another library is missing or of another version.",
            "The parts of the engine's image do not fit together: torch, CUDA or another library is missing or of another version.",
        ),
        "Use another version of the engine's own image (vllm_image) as it is, without packages added to it.",
        PERSON,
    ),
    cause(
        "unknown_architecture",
        (
            r"Model architectures \[[^\]\n]{0,300}\] (?:are not supported for now|failed to be inspected)",
            r"has model type `?\w[\w.-]{0,100}`? but Transformers does not recognize this architecture",
            r"was supported in vLLM until v\S{1,40}",
            r"not supported in-tree anymore",
            r"(?:has no vLLM implementation|Cannot find model module)[^\n]{0,120}",
            r"No vLLM implementation",
        ),
        "This version of the engine does not know the model's architecture.",
        "Choose another model, or an engine version that supports it.",
        PERSON,
    ),
    cause(
        "config_mismatch",
        (
            r"Config'? object has no attribute '\w{1,80}'",
            r"Invalid type of HuggingFace config",
            r"Config' object has no setter",
            r"Config\.__init__\(\) (?:got an unexpected|missing)",
        ),
        "The engine and the transformers library in its image do not understand the model's configuration: {line}",
        "Use another version of the engine's image (vllm_image): the one that the model's page names, or a newer one.",
        PERSON,
    ),
    cause(
        "remote_code",
        (
            r"contains custom code",
            r"requires you to execute the",
            r"Failed to load the model config\. If the model is a custom model",
            r"(?:sett?(?:ing)?|pass(?:ing)?|option|argument) `?trust_remote_code=True",
            r"transformers_modules[^\n]{0,200}(?:Error|No module)",
        ),
        "The model wants to run its own code.",
        "Choose a model of the catalogue; running a model's own code is never switched on by itself.",
        PERSON,
    ),
    cause(
        "not_for_text",
        (
            r"does not support (?:the )?[`']generate[`']",
            r"[Mm]odel does not support (?:the )?(?:Chat )?Completions API",
            r"is not supported for task '?generate",
            r"supported tasks?: \{?\[?['\"]?(?:embed|classify|score|reward|token_embed)",
        ),
        "The model makes no text: it is for embeddings, ranking or classification.",
        "Choose a model that generates text: linode-coder models.",
        PERSON,
    ),
)

SETTINGS = (
    cause(
        "too_many_open_files",
        (r"\[Errno 24\] Too many open files", r"too many open files", r"Too many open files \(os error 24\)"),
        "The engine ran out of file descriptors.",
        "Raise the container's limit of open files to 65535.",
        ("recreate_container", "alert"),
    ),
    cause(
        "unknown_flag",
        r"error: unrecognized arguments: (?P<flags>[^\n]{0,1000})",
        "The engine does not know the option {flags}.",
        "Remove the option, or use a version of the engine that has it.",
        PERSON,
        flags=steps.without_unknown,
        by_hand=True,
    ),
    cause(
        "bad_argument",
        r"error: argument (?P<option>\S{1,100}): (?P<said>[^\n]{1,300})",
        "The engine does not accept the value of {option}: {said}.",
        "Correct the option.",
        PERSON,
    ),
    cause(
        "tool_parser",
        (r"invalid tool call parser: \S{1,100} \(chose from", r"--enable-auto-tool-choice requires --tool-call-parser"),
        "The engine has no such tool-call parser.",
        "Use one of the parsers that the log lists, or none.",
        FLAGS,
        flags=steps.setting(tool_call_parser=None, enable_auto_tool_choice=None),
    ),
    cause(
        "reasoning_parser",
        (
            r"Reasoning parser '(?P<parser>[^'\n]{1,100})' not found",
            r"invalid reasoning parser: (?P<parser>[^\s]{1,100})",
        ),
        "The engine has no reasoning parser {parser}.",
        "Use one of the parsers that the log lists, or none.",
        FLAGS,
        flags=steps.setting(reasoning_parser=None),
    ),
    cause(
        "context_above_model",
        r"User-specified max_model_len \((?P<asked>\d{1,9})\) is greater than the derived max_model_len "
        r"\(\w{1,60}=(?P<longest>\d{1,9})",
        "The context of {asked} tokens is longer than the model's {longest}.",
        "Ask for at most the model's own length.",
        FLAGS,
        flags=steps.longest_of_the_model,
    ),
    cause(
        "quantization_unsupported",
        (
            r"quantization method (?P<method>\S{1,60}) is not supported for the current GPU\. Minimum capability: \d{1,4}\. "
            r"Current capability: \d{1,4}",
            r"quantization (?:is not supported on|requires) (?:GPUs? with )?compute capability [^\n]{0,80}",
        ),
        ("The quantisation {method} needs a newer card.", "The model's quantisation needs a newer card."),
        "Choose another variant of the model, or a plan with a newer card.",
        PERSON,
    ),
    cause(
        "quantization_unknown",
        (
            r"Unknown quantization method: \S{1,60}?\. Must be one of",
            r"Cannot find the config file for \w{1,60}",
            r"Quantization method specified in the model config \([^)\n]{0,100}\) does not match",
        ),
        "The quantisation asked for does not fit the model.",
        "Leave the quantisation to the model's own configuration.",
        FLAGS,
        flags=steps.setting(quantization=None),
    ),
    cause(
        "quantization_plugin",
        (
            r"Please install (?P<library>bitsandbytes|gguf|auto-gptq|autoawq|exllamav\d|aqlm|hqq|fbgemm\S{0,20})\b[^\n]{0,80}",
            r"(?P<library>bitsandbytes|gguf|aqlm|hqq)[^\n]{0,60}(?:is not installed|plugin is required|moved out of)",
        ),
        "The engine's image does not have {library}, which the model's quantisation needs.",
        "Choose another variant of the model (AWQ, GPTQ, FP8 or NVFP4).",
        PERSON,
    ),
    cause(
        "dtype_unsupported",
        (
            r"Bfloat16 is only supported on GPUs with compute capability of at least 8\.0",
            r"torch\.bfloat16 is not supported for quantization method",
        ),
        "The card or the quantisation does not support bfloat16.",
        "Use half precision.",
        FLAGS,
        flags=steps.setting(dtype="half"),
    ),
    cause(
        "dtype_half",
        r"torch\.float16 is not supported for quantization method|The model type '?\w{1,60}'? does not support float16",
        "The model does not run in half precision.",
        "Choose another variant of the model, or a plan with a newer card.",
        FLAGS,
        flags=lambda _caught, context: {"dtype": None} if context.has("dtype") else None,
    ),
    cause(
        "kv_cache_dtype",
        (
            r"FP8 KV cache is not supported by the Triton",
            r"(?:kv_cache_dtype|KV cache dtype|kv-cache-dtype)[^\n]{0,100}(?:not supported|is unsupported|not compatible)",
        ),
        "The card or the attention backend does not support this type of cache (fp8).",
        "Leave the cache's type to the engine; the context may have to be shorter.",
        FLAGS,
        flags=steps.setting(kv_cache_dtype="auto"),
    ),
    cause(
        "speculation",
        (
            r"(?:[Ss]peculative|[Dd]raft)[^\n]{0,120}(?:is not supported|not compatible|must (?:match|be)|mismatch|does not support)",
            r"num_speculative_tokens[^\n]{0,80}(?:must|cannot|exceeds|was provided)",
            r"[Uu]nsupported speculative method",
        ),
        "The engine does not take the speculative decoding that it was told to use.",
        "Start it without speculative decoding (speculative-config).",
        FLAGS,
        flags=steps.without_speculation,
    ),
    cause(
        "batch_too_small",
        (
            r"max_num_batched_tokens \((?P<tokens>\d{1,9})\) is smaller than max_model_len",
            r"max_tokens_per_mm_item \(\d{1,9}\) is larger than max_num_batched_tokens \((?P<tokens>\d{1,9})\)",
            r"max_num_batched_tokens \((?P<tokens>\d{1,9})\) must be greater than or equal to max_num_seqs",
        ),
        "The engine's batches of {tokens} tokens are too small for its other settings.",
        "Raise max-num-batched-tokens, or lower max-model-len or max-num-seqs.",
        PERSON,
    ),
    cause(
        "not_with_this_model",
        (
            r"(?P<what>[Pp]ipeline parallel\w{0,6}|[Tt]ensor parallel\w{0,6}|LoRA|[Pp]refix caching|[Cc]hunked prefill|[Ee]xpert parallel\w{0,6}) "
            r"is not (?:yet )?supported (?:for|with|by)[^\n]{0,80}",
            r"does not support (?P<what>pipeline parallel\w{0,6}|tensor parallel\w{0,6}|LoRA|prefix caching|chunked prefill)",
        ),
        "The engine cannot use {what} with this model.",
        "Take the option away, or choose another model.",
        PERSON,
    ),
    cause(
        "setting_of_the_environment",
        r"(?:Invalid value|invalid value|Unknown value)[^\n]{0,100}(?P<variable>(?:VLLM|NCCL|HF|CUDA)_\w{1,60})",
        "The engine does not accept the value of the environment variable {variable}.",
        "Correct it in vllm_environment, or take it out.",
        PERSON,
    ),
)
