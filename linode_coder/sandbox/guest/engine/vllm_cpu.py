"""Starts the real vLLM's CPU build in a host whose GPUs are pretended, and says which settings that changes.

The settings of a GPU are checked and then replaced: the CPU build would take the memory share of the whole machine and has
one memory, no half precision and no compiler here. Everything else reaches vLLM as it is.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import NoReturn

from .. import start
from . import args
from .log import say
from .main import squat_if_asked
from .memory import cards
from .vllm_processes import SERVER

# What the CPU build gets instead, last on the command line, where it wins.
_INSTEAD = {
    "gpu_memory_utilization": "0.1",
    "tensor_parallel_size": "1",
    "kv_cache_dtype": "auto",
    "dtype": "float32",
    "max_num_batched_tokens": "4096",
}
# Most tokens of an answer. Random weights seldom end one, and an agent that asks for 16384 would wait for minutes.
_ANSWER = {"sandbox/tiny-coder-long": 512}
_NOT_SET = {"gpu_memory_utilization": 0.92, "tensor_parallel_size": 1, "kv_cache_dtype": "auto", "dtype": "auto"}


def main(arguments: list[str]) -> NoReturn:
    engine = json.loads(Path("/etc/sandbox/engine.json").read_text())
    options = args.parse(arguments)
    if options.tensor_parallel_size > len(cards()):
        # vLLM would say so on a machine with these cards.
        say(
            f"ValueError: World size ({options.tensor_parallel_size}) is larger than the number of available GPUs "
            f"({len(cards())}) in this node.",
            error=True,
        )
        raise SystemExit(1)
    squat_if_asked(options)
    changed = []
    for name, value in _INSTEAD.items():
        given = getattr(options, name)
        if given not in (None, _NOT_SET.get(name)) and str(given) != value:
            changed.append(f"{name.replace('_', '-')} {given} -> {value}")
    told = f", so some settings are others: {', '.join(changed)}" if changed else ""
    say(f"(sandbox) This is vLLM's CPU build; the GPUs of this host are pretended{told}.", error=True)
    extra = [word for name, value in _INSTEAD.items() for word in (f"--{name.replace('_', '-')}", value)]
    if options.model in _ANSWER:
        extra += ["--override-generation-config", json.dumps({"max_new_tokens": _ANSWER[options.model]})]
    _tell_architecture(Path(engine["model_infos"]))
    program = [
        engine["python"],
        "-P",  # modules beside the program have names of vLLM's own
        start.__file__,
        "engine.vllm_processes",
        SERVER,
        *_as_flags(arguments),
        *extra,
        "--enforce-eager",
    ]
    os.execve(program[0], program, {**os.environ, **engine["vllm_env"]})


def _tell_architecture(found_out: Path) -> None:
    """What vLLM found out about the architecture of the tiny models: else the first start on a host takes twice as long."""
    root = os.environ.get("VLLM_CACHE_ROOT")
    known = Path(root) if root else Path.home() / ".cache/vllm"
    if not (known / found_out.name).exists():
        shutil.copytree(found_out, known / found_out.name)


def _as_flags(arguments: list[str]) -> list[str]:
    """The image's entry point takes the model first; the module takes it as a flag."""
    if arguments and not arguments[0].startswith("-"):
        return ["--model", *arguments]
    return arguments
