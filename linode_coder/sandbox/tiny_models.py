"""Tiny Qwen2 models with random weights, for the real vLLM on a CPU. Runs as a script inside vLLM's own environment.

``python tiny_models.py DIRECTORY`` makes one directory for each of `MODELS` in it. A byte-level tokenizer with a chat
template that knows tools; head size 64, since the CPU attention refuses smaller ones. The same seed gives the same weights.
"""

from __future__ import annotations

import sys
from pathlib import Path

# name -> hidden size, layers, longest context. The last one's context needs more cache than the sandbox gives (1 GiB).
MODELS = {
    "tiny-coder-1m": (256, 2, 4096),
    "tiny-coder-3m": (384, 3, 8192),
    "tiny-coder-long": (256, 2, 786432),
}
BROKEN = "tiny-coder-broken"  # the first one, with its weights cut short

_CHAT_TEMPLATE = """\
{%- if tools %}<|im_start|>system
Tools:
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}<|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message['role'] }}
{{ message['content'] or '' }}
{%- if message['tool_calls'] %}{{ message['tool_calls'] | tojson }}{% endif %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def make(directory: Path) -> None:
    for name, shape in MODELS.items():
        _make_one(directory / name, *shape)
    whole = directory / next(iter(MODELS))
    broken = directory / BROKEN
    broken.mkdir(parents=True, exist_ok=True)
    for file in whole.iterdir():
        data = file.read_bytes()
        (broken / file.name).write_bytes(data[: len(data) // 2] if file.suffix == ".safetensors" else data)


def _make_one(directory: Path, hidden: int, layers: int, context: int) -> None:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>", "<think>", "</think>"]
    vocabulary = {token: index for index, token in enumerate([*alphabet, *special])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=special[1:2],
    )
    fast.add_tokens(special[3:])
    fast.chat_template = _CHAT_TEMPLATE
    config = Qwen2Config(
        vocab_size=len(vocabulary),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        num_key_value_heads=2,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        bos_token_id=vocabulary["<|endoftext|>"],
        eos_token_id=vocabulary["<|im_end|>"],
    )
    torch.manual_seed(0)
    Qwen2ForCausalLM(config).to(torch.bfloat16).save_pretrained(directory)
    fast.save_pretrained(directory)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
