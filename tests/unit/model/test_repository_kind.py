# SPDX-License-Identifier: GPL-3.0-or-later
"""What is refused before anything is paid for, and with which words; and what is not refused.

Every row is a kind of repository in the Hub's own form, reduced to what is read. The address beside it is a public
repository, or a thread about one, that has this form.
"""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.engine_architectures import GENERATE, REMOVED
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.hub_model import model_from_hub
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.repository_kind import base_of, weight_files
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile import CORPUS

NAME = "acme/thing"
SAFE = ("model.safetensors", "config.json", "tokenizer.json")


def info(*files: str, **more: Any) -> dict[str, Any]:
    return {"id": NAME, "siblings": [{"rfilename": file, "size": 10**9} for file in files], "gated": False, **more}


def config(architecture: str, **more: Any) -> dict[str, Any]:
    return {
        "architectures": [architecture],
        "model_type": "x",
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "hidden_size": 1024,
        "max_position_embeddings": 32768,
        "torch_dtype": "bfloat16",
        **more,
    }


def refusal(about: dict[str, Any], settings: dict[str, Any] | None) -> Failure:
    with pytest.raises(Failure) as caught:
        model_from_hub(NAME, about, settings)
    assert (caught.value.kind, caught.value.exit_code, caught.value.field) == ("refused", 3, "model")
    assert caught.value.remedy and str(caught.value).startswith(NAME) and str(caught.value).count(". ") == 0
    return caught.value


KINDS = [
    # huggingface.co/BAAI/bge-m3
    (info(*SAFE, pipeline_tag="sentence-similarity"), config("XLMRobertaModel"), "an embedding model"),
    # huggingface.co/intfloat/e5-mistral-7b-instruct
    (info(*SAFE, pipeline_tag="feature-extraction"), config("MistralModel"), "an embedding model (MistralModel"),
    # huggingface.co/Qwen/Qwen3-Embedding-8B: its architecture generates, and its task says that it does not
    (info(*SAFE, pipeline_tag="feature-extraction"), config("Qwen3ForCausalLM"), "an embedding model"),
    # huggingface.co/nomic-ai/nomic-embed-text-v1.5, without a task
    (info(*SAFE, library_name="sentence-transformers"), config("NomicBertModel"), "embedding model|without a head"),
    # huggingface.co/Alibaba-NLP/gte-Qwen2-7B-instruct, without the Hub's words
    (info(*SAFE, "modules.json", "1_Pooling/config.json"), config("Qwen2ForCausalLM"), "an embedding model"),
    # huggingface.co/vidore/colqwen2.5-v0.2
    (info(*SAFE), config("ColQwen2_5"), "an embedding model"),
    # github.com/vllm-project/vllm/issues/6947
    (info(*SAFE), config("LlamaEmbeddingModel"), "an embedding model"),
    # huggingface.co/BAAI/bge-reranker-v2-m3
    (info(*SAFE, pipeline_tag="text-ranking"), config("XLMRobertaForSequenceClassification"), "a reranker"),
    # huggingface.co/Qwen/Qwen3-Reranker-8B
    (info(*SAFE, pipeline_tag="text-ranking"), config("Qwen3ForCausalLM"), "a reranker"),
    # huggingface.co/jinaai/jina-reranker-v3
    (info(*SAFE), config("JinaForRanking"), "a reranker"),
    # huggingface.co/cross-encoder/ms-marco-MiniLM-L6-v2
    (info(*SAFE), config("BertForSequenceClassification", num_labels=1), "a reranker or a reward model"),
    # huggingface.co/Skywork/Skywork-Reward-V2-Llama-3.1-8B
    (info(*SAFE), config("LlamaForSequenceClassification", id2label={"0": "LABEL_0"}), "a reranker or a reward model"),
    # huggingface.co/internlm/internlm2-7b-reward
    (info(*SAFE, pipeline_tag="text-classification"), config("InternLM2ForRewardModel"), "a reward model"),
    # huggingface.co/Qwen/Qwen2.5-Math-PRM-7B
    (info(*SAFE), config("Qwen2ForProcessRewardModel"), "a reward model"),
    # huggingface.co/ProsusAI/finbert
    (info(*SAFE, pipeline_tag="text-classification"), config("BertForSequenceClassification"), "a classifier"),
    # huggingface.co/dslim/bert-base-NER
    (info(*SAFE), config("BertForTokenClassification"), "a classifier"),
    # huggingface.co/urchade/gliner_large-v2.1
    (info("pytorch_model.bin", library_name="gliner"), None, "a classifier"),
    # huggingface.co/openai/whisper-large-v3
    (info(*SAFE, pipeline_tag="automatic-speech-recognition"), config("WhisperForConditionalGeneration"), "a speech model"),
    # huggingface.co/Qwen/Qwen3-ASR-1.7B
    (info(*SAFE), config("Qwen3ASRForConditionalGeneration"), "a speech model"),
    # huggingface.co/microsoft/speecht5_tts
    (info("pytorch_model.bin", "config.json"), config("SpeechT5ForTextToSpeech"), "a speech model"),
    # huggingface.co/facebook/wav2vec2-base-960h
    (info(*SAFE), config("Wav2Vec2ForCTC"), "a speech model"),
    # huggingface.co/black-forest-labs/FLUX.1-dev
    (info("model_index.json", "transformer/x.safetensors", pipeline_tag="text-to-image"), None, "a diffusion pipeline"),
    # huggingface.co/stabilityai/stable-diffusion-xl-base-1.0, with single files beside the folders
    (info("sd_xl.safetensors", "model_index.json", library_name="diffusers"), None, "a diffusion pipeline"),
    # huggingface.co/Wan-AI/Wan2.2-T2V-A14B
    (info("x.safetensors", "config.json", pipeline_tag="text-to-video"), config("WanModel"), "a diffusion pipeline"),
    # huggingface.co/google/vit-base-patch16-224
    (info(*SAFE, pipeline_tag="image-classification"), config("ViTForImageClassification"), "a vision model"),
    # huggingface.co/openai/clip-vit-large-patch14
    (info(*SAFE), config("CLIPModel"), "a vision model"),
    # huggingface.co/facebook/detr-resnet-50
    (info(*SAFE), config("DetrForObjectDetection"), "a vision model"),
    # huggingface.co/FacebookAI/roberta-large
    (info(*SAFE, pipeline_tag="fill-mask"), config("RobertaForMaskedLM"), "an encoder"),
    # huggingface.co/answerdotai/ModernBERT-large
    (info(*SAFE), config("ModernBertForMaskedLM"), "an encoder"),
    # huggingface.co/google/electra-large-discriminator
    (info(*SAFE), config("ElectraForPreTraining"), "an encoder"),
    # huggingface.co/google-t5/t5-base
    (info(*SAFE, pipeline_tag="translation"), config("T5ForConditionalGeneration", is_encoder_decoder=True), "decoders only"),
    # huggingface.co/facebook/bart-large-cnn
    (info(*SAFE, pipeline_tag="summarization"), config("BartForConditionalGeneration", is_encoder_decoder=True), "decoders only"),
    # huggingface.co/Helsinki-NLP/opus-mt-en-de
    (info(*SAFE), config("MarianMTModel", is_encoder_decoder=True), "decoders only"),
    # huggingface.co/openvla/openvla-7b
    (info(*SAFE, pipeline_tag="robotics"), config("OpenVLAForActionPrediction"), "numbers or actions"),
    # huggingface.co/amazon/chronos-2
    (info(*SAFE, pipeline_tag="time-series-forecasting"), config("Chronos2Model"), "numbers or actions"),
    # huggingface.co/RedHatAI/gpt-oss-20b-speculator.eagle3
    (info(*SAFE), config("Eagle3Speculator", speculators_config={"algorithm": "eagle3"}), "a draft model"),
    # huggingface.co/yuhuili/EAGLE3-LLaMA3.1-Instruct-8B
    (info("pytorch_model.bin", "config.json"), config("LlamaForCausalLMEagle3"), "a draft model"),
    # huggingface.co/poolside/Laguna-XS-2.1-DFlash
    (info(*SAFE, pipeline_tag="text-generation"), config("DFlashDraftModel"), "a draft model"),
    # huggingface.co/GSAI-ML/LLaDA-8B-Instruct
    (info(*SAFE, pipeline_tag="text-generation"), config("LLaDAModelLM"), "without a head"),
    # huggingface.co/baichuan-inc/Baichuan2-13B-Chat
    (info(*SAFE), config("BaichuanForCausalLM"), "0.23.0 was the last"),
    # huggingface.co/mosaicml/mpt-7b
    (info(*SAFE), config("MPTForCausalLM"), "0.28.0 was the last"),
]  # fmt: skip


@pytest.mark.parametrize(("about", "settings", "words"), KINDS)
def test_what_writes_no_text_is_refused_with_what_it_is(
    about: dict[str, Any], settings: dict[str, Any] | None, words: str
) -> None:
    said = str(refusal(about, settings))
    assert any(part in said for part in words.split("|")), said


FORMATS = [
    # huggingface.co/unsloth/Qwen3-Coder-30B-A3B-Instruct-GGUF
    (info("thing-Q4_K_M.gguf", library_name="gguf"), None, "stored as GGUF only"),
    # huggingface.co/bartowski/Qwen2.5-Coder-32B-Instruct-GGUF, with the parts in a folder
    (info("q8/thing-00001-of-00002.gguf", "README.md"), None, "stored as GGUF only"),
    # github.com/vllm-project/vllm-gguf-plugin/issues/101
    (info("thing.gguf", "config.json"), config("Qwen3ForCausalLM"), "stored as GGUF only"),
    # huggingface.co/onnx-community/Qwen2.5-Coder-1.5B-Instruct
    (info("onnx/model_q4.onnx", "config.json"), config("Qwen2ForCausalLM"), "stored as ONNX only"),
    # huggingface.co/microsoft/Phi-4-mini-instruct-onnx
    (info("gpu/int4/model.onnx", "gpu/int4/model.onnx.data"), None, "stored as ONNX only"),
    # huggingface.co/OpenVINO/Qwen3-8B-int4-ov
    (info("openvino_model.bin", "openvino_model.xml", "config.json"), config("Qwen3ForCausalLM"), "OpenVINO only"),
    # huggingface.co/apple/coreml-mistral-7b-instruct-v0.3
    (info("x.mlpackage/Data/com.apple.CoreML/weights/weight.bin"), None, "Core ML only"),
    # huggingface.co/litert-community/Gemma3-1B-IT
    (info("gemma3-1b-it-int4.task", "x.litertlm"), None, "LiteRT only"),
    # huggingface.co/nvidia/parakeet-tdt-0.6b-v2, without a task
    (info("parakeet.nemo"), None, "NeMo only"),
    # huggingface.co/mlx-community/Qwen3-Coder-30B-A3B-Instruct-4bit
    (info(*SAFE, library_name="mlx"), config("Qwen3MoeForCausalLM", quantization={"bits": 4, "group_size": 64}), "MLX"),
    # github.com/vllm-project/vllm/issues/13283
    (info(*SAFE), config("DeepseekV3ForCausalLM", quantization={"bits": 4}, quantization_config={"bits": 4}), "MLX"),
    # huggingface.co/mlx-community/gemma-3-12b-it-bf16
    (info(*SAFE, tags=["MLX", "safetensors"]), config("Gemma3ForConditionalGeneration"), "MLX"),
    # github.com/vllm-project/vllm/issues/19896
    (info(*SAFE), config("Qwen3ForCausalLM", quantization_config={"quant_method": "exl3"}), "EXL3, for ExLlamaV3"),
    # github.com/vllm-project/vllm/pull/11348
    (info("output-00001-of-00003.safetensors"), config("LlamaForCausalLM", quantization_config={"quant_method": "exl2"}), "EXL2"),
    # huggingface.co/turboderp/Qwen3-8B-exl3: every rate in a branch of its own, none in main
    (info("README.md", library_name="exllamav3"), None, "EXL3 only"),
    # github.com/vllm-project/vllm/issues/11010
    (info(*SAFE), config("LlamaForCausalLM", quantization_config={"quant_method": "bitsandbytes"}), "stored as bitsandbytes"),
    # huggingface.co/ISTA-DASLab/Meta-Llama-3-70B-AQLM-2Bit-1x16
    (info(*SAFE), config("LlamaForCausalLM", quantization_config={"quant_method": "aqlm"}), "stored as aqlm"),
    # huggingface.co/mobiuslabsgmbh/Llama-3.1-70b-instruct_4bitgs64_hqq
    (info(*SAFE), config("LlamaForCausalLM", quantization_config={"quant_method": "hqq"}), "stored as hqq"),
    # Nothing but a card, and weights where the engine does not look.
    (info("README.md", ".gitattributes"), None, "holds no weights"),
    (info("README.md", "4bit/model.safetensors"), None, "keeps its weights in folders"),
]  # fmt: skip


@pytest.mark.parametrize(("about", "settings", "words"), FORMATS)
def test_what_the_engine_cannot_load_is_refused(
    about: dict[str, Any], settings: dict[str, Any] | None, words: str
) -> None:
    assert words in str(refusal(about, settings))
    made_from = refusal({**about, "cardData": {"base_model": ["org/base-7b"]}}, settings)
    assert "org/base-7b" in str(made_from.remedy) or "stored as" in str(made_from)


# huggingface.co/predibase/magicoder, github.com/unslothai/unsloth/issues/1191, github.com/lm-sys/FastChat/issues/1689
@pytest.mark.parametrize(
    "about",
    [
        info("adapter_config.json", "adapter_model.safetensors", library_name="peft"),
        info("adapter_config.json", "adapter_model.bin", "tokenizer.json", library_name="transformers"),
        info("checkpoint-100/adapter_model.safetensors", "README.md", library_name="peft"),
    ],
)
def test_an_adapter_names_the_model_that_it_is_for(about: dict[str, Any]) -> None:
    found = refusal({**about, "cardData": {"base_model": "Qwen/Qwen3.8-27B"}}, None)
    assert "an adapter (LoRA) for Qwen/Qwen3.8-27B" in str(found) and "Serve Qwen/Qwen3.8-27B itself" in str(
        found.remedy
    )
    alone = refusal(about, None)
    assert "for another model" in str(alone) and "Serve its base model" in str(alone.remedy)


SERVED = [
    (info(*SAFE, pipeline_tag="text-generation", library_name="transformers"), config("Qwen3ForCausalLM")),
    (info(*SAFE), config("Qwen3ForCausalLM")),
    # Words that a model which writes text may carry, too.
    (info(*SAFE, pipeline_tag="image-text-to-text"), config("Gemma3ForConditionalGeneration")),
    (info(*SAFE, pipeline_tag="any-to-any"), config("Qwen3OmniMoeForConditionalGeneration")),
    (info(*SAFE, pipeline_tag="translation"), config("HunYuanDenseV1ForCausalLM")),
    (info(*SAFE, pipeline_tag="summarization"), config("LlamaForCausalLM")),
    (info(*SAFE, pipeline_tag="audio-text-to-text"), config("VoxtralForConditionalGeneration")),
    # Other formats beside the weights, and an adapter beside them.
    (info(*SAFE, "thing.gguf", "onnx/model.onnx", tags=["mlx", "gguf"], library_name="transformers"), None),
    (info(*SAFE, "adapter_config.json", "adapter_model.safetensors"), config("LlamaForCausalLM")),
    # Older formats, and Mistral's own.
    (info("pytorch_model-00001-of-00002.bin", "config.json", "training_args.bin"), config("LlamaForCausalLM")),
    (info("consolidated.safetensors", "params.json"), None),
    # What is not known is not refused.
    (info(), None),
    ({"id": NAME}, None),
    (info(*SAFE), {}),
    (info(*SAFE), config("BrandNewForCausalLM")),
    # The odd names among those that the engine has.
    *((info(*SAFE), config(name)) for name in ("GPT2LMHeadModel", "ChatGLMModel", "InternVLChatModel", "NVLM_D")),
]


@pytest.mark.parametrize(("about", "settings"), SERVED)
def test_what_may_write_text_is_not_refused(about: dict[str, Any], settings: dict[str, Any] | None) -> None:
    assert model_from_hub(NAME, about, settings).id == NAME


def test_every_architecture_of_the_engine_is_let_through() -> None:
    assert len(GENERATE) > 250 and not GENERATE & set(REMOVED)
    refused = set()
    for name in GENERATE:
        try:
            model_from_hub(NAME, info(*SAFE, pipeline_tag="text-generation"), config(name))
        except Failure:
            refused.add(name)
    assert refused == set()


def test_an_architecture_that_nobody_knows_is_said_to_be_unsure() -> None:
    notes = model_from_hub(NAME, info(*SAFE), config("BrandNewForCausalLM")).notes
    assert any("no code of its own for BrandNewForCausalLM" in note for note in notes)
    assert not any("no code" in note for note in model_from_hub(NAME, info(*SAFE), config("Qwen3ForCausalLM")).notes)


@pytest.mark.parametrize(
    ("files", "counted"),
    [
        (["model.safetensors", "consolidated.safetensors", "pytorch_model.bin"], ["model.safetensors"]),
        (["adapter_model.safetensors", "pytorch_model.bin"], ["pytorch_model.bin"]),
        (["consolidated.safetensors"], ["consolidated.safetensors"]),
        (["training_args.bin", "openvino_model.bin", "optimizer.bin", "a/model.safetensors"], []),
    ],
)
def test_the_files_that_are_loaded(files: list[str], counted: list[str]) -> None:
    assert weight_files(files) == counted


@pytest.mark.parametrize("said", [None, 5, [], [5], {}, "no slash", "a/b/c", "a/b\x1b[2J", "a b/c", *CORPUS.values()])
def test_a_base_model_that_is_none_is_not_repeated(said: Any) -> None:
    assert base_of({"cardData": {"base_model": said}}) is None


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)
KEYS = (
    "quantization_config",
    "quantization",
    "text_config",
    "rope_scaling",
    "rope_parameters",
    "layer_types",
    "sliding_window_pattern",
    "linear_attn_config",
    "attention_other_setting",
    "num_key_value_heads",
    "head_dim",
    "kv_lora_rank",
    "qk_rope_head_dim",
    "torch_dtype",
    "id2label",
    "max_position_embeddings",
    "intermediate_size",
    "num_experts",
)


@given(
    st.dictionaries(st.sampled_from(KEYS), junk, max_size=6),
    st.dictionaries(st.sampled_from(("pipeline_tag", "library_name", "tags")), junk, max_size=3),
)
def test_no_configuration_brings_it_down(settings: dict[str, Any], about: dict[str, Any]) -> None:
    """Whatever anybody wrote into a repository, it is understood, unknown, or refused in a sentence."""
    whole = {**config("Qwen3ForCausalLM"), **settings}
    try:
        model = model_from_hub(NAME, info(*SAFE, **about), whole)
    except Failure as failure:
        assert failure.kind == "refused" and str(failure).startswith(NAME)
        return
    for group in model.attention or ():
        assert group.layers > 0 and min(group.kv_heads, group.head_dim, group.latent_dim, group.state_heads) >= 0
    assert model.max_context is None or model.max_context > 0
