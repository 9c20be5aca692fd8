# SPDX-License-Identifier: GPL-3.0-or-later
"""How a log of vLLM and a container's state look when the engine does not start or dies: the forms of several versions."""

from __future__ import annotations

import json
from typing import Any

FLAGS = {"model": "org/model", "max_model_len": 32768}
SITE = "/usr/local/lib/python3.12/dist-packages"


def begun(**flags: Any) -> str:
    return (
        "(APIServer pid=1) INFO 02-11 09:14:02 [utils.py:299]   version 0.33.0\n"
        f"(APIServer pid=1) INFO 02-11 09:14:02 [utils.py:233] non-default args: { ({**FLAGS, **flags})!r}\n"
    )


def loading(**flags: Any) -> str:
    return (
        begun(**flags)
        + "(EngineCore pid=88) INFO 02-11 09:14:40 [gpu_model_runner.py:5040] Starting to load model org/model...\n"
    )


def loaded(**flags: Any) -> str:
    said = "Model loading took 21.70 GiB memory and 61.2 seconds"
    return loading(**flags) + f"(EngineCore pid=88) INFO 02-11 09:15:41 [gpu_model_runner.py:5150] {said}\n"


def traceback(*ends: str, file: str = "vllm/v1/engine/core.py", code: str = "return self.step()") -> list[str]:
    return ["Traceback (most recent call last):", f'  File "{SITE}/{file}", line 77, in run', f"    {code}", *ends]


def lines(prefix: str, *texts: str) -> str:
    return "".join(f"{prefix}{line}\n" for text in texts for line in text.split("\n"))


def core(*texts: str, before: str = "", **frames: str) -> str:
    """EngineCore does not start."""
    prefix = "(EngineCore pid=88) ERROR 02-11 09:16:00 [core.py:1136] "
    return (
        (before or loaded())
        + lines(prefix, "EngineCore failed to start.", *traceback(*texts, **frames))
        + lines(
            "(APIServer pid=1) ", *traceback("RuntimeError: Engine core initialization failed. See root cause above.")
        )
    )


def worker(*texts: str, before: str = "", **frames: str) -> str:
    """One of several workers does not start; the others and the core say so in their way. With the names of earlier versions."""
    prefix = "(EngineCore_DP0 pid=675) (VllmWorker TP1 pid=681) ERROR 02-11 09:16:00 [v1/executor/multiproc_executor.py:597] "
    waits = "Exception: WorkerProc initialization failed due to an exception in a background process. See stack trace for root cause."
    return (
        (before or loaded(tensor_parallel_size=2))
        + lines(prefix, "WorkerProc failed to start.", *traceback(*texts, **frames))
        + lines(
            "(EngineCore_DP0 pid=675) ERROR 02-11 09:16:02 [core.py:708] ",
            "EngineCore failed to start.",
            *traceback(waits),
        )
        + lines("(APIServer pid=1) ", "RuntimeError: Engine core initialization failed. See root cause above.")
    )


def old(*texts: str, before: str = "") -> str:
    """As versions before 0.8 wrote it: no bracket before the source, no process."""
    return (
        (before or "INFO 01-28 03:19:00 api_server.py:712] vLLM API server version 0.6.6\n")
        + lines("ERROR 01-28 03:21:01 engine.py:387] ", *traceback(*texts))
        + "RuntimeError: Engine process failed to start. See stack trace for the root cause.\n"
    )


def api(*texts: str) -> str:
    """The API server's own process ends before there is an engine."""
    return begun() + lines("(APIServer pid=1) ", *traceback(*texts))


def served(**flags: Any) -> str:
    use = "Engine 000: Avg prompt throughput: 120.4 tokens/s, Avg generation throughput: 55.1 tokens/s, Running: 2 reqs, Waiting: 0 reqs"
    return (
        loaded(**flags)
        + "(APIServer pid=1) INFO:     Application startup complete.\n"
        + f"(APIServer pid=1) INFO 02-11 10:40:00 [loggers.py:257] {use}, GPU KV cache usage: 4.0%\n"
    )


def death(*texts: str, before: str = "", **frames: str) -> str:
    """It dies while it serves: the reason stands after the line that tells of it."""
    prefix = "(EngineCore pid=88) ERROR 02-11 10:41:30 [core.py:1332] "
    dead = "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root cause."
    return (
        (before or served())
        + lines(prefix, "EngineCore encountered a fatal error.", *traceback(*texts, **frames))
        + lines(
            "(APIServer pid=1) ERROR 02-11 10:41:31 [async_llm.py:704] ",
            "AsyncLLM output_handler failed.",
            *traceback(dead),
        )
    )


def state(error: str = "", code: int = 128, status: str = "created", **more: Any) -> str:
    """``docker inspect`` of a container that does not run."""
    facts = {
        "Status": status,
        "Running": False,
        "OOMKilled": False,
        "ExitCode": code,
        "Error": error,
        "StartedAt": "2027-01-15T07:50:00.5Z",
        **more,
    }
    return json.dumps(
        [{"Name": "/vllm-vllm-1", "RestartCount": 0, "State": facts, "Config": {"Image": "vllm/vllm-openai:v0.33.0"}}]
    )


SHIM = "failed to create task for container: failed to create shim task: OCI runtime create failed: "
HOOK = (
    SHIM
    + "runc create failed: unable to start container process: error during container init: error running prestart hook #0: exit status 1, stdout: , stderr: Auto-detected mode as 'legacy'\n"
)
