"""`vllm serve` of the engine's image: the stand-in, or the real engine where the sandbox runs that one."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

CARDS = Path("/etc/sandbox/gpus.json")
ENGINE = Path("/etc/sandbox/engine.json")


def main(arguments: list[str]) -> None:
    if arguments[:1] != ["serve"]:
        sys.exit("the sandbox's vllm knows `vllm serve`")
    if not CARDS.exists():
        # They come with the GPUs' devices, and vLLM finds none without them.
        sys.exit(
            "RuntimeError: Failed to infer device type, please set the environment variable `VLLM_LOGGING_LEVEL=DEBUG`"
        )
    engine = json.loads(ENGINE.read_text())
    program = "vllm_cpu.py" if engine["engine"] == "vllm" else "engine.py"
    environment = {**os.environ, **engine.get("env", {})}
    argv = [sys.executable, "-I", "-S", str(Path(__file__).with_name(program)), *arguments[1:]]
    os.execve(argv[0], argv, environment)


if __name__ == "__main__":
    main(sys.argv[1:])
