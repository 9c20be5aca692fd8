# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a repository of the Hub is, where it is nothing that the engine writes text with.

The Hub's own words come first (task, library), then the names of the files, then config.json. All of it is text of
whoever filled the repository: it is compared and quoted, no more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ..core.failure import Failure
from .engine_architectures import GENERATE, REMOVED
from .stored_as import METHODS, quantization_of, stored_as


@dataclass(frozen=True)
class Kind:
    """``what``: with its article. ``why``: how it differs from a model that writes text."""

    what: str
    why: str


EMBEDDING = Kind("an embedding model", "it turns text into vectors and writes none")
RERANKER = Kind("a reranker", "it scores pairs of texts and writes none")
CLASSIFIER = Kind("a classifier", "it sorts text and writes none")
REWARD = Kind("a reward model", "it scores answers and writes none")
ENCODER = Kind("an encoder", "it fills gaps in a text and does not continue it")
SPEECH = Kind("a speech model", "it works on sound, not on text")
DIFFUSION = Kind("a diffusion pipeline", "it makes pictures, video or sound, not text")
VISION = Kind("a vision model", "it works on pictures and writes no text")
NUMBERS = Kind("a model of numbers or actions", "it writes no text")
DRAFT = Kind("a draft model for speculative decoding", "it only helps the model that it was made for")
ENCODER_DECODER = Kind("an encoder and a decoder", "the engine serves decoders only")
HEADLESS = Kind("a model without a head that writes", "nothing comes out of it but vectors")

# What the Hub says that a repository is for.
_TASKS = {
    **dict.fromkeys(("sentence-similarity", "feature-extraction"), EMBEDDING),
    "text-ranking": RERANKER,
    **dict.fromkeys(
        (
            "text-classification",
            "token-classification",
            "zero-shot-classification",
            "question-answering",
            "table-question-answering",
        ),
        CLASSIFIER,
    ),
    "fill-mask": ENCODER,
    **dict.fromkeys(
        (
            "automatic-speech-recognition",
            "text-to-speech",
            "text-to-audio",
            "audio-to-audio",
            "audio-classification",
            "voice-activity-detection",
        ),
        SPEECH,
    ),
    **dict.fromkeys(
        (
            "text-to-image",
            "image-to-image",
            "image-text-to-image",
            "text-to-video",
            "image-to-video",
            "image-text-to-video",
            "video-to-video",
            "unconditional-image-generation",
            "text-to-3d",
            "image-to-3d",
        ),
        DIFFUSION,
    ),
    **dict.fromkeys(
        (
            "image-classification",
            "image-feature-extraction",
            "image-segmentation",
            "object-detection",
            "depth-estimation",
            "keypoint-detection",
            "mask-generation",
            "video-classification",
            "zero-shot-image-classification",
            "zero-shot-object-detection",
            "visual-document-retrieval",
        ),
        VISION,
    ),
    **dict.fromkeys(
        (
            "time-series-forecasting",
            "tabular-classification",
            "tabular-regression",
            "reinforcement-learning",
            "robotics",
            "graph-ml",
        ),
        NUMBERS,
    ),
}
_LIBRARIES = {
    "diffusers": DIFFUSION,
    "sentence-transformers": EMBEDDING,
    "timm": VISION,
    "speculators": DRAFT,
    **dict.fromkeys(("setfit", "span-marker", "gliner", "spacy", "flair", "fasttext", "stanza"), CLASSIFIER),
    **dict.fromkeys(("speechbrain", "espnet", "pyannote-audio", "asteroid"), SPEECH),
    **dict.fromkeys(("sklearn", "stable-baselines3", "ml-agents", "lerobot"), NUMBERS),
}
# Parts of the names of architectures; the first that is found counts.
_ARCHITECTURES: tuple[tuple[str, Kind], ...] = (
    (r"^(Eagle|PEagle|Peagle)|Eagle3?$|MTP(Model)?$|^DFlash|DSpark|Medusa|MLPSpeculator|Draft(Model)?$", DRAFT),
    (r"Reward", REWARD),
    (r"For(Ranking|TextRanking)$|Reranker|CrossEncoder", RERANKER),
    (r"For(SequenceClassification|TokenClassification|QuestionAnswering|MultipleChoice|JointSchema)$", CLASSIFIER),
    (r"For(MaskedLM|PreTraining|NextSentencePrediction)$", ENCODER),
    (
        r"Whisper|ASR|Asr[A-Z]|Speech|TTS|Wav2Vec|Hubert|WavLM|Musicgen|Parler|ForCTC$|Transcribe|Realtime|Bark(Model)?$"
        r"|ForAudio",
        SPEECH,
    ),
    (r"^Col[A-Z]|ForRetrieval$|Embed(ding)?(Model)?$|EmbeddingGemma|Bidirectional|^GritLM$", EMBEDDING),
    (
        r"For(ImageClassification|ObjectDetection|SemanticSegmentation|InstanceSegmentation|UniversalSegmentation"
        r"|DepthEstimation|VideoClassification|MaskedImageModeling|ImageSegmentation)$|^(CLIP|Siglip|Dinov|ViT)",
        VISION,
    ),
    (r"ForActionPrediction$|ForPrediction$|ForTimeSeries", NUMBERS),
    (r"Transformer[23]DModel$|UNet2D|Autoencoder", DIFFUSION),
)
_GENERATES = (
    "ForCausalLM",
    "ForCausalLMV",
    "ForConditionalGeneration",
    "LMHeadModel",
    "ChatModel",
    "ForBlockDiffusion",
)
# Formats by the ends of file names, where the engine finds no weights of its own.
_FORMATS = (
    ((".gguf", ".ggml"), "GGUF"),
    ((".onnx", ".onnx_data", ".ort"), "ONNX"),
    (("openvino_model.bin", "openvino_model.xml", "openvino_language_model.bin"), "OpenVINO"),
    ((".mlpackage", ".mlmodel", ".mlmodelc", "weight.bin"), "Core ML"),
    ((".tflite", ".task", ".litertlm"), "LiteRT"),
    ((".engine", ".plan"), "TensorRT"),
    ((".nemo",), "NeMo"),
    ((".h5", ".keras"), "Keras"),
    ((".msgpack",), "Flax"),
    ((".pte",), "ExecuTorch"),
    ((".llamafile",), "llamafile"),
    ((".mnn",), "MNN"),
    ((".rkllm",), "RKLLM"),
)
_LOADED = "AWQ, GPTQ, compressed-tensors, FP8, NVFP4, MXFP4 or 16 bits"
_LONGEST_QUOTE = 60


def refuse_what_is_not_served(name: str, info: dict[str, Any], config: dict[str, Any] | None) -> None:
    """Failure(refused), one sentence that says what the repository is, where the engine cannot serve it.

    ``info`` is the Hub's description, ``config`` None where config.json cannot be read.
    """
    files = [str(file.get("rfilename") or "") for file in info.get("siblings") or []]
    _refuse_formats(name, info, config or {}, files)
    kind, evidence = _kind(info, config or {}, files)
    if kind is not None:
        raise _refused(
            name,
            f"{name} is {kind.what} ({', '.join(_quoted(text) for text in evidence)}): {kind.why}.",
            "Choose a model that writes text; see: linode-coder models. If this one does, describe it in models.toml.",
        )


def _refused(name: str, sentence: str, remedy: str) -> Failure:
    return Failure("refused", sentence, remedy=remedy, field="model", value=name)


def _quoted(text: str) -> str:
    return text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "..."


def base_of(info: dict[str, Any]) -> str | None:
    """The repository that this one was made from, as its card says."""
    said = (info.get("cardData") or {}).get("base_model")
    first = said[0] if isinstance(said, list) and said else said
    return first if isinstance(first, str) and re.fullmatch(r"[\w.-]+/[\w.-]+", first, re.ASCII) else None


def _library(info: dict[str, Any]) -> str:
    return str(info.get("library_name") or "").lower()


def _tags(info: dict[str, Any]) -> set[str]:
    listed = info.get("tags")
    return {str(tag).lower() for tag in listed} if isinstance(listed, list) else set()


def weight_files(files: list[str]) -> list[str]:
    """The files at the top of a repository that the engine loads, in the format that it prefers."""
    top = [file for file in files if "/" not in file]
    safe = [file for file in top if file.endswith(".safetensors") and not file.startswith(("adapter_", "consolidated"))]
    whole = [file for file in top if file.startswith("consolidated") and file.endswith(".safetensors")]
    older = [file for file in top if re.fullmatch(r"(pytorch_)?model.*\.bin", file)]
    return safe or whole or older


def _refuse_formats(name: str, info: dict[str, Any], config: dict[str, Any], files: list[str]) -> None:
    base = base_of(info)
    instead = f"Serve {base} itself" if base else "Serve its base model"
    weights = weight_files(files)
    library, tags = _library(info), _tags(info)
    if not weights and ("adapter_config.json" in files or library == "peft"):
        raise _refused(
            name,
            f"{name} is an adapter (LoRA) for {base or 'another model'}, and holds none of that model's weights.",
            f"{instead}, or a repository in which the two are merged.",
        )
    if "model_index.json" in files or library == "diffusers":
        raise _refused(
            name, f"{name} is {DIFFUSION.what} (diffusers): {DIFFUSION.why}.", "Choose a model: linode-coder models"
        )
    own = config.get("quantization")
    method = str(quantization_of(config).get("quant_method") or "").lower()
    # Apple's library writes both keys, and neither names a method. The tag alone may mean other files beside these.
    tagged = "mlx" in tags and library != "transformers"
    if not method and (library == "mlx" or tagged or (isinstance(own, dict) and "bits" in own)):
        raise _refused(
            name,
            f"{name} holds weights for MLX, which run on Apple's processors only.",
            f"{instead}, or weights in {_LOADED}; see: linode-coder models",
        )
    stored = stored_as(config).method
    if stored and stored not in METHODS:
        said = {"exl2": "EXL2, for ExLlamaV2", "exl3": "EXL3, for ExLlamaV3"}.get(stored, _quoted(stored))
        raise _refused(
            name,
            f"{name} is stored as {said}, which the engine does not serve.",
            f"Choose weights in {_LOADED}; see: linode-coder models",
        )
    if weights or not files:
        return
    formats = [format_ for ends, format_ in _FORMATS if any(file.lower().endswith(ends) for file in files)]
    if library.startswith("exllama"):
        formats.insert(0, "EXL3" if library.endswith("3") else "EXL2")
    if formats:
        raise _refused(
            name,
            f"{name} is stored as {' and '.join(formats[:2])} only, which the engine does not serve.",
            f"{instead}, or weights in {_LOADED}; see: linode-coder models",
        )
    inside = any(file.endswith((".safetensors", ".bin")) for file in files if "/" in file)
    raise _refused(
        name,
        f"{name} keeps its weights in folders, and the engine reads those at the top only."
        if inside and "config.json" not in files
        else f"{name} holds no weights that the engine loads.",
        f"{instead}, or weights in {_LOADED}; see: linode-coder models",
    )


def _kind(info: dict[str, Any], config: dict[str, Any], files: list[str]) -> tuple[Kind | None, list[str]]:
    """What it is, and what says so; None for what writes text, as far as anybody says."""
    listed = config.get("architectures")
    names = [str(name) for name in listed if name] if isinstance(listed, list) else []
    architecture = names[0] if names else ""
    task, library = str(info.get("pipeline_tag") or "").lower(), _library(info)
    evidence = [text for text in (architecture, task) if text]
    by_name = None
    if architecture not in GENERATE:
        by_name = next((kind for part, kind in _ARCHITECTURES if re.search(part, architecture)), None)
    if "speculators_config" in config or by_name is DRAFT:
        return DRAFT, evidence or ["speculators_config"]
    if task in _TASKS:
        kind = _TASKS[task]
        # The name of an architecture is closer than the Hub's word: "text-classification" is a reward model's task, too.
        return (by_name if by_name is not None and kind in (CLASSIFIER, EMBEDDING) else kind), evidence
    if by_name is not None:
        if by_name is CLASSIFIER and _one_label(config):
            by_name = Kind("a reranker or a reward model", "it gives a score and writes no text")
        return by_name, evidence
    if library in _LIBRARIES:
        return _LIBRARIES[library], [*evidence, library]
    if "modules.json" in files and any("pooling" in file.lower() for file in files):
        return EMBEDDING, [*evidence, "modules.json"]
    if config.get("is_encoder_decoder") is True and architecture not in GENERATE:
        return ENCODER_DECODER, evidence or ["is_encoder_decoder"]
    if architecture in REMOVED:
        return Kind(
            "a model that the engine has dropped", f"{REMOVED[architecture]} was the last version with it"
        ), evidence
    if architecture and architecture not in GENERATE and not architecture.endswith(_GENERATES):
        return HEADLESS, evidence
    return None, evidence


def _one_label(config: dict[str, Any]) -> bool:
    labels = config.get("id2label")
    return config.get("num_labels") == 1 or (isinstance(labels, dict) and len(labels) == 1)


def architecture_note(name: str, config: dict[str, Any]) -> str | None:
    """What is not sure of an architecture that the engine's own list does not have."""
    listed = config.get("architectures")
    names = [str(each) for each in listed if each] if isinstance(listed, list) else []
    if not names or any(each in GENERATE for each in names):
        return None
    return (
        f"The engine has no code of its own for {_quoted(names[0])}, so {name} starts only if Transformers has some: nobody here "
        "has tried."
    )
