# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker, the engine's container and the engine: what each check makes of one look, every limit from both of its sides."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.finding import Finding
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.cause import (
    AGAIN,
    AGAIN_THEN_REBOOT,
    ANEW,
    FLAGS,
    PERSON,
    Diagnosis,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.failed_start import FailedStart
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.collected import Look
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.engine import check_engine, flat_since
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.nvidia_smi import SmiReading, read_nvidia_smi
from smi_documents import v13_blackwell

STARTED = "2027-01-15T08:00:00Z"
NOW = 1_800_000_000.0  # the same moment
SERVES = "INFO:     Application startup complete.\n"


def look(
    container: dict[str, Any] | None = None,
    engine: dict[str, Any] | None = None,
    diagnoses: tuple[Diagnosis, ...] = (),
    texts: dict[str, str] | None = None,
    previous: dict[str, Any] | None = None,
    smi: SmiReading | None = None,
    log: str = "",
    restarted: bool = False,
    failed_start: FailedStart | None = None,
    activity: dict[str, Any] | None = None,
    expected: dict[str, Any] | None = None,
    models: Any = None,
    **host: Any,
) -> Look:
    return Look(
        texts=texts or {},
        expected=expected or {},
        previous=previous or {},
        host={"clock": NOW, "engine": engine or {}, **host},
        smi=smi,
        container=container,
        diagnoses=list(diagnoses),
        log=log,
        restarted=restarted,
        failed_start=failed_start,
        activity=activity or {},
        models=models,
    )


def of(look: Look, name: str) -> Finding | None:
    return next((found for found in check_engine(look) if found.id == name), None)


def told(look: Look, name: str) -> tuple[str, str | None, str]:
    found = of(look, name)
    assert found is not None
    return found.severity, found.cause, found.evidence


def cause(slug: str, rungs: tuple[str, ...] = AGAIN, **more: Any) -> Diagnosis:
    return Diagnosis(slug, f"{slug} happened.", f"Mend {slug}.", rungs=rungs, line=f"line of {slug}", **more)


@pytest.mark.parametrize(
    ("diagnosis", "ladder"),
    [
        (cause("driver_too_old", PERSON), ("alert",)),
        (cause("shared_memory", ANEW), ("recreate_container", "regenerate_cdi", "alert")),
        (cause("context_too_long", FLAGS, parameters={"max-model-len": 1}), ("change_parameters", "alert")),
        (cause("gpu_not_free", parameters={"gpu-memory-utilization": 0.8}), ("change_parameters", "alert")),
        # No flag is left, and nothing else helps; or the flags are the user's own.
        (cause("context_too_long", FLAGS), ("alert",)),
        (cause("unknown_flag", PERSON, parameters={"x": None}, by_hand=True), ("alert",)),
        (cause("gpu_not_free", parameters={}), ("restart_container", "recreate_container", "alert")),
        (cause("engine_died"), ("restart_container", "recreate_container", "alert")),
    ],
)
def test_the_rungs_of_a_cause(diagnosis: Diagnosis, ladder: tuple[str, ...]) -> None:
    assert diagnosis.ladder == ladder
    assert diagnosis.healable == (ladder != ("alert",))
    assert diagnosis.restart_helps == ("restart_container" in diagnosis.rungs)


# -- Docker ------------------------------------------------------------------------------------------------------------

DOWN = {"container.json": "Cannot connect to the Docker daemon at unix:///x"}


def docker(**probe: Any) -> dict[str, Any]:
    return {"probes": {"docker": probe}}


@pytest.mark.parametrize(
    ("seen", "severity", "cause", "evidence"),
    [
        (look(), "unknown", None, ""),
        (look(**docker(error="no such file")), "unknown", None, "no such file"),
        (look(texts=DOWN), "fail", "down", "Cannot connect to the Docker daemon"),
        (look(**docker(down=True)), "fail", "down", "Cannot connect to the Docker daemon"),
        (look(texts={"container.json": "[]"}), "unknown", None, ""),
        (look(**docker(timed_out=True, seconds=20)), "fail", "hang", "no answer in 20 s"),
        (look(**docker(rc=0, seconds=5.0)), "pass", None, ""),
        (look(**docker(rc=0, seconds=5.1)), "warn", None, "5.1 s"),
        (look(**docker(rc=0)), "unknown", None, ""),
        (look(**docker(rc=1, seconds=1.0)), "unknown", None, ""),
        (look({"State": {}}, **docker(rc=1, seconds=9.0)), "pass", None, ""),
        (look({}), "unknown", None, ""),
    ],
)
def test_docker(seen: Look, severity: str, cause: str | None, evidence: str) -> None:
    assert told(seen, "ctr.engine") == (severity, cause, evidence)


# -- the container -----------------------------------------------------------------------------------------------------


def container(status: str | None = "running", restarts: int = 0, **state: Any) -> dict[str, Any]:
    return {"Name": "/vllm", "RestartCount": restarts, "State": {"Status": status, "StartedAt": STARTED, **state}}


DIED = cause("engine_died")
FAILED_ONCE, FAILED_TWICE = (FailedStart("KeyError: 'layers'", False, times) for times in (1, 2))
STATE_LADDER = ("restart_container", "recreate_container", "change_parameters", "alert")


def after(seconds: float) -> dict[str, Any]:
    return {"clock": NOW + seconds}


@pytest.mark.parametrize(
    ("seen", "severity", "cause", "evidence"),
    [
        (look(), "unknown", None, ""),
        (look({}, texts={"container.json": "[]"}), "fail", "missing", ""),
        (look(texts={"container.json": "Error: No such object: vllm"}), "fail", "missing", ""),
        (look(texts={"container.json": "something"}), "unknown", None, ""),
        (look({}), "unknown", None, ""),
        (look(diagnoses=(DIED,)), "fail", "engine_died", "line of engine_died"),
        (look(container()), "pass", None, "vllm running, 0 restarts"),
        (look({"State": {"Running": True}}), "pass", None, "container running, 0 restarts"),
        (look({"State": {"Running": False}}), "fail", "exited", "container exited, 0 restarts"),
        (look({"State": {"Running": None}}), "unknown", None, ""),
        (look({"State": {"Status": 5, "Running": True}}), "pass", None, "container running, 0 restarts"),
        # It restarts again and again: twice or more, young, and it does not serve.
        (look(container(restarts=1), **after(1)), "pass", None, "vllm running, 1 restarts"),
        (look(container(restarts=2), **after(599)), "fail", "restart_loop", "vllm running, 2 restarts"),
        (look(container(restarts=3), **after(600)), "pass", None, "vllm running, 3 restarts"),
        (look(container(restarts=3, StartedAt="x"), **after(1)), "pass", None, "vllm running, 3 restarts"),
        (look(container(restarts=3), clock=None), "pass", None, "vllm running, 3 restarts"),
        (look(container(restarts=3), log=SERVES, **after(1)), "pass", None, "vllm running, 3 restarts"),
        (
            look(container(restarts=3), engine={"health": {"status": 200}}, **after(1)),
            "pass",
            None,
            "vllm running, 3 restarts",
        ),
        (look(container(restarts=3), diagnoses=(DIED,), **after(1)), "fail", "engine_died", "line of engine_died"),
        (look(container("restarting", 1)), "warn", "restarting", "vllm restarting, 1 restarts"),
        (look(container("restarting", 2)), "fail", "restart_loop", "vllm restarting, 2 restarts"),
        # Sooner where the same error ended two starts.
        (
            look(container("restarting", 1), failed_start=FAILED_TWICE),
            "fail",
            "restart_loop",
            "vllm restarting, 1 restarts",
        ),
        (
            look(container("restarting", 1), failed_start=FAILED_ONCE),
            "warn",
            "restarting",
            "vllm restarting, 1 restarts",
        ),
        (
            look(container(restarts=1), failed_start=FAILED_TWICE, **after(599)),
            "fail",
            "restart_loop",
            "vllm running, 1 restarts",
        ),
        (
            look(container(restarts=1), failed_start=FAILED_TWICE, **after(600)),
            "pass",
            None,
            "vllm running, 1 restarts",
        ),
        (look(container(restarts=1), failed_start=FAILED_ONCE, **after(1)), "pass", None, "vllm running, 1 restarts"),
        (look(container("paused")), "fail", "paused", "vllm paused, 0 restarts"),
        (look(container("exited", ExitCode=3)), "fail", "exited", "vllm exited, 0 restarts"),
        (look(container("exited"), diagnoses=(DIED,)), "fail", "engine_died", "line of engine_died"),
    ],
)
def test_the_container(seen: Look, severity: str, cause: str | None, evidence: str) -> None:
    assert told(seen, "ctr.state") == (severity, cause, evidence)


@pytest.mark.parametrize(
    ("seen", "summary", "ladder"),
    [
        (look(texts=DOWN), "Docker does not answer.", ()),
        (look(), "The container was not inspected.", ()),
        (look({}, texts={"container.json": "[]"}), "The engine's container is not there.", ("recreate_container", "alert")),
        (look(container("paused")), "The engine's container is paused.", ("restart_container", "alert")),
        (look(container("exited", ExitCode=3)), "The engine's container is exited (exit code 3).", STATE_LADDER),
        (
            look(container("exited", ExitCode=3), diagnoses=(DIED, cause("oom"))),
            "The engine's container is exited (exit code 3). engine_died happened.",
            DIED.ladder,
        ),
        (look(container("restarting", 3)), "The engine restarts again and again.", STATE_LADDER),
        (
            look(container("restarting", 3), diagnoses=(DIED,)),
            "The engine restarts again and again. engine_died happened.",
            DIED.ladder,
        ),
        (look(diagnoses=(DIED,)), "The engine's log ends in a failure: engine_died happened.", DIED.ladder),
    ],
)  # fmt: skip
def test_what_is_said_of_the_container(seen: Look, summary: str, ladder: tuple[str, ...]) -> None:
    found = of(seen, "ctr.state")
    assert found is not None and (found.summary, found.ladder) == (summary, ladder)
    if seen.diagnoses:
        assert found.remedy == "Mend engine_died."


SMI, TWO = read_nvidia_smi(v13_blackwell()), read_nvidia_smi(v13_blackwell(2))
SEEN = "GPU 0: a (UUID: x)"


def gpus(text: str | None, rc: int = 0, **more: Any) -> dict[str, Any]:
    return {"container_gpus": {"rc": rc, "text": text, **more}}


@pytest.mark.parametrize(
    ("seen", "severity", "cause", "evidence"),
    [
        (look(smi=SMI), "unknown", None, ""),
        (look(smi=SMI, diagnoses=(DIED,)), "unknown", None, ""),
        (look(diagnoses=(DIED, cause("container_lost_gpu", check="ctr.gpu"))), "fail", "container_lost_gpu", "line of container_lost_gpu"),
        (look(diagnoses=(cause("container_sees_no_gpu", check="ctr.gpu"),)), "fail", "container_sees_no_gpu", "line of container_sees_no_gpu"),
        (look(smi=SMI, **gpus(SEEN)), "pass", None, "1 of 1"),
        (look(smi=TWO, **gpus(f"{SEEN}\n{SEEN}")), "pass", None, "2 of 2"),
        (look(smi=TWO, **gpus(SEEN)), "fail", "fewer", SEEN),
        (look(smi=SMI, **gpus(f"{SEEN}\n{SEEN}")), "pass", None, "2 of 1"),
        (look(smi=SMI, **gpus(SEEN, timed_out=True)), "unknown", None, SEEN),
        (look(**gpus(SEEN)), "unknown", None, SEEN),
        (look(smi=SmiReading("no_devices"), **gpus(SEEN)), "unknown", None, SEEN),
        (look(smi=SMI, **gpus("")), "fail", "fewer", "0 of 1"),
        (look(smi=SMI, **gpus(None)), "fail", "fewer", "0 of 1"),
        (look(smi=SMI, **gpus("Error: is not running", 1)), "unknown", None, "Error: is not running"),
        (look(smi=SMI, **gpus("No devices were found", 6)), "fail", "fewer", "No devices were found"),
        (look(smi=SMI, **gpus("libnvidia-ml.so.1 missing", 12)), "fail", "library", "libnvidia-ml.so.1 missing"),
        (
            look(smi=SMI, **gpus("Failed to initialize NVML: Unknown Error", 255)),
            "fail",
            "lost",
            "Failed to initialize NVML: Unknown Error",
        ),
    ],
)  # fmt: skip
def test_what_the_container_sees(seen: Look, severity: str, cause: str | None, evidence: str) -> None:
    assert told(seen, "ctr.gpu") == (severity, cause, evidence)


LOGGED = {"engine.log": "x"}
OOM, ASSERT, ECC, ILLEGAL = (
    cause("oom_graphs", FLAGS, parameters={"x": 1}, check="ctr.oom"),
    cause("device_assert", check="ctr.cuda"),
    cause("ecc_error", AGAIN_THEN_REBOOT, check="ctr.cuda"),
    cause("illegal_memory_access", parameters={"x": 1}, check="ctr.cuda"),
)
ALIVE: dict[str, Any] = {"health": {"status": 200}}
CUDA_LADDER = ("restart_container", "recreate_container", "alert")


@pytest.mark.parametrize(
    ("seen", "name", "severity", "ladder"),
    [
        (look(diagnoses=(OOM,)), "ctr.oom", "unknown", ()),
        (look(texts=LOGGED), "ctr.oom", "pass", ()),
        (look(texts=LOGGED, diagnoses=(ASSERT,)), "ctr.oom", "pass", ()),
        (look(texts=LOGGED, diagnoses=(ASSERT, OOM)), "ctr.oom", "fail", ("change_parameters", "alert")),
        (look(texts=LOGGED, diagnoses=(OOM,), engine=ALIVE), "ctr.oom", "warn", ()),
        (look(texts=LOGGED, diagnoses=(OOM,), restarted=True), "ctr.oom", "fail", ("change_parameters", "alert")),
        (look(texts=LOGGED, diagnoses=(ASSERT,)), "ctr.cuda", "fail", CUDA_LADDER),
        (look(texts=LOGGED, diagnoses=(ASSERT,), restarted=True), "ctr.cuda", "warn", ()),
        (look(texts=LOGGED, diagnoses=(ASSERT,), engine=ALIVE), "ctr.cuda", "warn", ()),
        (look(texts=LOGGED, diagnoses=(ECC,)), "ctr.cuda", "fail", ("restart_container", "reboot")),
        (look(texts=LOGGED, diagnoses=(ILLEGAL,)), "ctr.cuda", "fail", CUDA_LADDER),
        (look(texts=LOGGED, diagnoses=(OOM,)), "ctr.cuda", "pass", ()),
    ],
)
def test_what_the_log_says_of_memory_and_cuda(seen: Look, name: str, severity: str, ladder: tuple[str, ...]) -> None:
    found = of(seen, name)
    assert found is not None and (found.severity, found.ladder) == (severity, ladder)
    if severity in ("warn", "fail"):
        (said,) = [one for one in seen.diagnoses if one.slug == found.cause]
        assert (found.summary, found.evidence, found.remedy) == (said.sentence, said.line, said.remedy)


# -- the engine --------------------------------------------------------------------------------------------------------


def health(status: int | None, **more: Any) -> dict[str, Any]:
    return {"health": {"status": status, **more}}


PASSING, ROOT = cause("network", passes=True), cause("corrupt_weights")
BUDGET = {"start_budget": 100}


@pytest.mark.parametrize(
    ("seen", "severity", "cause", "evidence"),
    [
        (look(), "unknown", None, ""),
        (look(container(), health(200)), "pass", None, ""),
        (look(container("exited"), health(200)), "pass", None, ""),
        (look(container("exited"), health(None)), "fail", "not_running", "no answer"),
        (look(container("exited"), health(None, error="refused")), "fail", "not_running", "refused"),
        (look(container(), health(503)), "fail", "unhealthy", "HTTP 503"),
        # A start, and how long it may take.
        (look(container(), health(None), **after(3599)), "warn", "starting", "3599 s of at most 3600"),
        (look(container(), health(None), **after(3600)), "fail", "start_timeout", "3600 s: waiting for the container"),
        (look(container(), health(502), expected=BUDGET, **after(99)), "warn", "starting", "99 s of at most 100"),
        (look(container(), health(504), expected=BUDGET, **after(99)), "warn", "starting", "99 s of at most 100"),
        (look(container(), health(503), expected=BUDGET, **after(99)), "fail", "unhealthy", "HTTP 503"),
        (look(container(StartedAt=None), health(None)), "warn", "starting", "no answer"),
        (look(container(), health(None), clock=None), "warn", "starting", "no answer"),
        (look(engine=health(None)), "warn", "starting", "no answer"),
        # It served before, or says why not.
        (look(container(), health(None), log=SERVES, **after(1)), "fail", "unhealthy", "no answer"),
        (look(container(), health(None), (ROOT,), **after(1)), "fail", "corrupt_weights", "line of corrupt_weights"),
        (look(container(), health(503), (ROOT,), **after(1)), "fail", "corrupt_weights", "line of corrupt_weights"),
        (look(container(), health(None), (ROOT,), restarted=True, **after(1)), "warn", "starting", "1 s of at most 3600"),
        (look(container(), health(None), (PASSING,), **after(1)), "warn", "starting", "1 s of at most 3600"),
        (look(container(), health(503), (PASSING,), **after(1)), "fail", "unhealthy", "HTTP 503"),
        (look(container(), health(503), (PASSING, ROOT), **after(1)), "fail", "unhealthy", "HTTP 503"),
    ],
)  # fmt: skip
def test_the_engines_health(seen: Look, severity: str, cause: str | None, evidence: str) -> None:
    assert told(seen, "vllm.health") == (severity, cause, evidence)


LOADING = "non-default args: {}\nLoading safetensors checkpoint shards:  50% Completed | 1/2 [00:01<00:01]\nStarting to load model x\n"


def test_a_start_says_how_far_it_is() -> None:
    started = of(look(container(), health(None), log=LOADING, **after(1)), "vllm.health")
    assert started is not None and started.summary == "The engine is starting: loading the weights, 1 of 2, 00:01 left."
    again = of(look(container(), health(None), (ROOT,), log="x", restarted=True, **after(1)), "vllm.health")
    assert again is not None and again.summary == "corrupt_weights happened. It is starting again: starting."
    failed = of(look(container(), health(None), (ROOT,), **after(1)), "vllm.health")
    assert failed is not None and (failed.ladder, failed.remedy) == (ROOT.ladder, ROOT.remedy)


def asked(healthy: int = 200, **answer: Any) -> Look:
    return look(engine={**health(healthy), "generation": answer})


@pytest.mark.parametrize(
    ("seen", "severity", "cause", "evidence"),
    [
        (look(), "unknown", None, ""),
        (look(engine={"not_asked": "it is starting"}), "unknown", None, "it is starting"),
        (asked(skipped="3 running"), "pass", None, "3 running"),
        (asked(ok=True), "pass", None, ""),
        (asked(ok=True, seconds=9.9), "pass", None, "9.9 s"),
        (asked(ok=True, seconds=10), "warn", "slow", "10.0 s"),
        (asked(ok=False, error="timed out", seconds=30), "fail", "no_token", "timed out 30.0 s"),
        (asked(ok=False, status=500), "fail", "no_token", "HTTP 500"),
        (asked(503, ok=False, status=500), "unknown", None, "HTTP 500"),
        (asked(ok=False, status=401), "unknown", None, "HTTP 401"),
        (asked(ok=False, status=403), "unknown", None, "HTTP 403"),
        (asked(ok=False, status=404), "unknown", None, "HTTP 404"),
    ],
)
def test_a_token(seen: Look, severity: str, cause: str | None, evidence: str) -> None:
    assert told(seen, "vllm.gen") == (severity, cause, evidence)


COUNTED = {
    "readable": True,
    "running": 2,
    "waiting": 1,
    "prompt_tokens": 5,
    "generation_tokens": 7,
    "process_start": 1.0,
}


def earlier(ago: float, flat: float | None = None, **activity: Any) -> dict[str, Any]:
    since = {} if flat is None else {"flat_since": NOW - flat}
    return {"clock": NOW - ago, "activity": {**COUNTED, **activity}, **since}


@pytest.mark.parametrize(
    ("activity", "previous", "flat"),
    [
        (COUNTED, {}, 0),
        (COUNTED, earlier(60), 60),
        (COUNTED, earlier(60, 200), 200),
        ({**COUNTED, "running": 0}, earlier(60), None),
        ({**COUNTED, "readable": False}, earlier(60), None),
        ({}, earlier(60), None),
        (COUNTED, earlier(60, generation_tokens=6), 0),
        (COUNTED, earlier(60, prompt_tokens=4), 0),
        (COUNTED, earlier(60, process_start=0.5), 0),
        (COUNTED, earlier(60, running=0), 0),
        (COUNTED, earlier(60, readable=False), 0),
        (COUNTED, {"clock": NOW - 60, "activity": "x"}, 0),
        # Too long ago to say anything of the time between.
        (COUNTED, earlier(901), 0),
        (COUNTED, {"activity": COUNTED}, 0),
    ],
)
def test_since_when_no_token_came(activity: dict[str, Any], previous: dict[str, Any], flat: float | None) -> None:
    seen = look(activity=activity, previous=previous)
    assert flat_since(seen) == (None if flat is None else NOW - flat)
    assert flat_since(replace(seen, host={})) is None


@pytest.mark.parametrize(
    ("activity", "flat", "severity", "evidence"),
    [
        ({}, 0, "unknown", ""),
        (COUNTED, 119, "pass", "2 running, 1 waiting, no token for 119 s"),
        (COUNTED, 120, "warn", "2 running, 1 waiting, no token for 120 s"),
        (COUNTED, 299, "warn", "2 running, 1 waiting, no token for 299 s"),
        (COUNTED, 300, "fail", "2 running, 1 waiting, no token for 300 s"),
        ({**COUNTED, "running": 0}, 300, "pass", "0 running, 1 waiting"),
    ],
)
def test_requests_that_are_stuck(activity: dict[str, Any], flat: float, severity: str, evidence: str) -> None:
    seen = look(activity=activity, previous=earlier(60, flat))
    assert told(seen, "vllm.stuck") == (severity, None if severity in ("pass", "unknown") else "stuck", evidence)


@pytest.mark.parametrize(
    ("wanted", "models", "severity", "evidence"),
    [
        (None, {"data": [{"id": "a"}]}, None, ""),
        ("a", None, "unknown", ""),
        ("a", {"data": []}, "unknown", ""),
        ("a", {"data": "a"}, "unknown", ""),
        ("a", {"data": [{"id": "x", "root": "a"}]}, "pass", "a"),
        ("a", {"data": [{"id": "a"}]}, "pass", "a"),
        ("a", {"data": [{"id": "y"}, {"id": "a"}]}, "pass", "a"),
        ("a", {"data": [{"id": "y", "root": None}, {"id": "x"}]}, "fail", "x, y"),
        ("None", {"data": [{"id": None}]}, "unknown", ""),
        # An alias is called like the session's model, and another one serves.
        ("o/a", {"data": [{"id": "coder", "root": "o/b"}, {"id": "o/a", "root": "o/b"}]}, "fail", "coder, o/a, o/b"),
        ("o/a", {"data": [{"id": "coder", "root": "/models/a"}, {"id": "o/a", "root": "/models/a"}]}, "pass", "o/a"),
    ],
)
def test_the_sessions_model(wanted: str | None, models: Any, severity: str | None, evidence: str) -> None:
    seen = look(models=models, expected={"model": wanted})
    if severity is None:
        assert of(seen, "vllm.model") is None
    else:
        assert told(seen, "vllm.model") == (severity, "other_model" if severity == "fail" else None, evidence)
