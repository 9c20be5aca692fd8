# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a start is, line by line of recorded logs: what somebody who waits is shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.phases import progress_of

LOGS = Path(__file__).parent / "vllm-logs"

# Of each log the lines at which what is shown changes; a bar that is drawn anew is a line of its own.
WHOLE_START = [
    (1, "starting", ""),
    (15, "loading the configuration", ""),
    (25, "starting the engine", ""),
    (45, "connecting the GPUs", ""),
    (47, "loading the weights", ""),
    (52, "loading the weights", "0 of 1, 0.00 GiB in all"),
    (54, "loading the weights", "1 of 1, 0.00 GiB in all"),
    (60, "measuring memory", ""),
    (61, "warming up", ""),
    (71, "starting the server", ""),
]
ONLY_IMPORTS = WHOLE_START[:1]
TO_THE_CONFIGURATION = WHOLE_START[:2]
TO_THE_WEIGHTS = WHOLE_START[:5]
# Recorded without the lines that say nothing.
SHORT_START = [
    (1, "starting", ""),
    (5, "loading the configuration", ""),
    (7, "starting the engine", ""),
    (8, "connecting the GPUs", ""),
    (9, "loading the weights", ""),
    (10, "loading the weights", "0 of 1"),
    (11, "loading the weights", "1 of 1"),
    (13, "measuring memory", ""),
    (14, "warming up", ""),
    (15, "starting the server", ""),
]
RECORDED = {
    "badarch": ONLY_IMPORTS,
    "badflag": ONLY_IMPORTS,
    "badmodeltype": ONLY_IMPORTS,
    "badparser": ONLY_IMPORTS,
    "badquant": TO_THE_CONFIGURATION,
    "context-too-long": SHORT_START[:7],
    "core-killed": SHORT_START,
    "model-deleted": SHORT_START[:1],
    "model-deleted-while-starting": SHORT_START[:5],
    "nodir": ONLY_IMPORTS,
    "notok": WHOLE_START,
    "noweights": TO_THE_WEIGHTS,
    "ok-start-0.32-cpu": WHOLE_START,
    "port-in-use": ONLY_IMPORTS,
    "reasonbad": TO_THE_CONFIGURATION,
    "repooffline": ONLY_IMPORTS,
    "sigterm-inflight-drain60": WHOLE_START,
    "toolong": TO_THE_CONFIGURATION,
    "truncated-weights": SHORT_START[:6],
    "worker-killed-idle": WHOLE_START,
}

# No log of a GPU was recorded: the markers of 0.33's source, in their order.
ON_A_GPU = """\
(APIServer pid=1) INFO 11-01 10:00:00 [startup.py:96] non-default args: {'model': 'x'}
(APIServer pid=1) INFO 11-01 10:00:20 [model.py:744] Resolved architecture: Qwen3MoeForCausalLM
(EngineCore pid=7) INFO 11-01 10:00:40 [core.py:140] Initializing a V1 LLM engine (v0.33.0) with config: model='x'
(Worker pid=9) INFO 11-01 10:00:50 [parallel_state.py:1906] world_size=2 rank=0 local_rank=0 backend=nccl
(Worker pid=9) INFO 11-01 10:00:51 [cuda.py:509] Using FLASH_ATTN attention backend out of potential backends
(Worker pid=9) INFO 11-01 10:00:52 [model_runner.py:399] Loading model from scratch...
(Worker pid=9) INFO 11-01 10:00:53 [weight_utils.py:1130] Filesystem type for checkpoints: EXT4. Checkpoint size: 21.82 GiB. Available RAM: 60 GiB.
Loading safetensors checkpoint shards:   0% Completed | 0/9 [00:00<?, ?it/s]
Loading safetensors checkpoint shards:  33% Completed | 3/9 [00:09<00:18,  3.00s/it]
Loading safetensors checkpoint shards: 100% Completed | 9/9 [00:27<00:00,  3.00s/it]
(Worker pid=9) INFO 11-01 10:01:20 [model_runner.py:429] Model loading took 21.9 GiB memory and 27.1 seconds
(Worker pid=9) INFO 11-01 10:01:21 [backends.py:900] Using cache directory: /cache for vLLM's torch.compile
(Worker pid=9) INFO 11-01 10:02:00 [monitor.py:34] torch.compile took 43.1 s in total
(Worker pid=9) INFO 11-01 10:02:10 [gpu_worker.py:773] Available KV cache memory: 9.05 GiB
(Worker pid=9) INFO 11-01 10:02:11 [gpu_worker.py:800] JIT kernel warmup starting
Capturing CUDA graphs (decode, FULL):  50%|#####     | 10/20 [00:05<00:05,  2.00it/s]
Capturing CUDA graphs (decode, FULL): 100%|##########| 20/20 [00:10<00:00,  2.00it/s]
(EngineCore pid=7) INFO 11-01 10:05:00 [core.py:396] init engine (profile, create kv cache, warmup model) took 210 s
(APIServer pid=1) INFO 11-01 10:05:01 [entry.py:139] Starting vLLM server on http://127.0.0.1:8001
(APIServer pid=1) INFO:     Application startup complete.
"""
SHOWN_ON_A_GPU = [
    (1, "starting", ""),
    (2, "loading the configuration", ""),
    (3, "starting the engine", ""),
    (4, "connecting the GPUs", ""),
    (6, "loading the weights", ""),
    (8, "loading the weights", "0 of 9, 21.82 GiB in all"),
    (9, "loading the weights", "3 of 9, 21.82 GiB in all, 00:18 left"),
    (10, "loading the weights", "9 of 9, 21.82 GiB in all"),
    (12, "compiling", ""),
    (14, "measuring memory", ""),
    (15, "warming up", ""),
    (16, "warming up", "10 of 20, 00:05 left"),
    (17, "warming up", "20 of 20"),
    (19, "starting the server", ""),
]


def shown(log: str) -> list[tuple[int, str, str]]:
    """What is shown when the log ends with each of its lines, where it differs from the one before."""
    found: list[tuple[int, str, str]] = []
    so_far = ""
    for number, line in enumerate(re.split(r"(?<=[\n\r])", log), 1):
        so_far += line
        progress = progress_of(so_far)
        if not found or found[-1][1:] != (progress.phase, progress.detail):
            found.append((number, progress.phase, progress.detail))
    return found


def test_every_recorded_log_is_in_the_table() -> None:
    assert {path.stem for path in LOGS.glob("*.log")} == set(RECORDED)


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_the_phases_of_a_recorded_log(name: str) -> None:
    assert shown((LOGS / f"{name}.log").read_bytes().decode()) == RECORDED[name]


def test_the_phases_on_a_gpu() -> None:
    assert shown(ON_A_GPU) == SHOWN_ON_A_GPU


def test_a_restart_begins_from_the_first_phase() -> None:
    assert progress_of(ON_A_GPU + ON_A_GPU.splitlines(keepends=True)[0]).phase == "starting"
