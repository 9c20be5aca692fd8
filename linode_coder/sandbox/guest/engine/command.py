"""`vllm serve` of the engine's image: the stand-in, or the real engine where the sandbox runs that one."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import NoReturn

from ..start import command

CARDS = Path("/etc/sandbox/gpus.json")
ENGINE = Path("/etc/sandbox/engine.json")


def main(arguments: list[str]) -> NoReturn:
    if arguments[:1] != ["serve"]:
        sys.exit("the sandbox's vllm knows `vllm serve`")
    if not CARDS.exists():
        # They come with the GPUs' devices, and vLLM finds none without them.
        sys.exit(
            "RuntimeError: Failed to infer device type, please set the environment variable `VLLM_LOGGING_LEVEL=DEBUG`"
        )
    engine = json.loads(ENGINE.read_text())
    program = "engine.vllm_cpu" if engine["engine"] == "vllm" else "engine.main"
    environment = {**os.environ, **engine.get("env", {})}
    argv = [*command(program), *arguments[1:]]
    os.execve(argv[0], argv, environment)
