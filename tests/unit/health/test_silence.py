# SPDX-License-Identifier: GPL-3.0-or-later
"""Hangs that only the log shows: requests that run without a token, and GPUs that never connect."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.finding import Finding
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.silence import connecting_since, flat_tail
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.evaluate import evaluate
from engine_ends import begun, death, served
from test_health import METRICS

# 2027-02-11 11:00:00 UTC, an hour after the log's times.
NOW = 1_802_343_600.0


def use(
    minute: int, prompt: str = "0.0", tokens: str = "0.0", running: int = 1, waiting: int = 0, day: str = "02-11 10"
) -> str:
    """Thread vllm-project/vllm#17972 shows a line every ten seconds, vllm-project/vllm#2731 that of earlier versions."""
    return (
        f"(APIServer pid=1) INFO {day}:{minute:02}:24 [loggers.py:111] Engine 000: Avg prompt throughput: {prompt} tokens/s, Avg generation "
        f"throughput: {tokens} tokens/s, Running: {running} reqs, Waiting: {waiting} reqs, GPU KV cache usage: 0.0%\n"
    )


def found(log: str, name: str = "vllm.stuck", **more: str) -> Finding:
    return next(one for one in evaluate({"engine.log": log, **more}).findings if one.id == name)


def flat(minutes: int, **more: Any) -> str:
    return served() + "".join(use(45 + minute, **more) for minute in range(minutes + 1))


@pytest.mark.parametrize(
    ("log", "severity", "evidence"),
    [
        (flat(5), "fail", "1 running, 0 waiting, no token for 300 s"),
        (flat(4), "warn", "1 running, 0 waiting, no token for 240 s"),
        (flat(2), "warn", "1 running, 0 waiting, no token for 120 s"),
        (flat(1), "pass", "1 running, 0 waiting, no token for 60 s"),
        # Requests that are never begun: vllm-project/vllm#8378.
        (flat(6, running=0, waiting=22), "fail", "0 running, 22 waiting, no token for 360 s"),
        # As earlier versions wrote it: vllm-project/vllm#2731.
        (flat(6).replace("Engine 000: ", "").replace("Waiting", "Swapped: 0 reqs, Pending"), "fail", "1 running, 0 waiting, no token for 360 s"),
        # A long queue that moves is none: intel/llm-scaler#391.
        (flat(8, tokens="5.4", waiting=14), "unknown", ""),
        (flat(8, prompt="800.0"), "unknown", ""),
        (flat(8, running=0), "unknown", ""),
        (flat(8) + use(54, tokens="3.0"), "unknown", ""),
        (flat(8) + use(54, running=0), "unknown", ""),
        # Of a start before this one, and of one that died.
        (flat(8) + begun(), "unknown", ""),
        (death("KeyError: 7", before=flat(8)), "unknown", ""),
        (flat(8).replace("0.0 tokens", "0.0.0 tokens"), "unknown", ""),
        (flat(8, day="02-31 10"), "unknown", ""),
        (served(), "unknown", ""),
        ("", "unknown", ""),
    ],
)  # fmt: skip
def test_requests_without_a_token(log: str, severity: str, evidence: str) -> None:
    seen = found(log)
    assert (seen.severity, seen.evidence) == (severity, evidence)
    assert seen.ladder == (("restart_container", "reboot") if severity == "fail" else ())


def test_metrics_count_more_than_a_log_and_a_log_of_long_ago_nothing() -> None:
    assert found(flat(9), **{"metrics.txt": METRICS}).severity == "pass"
    assert found(flat(9), **{"host.json": json.dumps({"clock": NOW})}).severity == "fail"
    assert found(flat(9), **{"host.json": json.dumps({"clock": NOW + 3600})}).severity == "unknown"
    for status, severity in (("running", "fail"), ("exited", "unknown")):
        container = json.dumps([{"State": {"Status": status, "StartedAt": "2027-02-11T09:14:00Z"}}])
        assert found(flat(9), **{"container.json": container}).severity == severity


def test_the_turn_of_the_year_is_no_flat_year() -> None:
    log = use(59, day="12-31 23") + use(5, day="01-01 00")
    tail = flat_tail(log, 1_798_761_600.0 + 600)
    assert tail is not None and (tail.seconds, tail.running) == (360.0, 1)
    assert flat_tail(log, None) is None


CONNECTING = begun(tensor_parallel_size=2) + "".join(
    f"(Worker_TP{rank} pid=30{rank}) INFO 02-11 10:02:40 [parallel_state.py:1208] world_size=2 rank={rank} local_rank={rank} "
    "distributed_init_method=tcp://127.0.0.1:51111 backend=nccl\n"
    for rank in (0, 1)
) + "(Worker_TP0 pid=300) INFO 02-11 10:02:41 [pynccl.py:111] vLLM is using nccl==2.28.9\n"  # fmt: skip
# 2027-02-11 10:02:41 UTC
SAID = NOW - 3439
WAITS = "(EngineCore pid=88) INFO 02-11 10:{}:41 [shm_broadcast.py:466] No available shared memory broadcast block found in 60 seconds.\n"


def engine(now: float, started: str = "2027-02-11T09:14:00Z") -> dict[str, str]:
    return {
        "host.json": json.dumps({"clock": now, "engine": {"health": {"status": None, "error": "connection refused"}}}),
        "container.json": json.dumps([{"State": {"Status": "running", "StartedAt": started}}]),
    }


@pytest.mark.parametrize(
    ("log", "now", "cause"),
    [
        # vllm-project/vllm#8058, vllm-project/vllm#6370, vllm-project/vllm#14449: the last line is NCCL's version, and nothing comes.
        (CONNECTING, SAID + 300, "gpus_do_not_connect"),
        (CONNECTING, SAID + 299, "starting"),
        (CONNECTING.replace("(Worker", "2027-02-11T10:02:41.5Z (Worker"), SAID + 301, "gpus_do_not_connect"),
        # Who waits says so again and again.
        (CONNECTING + WAITS.format("03") + WAITS.format("04"), SAID + 300, "gpus_do_not_connect"),
        # It went on, or has one GPU.
        (CONNECTING + "(Worker_TP0 pid=300) INFO 02-11 10:02:43 [cuda.py:507] Using FLASH_ATTN attention backend out of ['X'].\n", SAID + 900, "starting"),
        (CONNECTING.replace("world_size=2", "world_size=1"), SAID + 900, "starting"),
        (CONNECTING + begun(), SAID + 900, "starting"),
    ],
)  # fmt: skip
def test_gpus_that_never_connect(log: str, now: float, cause: str) -> None:
    seen = found(log, "vllm.health", **engine(now, "2027-02-11T10:00:00Z"))
    assert seen.cause == cause
    if cause == "gpus_do_not_connect":
        assert seen.severity == "fail" and "NCCL_P2P_DISABLE=1" in seen.remedy
        assert "disable-custom-all-reduce" in seen.remedy and seen.ladder == ("restart_container", "alert")


def test_a_log_alone_shows_it_by_those_who_wait() -> None:
    seen = found(CONNECTING + WAITS.format("03") + WAITS.format("04"), "ctr.state")
    assert (seen.severity, seen.cause) == ("fail", "gpus_do_not_connect")
    assert found(served() + WAITS.format("50"), "ctr.state").cause == "engine_hung"


def test_since_when() -> None:
    assert connecting_since(CONNECTING, SAID + 10) == SAID
    assert connecting_since(CONNECTING, SAID - 10) is None
    assert connecting_since("", NOW) is None
