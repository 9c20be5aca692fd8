"""Runs in vLLM's environment: imports its server once, and starts it as often as it is told to on its standard input.

Each start is a process of its own, forked before anything was done with what is imported, in a session of its own.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

MODULE = "vllm.entrypoints.openai.api_server"


def serve() -> list[str]:
    """Answers each line with one; returns in a process that was asked to start, with its arguments."""
    for line in sys.stdin:
        asked = json.loads(line)
        if "ended" in asked:
            pid, status = os.waitpid(asked["ended"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            answer = os.fork()
            if answer == 0:
                become(asked)
                return list(asked["arguments"])
        print(json.dumps(answer), flush=True)
    raise SystemExit


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
    vllm_processes.load(MODULE)
    print(json.dumps("ready"), flush=True)
    vllm_processes.run(MODULE, serve())
