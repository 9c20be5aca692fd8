"""Runs in vLLM's environment: imports its server once, and starts it as often as it is told to on its standard input.

Each start is a process of its own, forked before anything was done with what is imported, in a session of its own.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def serve() -> list[str]:
    """Answers each line with one; returns in a process that was asked to start, with its arguments."""
    for line in sys.stdin:
        asked = json.loads(line)
        answer: Any
        if "known" in asked:
            answer = known()
        elif "ended" in asked:
            pid, status = os.waitpid(asked["ended"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            answer = os.fork()
            if answer == 0:
                become(asked)
                return list(asked["arguments"])
        print(json.dumps(answer), flush=True)
    raise SystemExit


def known() -> dict[str, Any]:
    """The flags, each with what it sets and takes, and the names of parsers and architectures."""
    from vllm.entrypoints.common.cli_args import make_arg_parser
    from vllm.model_executor.models import registry
    from vllm.reasoning import ReasoningParserManager
    from vllm.tool_parsers import ToolParserManager
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    flags = make_arg_parser(FlexibleArgumentParser())._option_string_actions
    return {
        "flags": {
            name: [action.dest, action.nargs, sorted(map(str, action.choices)) if action.choices else None]
            for name, action in flags.items()
        },
        "tool_parsers": sorted(ToolParserManager.list_registered()),
        "reasoning_parsers": sorted(ReasoningParserManager.list_registered()),
        "architectures": sorted(registry._TEXT_GENERATION_MODELS | registry._TRANSFORMERS_SUPPORTED_MODELS),
    }


def become(asked: dict[str, Any]) -> None:
    os.setsid()
    nothing, log = os.open(os.devnull, os.O_RDONLY), os.open(asked["log"], os.O_WRONLY | os.O_APPEND)
    for here, there in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(here, there)
    os.close(nothing)
    os.close(log)
    os.chdir(asked["directory"])
    os.environ.clear()
    os.environ.update(asked["environment"])


if __name__ == "__main__":
    sys.path.append(sys.argv[1])
    from linode_coder.sandbox.guest.engine import vllm_processes

    del sys.path[-1]
    vllm_processes.load(vllm_processes.SERVER)
    print(json.dumps("ready"), flush=True)
    vllm_processes.run(vllm_processes.SERVER, serve())
