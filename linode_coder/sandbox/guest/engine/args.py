"""vLLM's command line: the flags, the `--config` file and the refusals of `vllm serve`."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path

from .flag_names import CHOICES, LISTS, PLAIN_SWITCHES, SWITCHES, VALUES

_SHORT = {
    "api-server-count": "-asc",
    "tensor-parallel-size": "-tp",
    "pipeline-parallel-size": "-pp",
    "prefill-context-parallel-size": "-pcp",
    "decode-context-parallel-size": "-dcp",
    "data-parallel-size": "-dp",
    "data-parallel-address": "-dpa",
    "data-parallel-backend": "-dpb",
    "data-parallel-external-lb": "-dpe",
    "data-parallel-hybrid-lb": "-dph",
    "data-parallel-multi-port-external-lb": "-dpm",
    "data-parallel-rank": "-dpn",
    "data-parallel-rpc-port": "-dpp",
    "data-parallel-size-local": "-dpl",
    "data-parallel-start-rank": "-dpr",
    "diffusion-config": "-dc",
    "quantization": "-q",
    "speculative-config": "-sc",
    "compilation-config": "-cc",
    "attention-config": "-ac",
    "optimization-level": "-O",
    "enable-expert-parallel": "-ep",
    "nnodes": "-n",
    "node-rank": "-r",
}
_SECRET = ("api_key", "hf_token")
# Their value may be left out.
_MAY_BE_BARE = ("hf-token",)
# Other names of flags.
_ALSO = {"gpu-memory-utilization": "device-memory-utilization"}
_FACTOR = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def human_readable_int(text: str) -> int:
    """32768, 32k (decimal) or 32K (binary). argparse names this function when it refuses a value."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kmgtKMGT])", text.strip())
    if match is None:
        return int(text)
    plain, suffix = match.groups()
    if suffix in "KMGT" and "." in plain:
        raise argparse.ArgumentTypeError(
            f"Decimals are not allowed with binary suffixes like {suffix}. Did you mean to use {plain}{suffix.lower()} instead?"
        )
    return int(float(plain) * _FACTOR[suffix])


def human_readable_int_or_auto(text: str) -> int:
    return -1 if text.strip().lower() == "auto" else human_readable_int(text)


def jsonish(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"Value {text} cannot be converted to <function loads at 0x7f>.") from None


_TYPES: dict[str, Callable[[str], object]] = {
    "max-model-len": human_readable_int_or_auto,
    **dict.fromkeys(
        ("max-num-seqs", "max-num-batched-tokens", "kv-cache-memory-bytes", "max-num-queued-reqs"), human_readable_int
    ),
    **dict.fromkeys(
        (
            *(
                "port",
                "tensor-parallel-size",
                "pipeline-parallel-size",
                "data-parallel-size",
                "shutdown-timeout",
                "seed",
            ),
            *("max-cudagraph-capture-size", "block-size", "num-gpu-blocks-override", "spec-tokens", "max-logprobs"),
            *("sse-keep-alive-interval", "stream-interval", "max-lora-rank", "max-loras", "api-server-count"),
        ),
        int,
    ),
    **dict.fromkeys(("gpu-memory-utilization", "cpu-offload-gb", "kv-offloading-size"), float),
    **dict.fromkeys(
        (
            *("speculative-config", "default-chat-template-kwargs", "override-generation-config", "hf-overrides"),
            *("limit-mm-per-prompt", "logging-config", "additional-config", "mm-processor-kwargs", "media-io-kwargs"),
            *("attention-config", "eplb-config", "kernel-config", "structured-outputs-config", "kv-transfer-config"),
        ),
        jsonish,
    ),
}
_DEFAULTS: dict[str, object] = {
    "host": None,
    "port": 8000,
    "gpu-memory-utilization": 0.92,
    "tensor-parallel-size": 1,
    "pipeline-parallel-size": 1,
    "shutdown-timeout": 0,
    "kv-cache-dtype": "auto",
    "dtype": "auto",
    "enable-prefix-caching": True,
}


class _Switch(argparse.BooleanOptionalAction):
    """`--enable-x` goes with `--disable-x`, and either with a `--no-` of its own."""

    def __init__(self, option_strings: list[str], dest: str, default: object = None) -> None:
        super().__init__(option_strings, dest, default=default)
        pairs = (("--enable-", "--disable-"), ("--disable-", "--enable-"))
        opposite = [
            other + name.removeprefix(begin)
            for name in option_strings
            for begin, other in pairs
            if name.startswith(begin)
        ]
        self.on = frozenset(option_strings)
        self.option_strings = [*self.option_strings, *opposite]

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: object, name: str | None = None
    ) -> None:
        setattr(namespace, self.dest, name in self.on)


def _names(flag: str) -> list[str]:
    return [f"--{flag}", *([f"--{_ALSO[flag]}"] if flag in _ALSO else []), *([_SHORT[flag]] if flag in _SHORT else [])]


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vllm serve", usage="vllm serve [model_tag] [options]")
    parser.add_argument("model_tag", nargs="?")
    for name in SWITCHES:
        parser.add_argument(*_names(name), action=_Switch, default=_DEFAULTS.get(name))
    for name in PLAIN_SWITCHES:
        parser.add_argument(*_names(name), action="store_true", default=None)
    for name in VALUES:
        nargs = "?" if name in _MAY_BE_BARE else None
        parser.add_argument(*_names(name), type=_TYPES.get(name, str), default=_DEFAULTS.get(name), nargs=nargs)
    for name in LISTS:
        parser.add_argument(*_names(name), nargs="+", choices=CHOICES.get(name))
    for name, words in CHOICES.items():
        if name not in LISTS:
            kind = _TYPES.get(name, str)
            choices = [kind(word) for word in words]
            parser.add_argument(*_names(name), type=kind, choices=choices, default=_DEFAULTS.get(name))
    return parser


def with_dashes(arguments: list[str]) -> list[str]:
    """`--max_model_len=1` is `--max-model-len=1`."""
    return [
        "=".join((part.replace("_", "-"), *rest)) if part.startswith("--") else "=".join((part, *rest))
        for part, *rest in (argument.split("=", 1) for argument in arguments)
    ]


def from_config(path: Path) -> list[str]:
    """The flags of a YAML file with one `name: value` a line, whose values are JSON or plain words."""
    if path.suffix not in (".yaml", ".yml"):
        raise ValueError(f"Config file must be of a yaml/yml type. {path} provided.")
    arguments = []
    for line in path.read_text().splitlines():
        if not line.strip() or line.lstrip().startswith("#") or line.strip() == "---":
            continue
        name, colon, text = line.partition(":")
        if not colon or name != name.strip():
            raise ValueError(f"the sandbox reads flat configuration files only, not: {line}")
        try:
            value = json.loads(text)
        except ValueError:
            value = text.strip().strip("'")
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            arguments.append(flag)
        elif isinstance(value, list):
            arguments += [flag, *map(str, value)]
        elif isinstance(value, dict):
            arguments += [flag, json.dumps(value)]
        elif value not in (False, None):
            arguments += [flag, str(value)]
    return arguments


def parse(arguments: list[str]) -> argparse.Namespace:
    """Exits with 2 and vLLM's text for what vLLM does not know; what `--config` says comes first, so flags win."""
    arguments = with_dashes(arguments)
    parser = make_parser()
    for index, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name == "--config":
            path = value if equals else arguments[index + 1]
            rest = arguments[:index] + arguments[index + (1 if equals else 2) :]
            # The positional model stays in front: a list flag of the file would swallow it.
            lead = rest[:1] if rest and not rest[0].startswith("-") else []
            arguments = [*lead, *from_config(Path(path)), *rest[len(lead) :]]
            break
    options = parser.parse_args(arguments)
    options.model = options.model_tag or options.model or "Qwen/Qwen3-0.6B"
    return options


def non_default(options: argparse.Namespace) -> dict[str, object]:
    """As the log shows it: secrets masked."""
    shown = {
        name: "***" if name in _SECRET else value
        for name, value in vars(options).items()
        if name not in ("config",) and value is not None and value != _DEFAULTS.get(name.replace("_", "-"))
    }
    if shown.get("model_tag") == shown.get("model"):
        shown.pop("model", None)
    return shown
