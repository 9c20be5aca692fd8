# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a VM is the reason that its performance run gives, and a healthy one has none; each time it is asked."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.product import BIN
from tests.ready_session import ready_session
from tests.sandbox_fixture import RunningSandbox

CODER = str(BIN / "linode-coder")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with ready_session(tmp_path_factory, tmp_path_factory.mktemp("perf")) as running:
        yield running


def coder(sandbox: RunningSandbox, *arguments: str) -> dict[str, Any]:
    done = subprocess.run([CODER, *arguments, "--json"], env=sandbox.env, capture_output=True, text=True, timeout=240)
    assert done.returncode in (0, 6), done.stderr
    return dict(json.loads(done.stdout))


def measured(sandbox: RunningSandbox, where: str = "here", streams: int = 1, tokens: int = 64) -> dict[str, Any]:
    found = coder(
        sandbox, "validate-perf", "main", "--from", where, "--concurrency", str(streams), "--tokens", str(tokens)
    )
    return dict(found["run"])


# Of how busy this machine is, which is no subject here.
OF_TIME = ("below_baseline", "generator_lag")


def reasons(run: dict[str, Any]) -> dict[str, str]:
    found = {reason["id"]: reason["severity"] for reason in run["verdict"]["reasons"]}
    return {name: severity for name, severity in found.items() if name not in OF_TIME}


def test_each_fault_is_the_reason_and_a_healthy_vm_has_none(sandbox: RunningSandbox) -> None:
    label = sandbox.api("GET", "linode/instances")["data"][0]["label"]
    healthy = [measured(sandbox)]
    seen: dict[str, list[dict[str, str]]] = {}
    for kinds in (("throttle",), ("pcie_slow", "disk_slow")):
        for kind in kinds:
            sandbox.fault(host=label, kind=kind, load="engine")
        seen[kinds[0]] = [reasons(measured(sandbox, where, tokens=128)) for where in ("vm", "here")]
        sandbox.fault(host=label, kind="clear")
    healthy.append(measured(sandbox))
    assert seen == {
        "throttle": [{"throttled": "fail"}] * 2,
        "pcie_slow": [{"link_degraded": "warn", "disk_slow": "warn"}] * 2,
    }
    assert [reasons(run) for run in healthy] == [{}, {}]
    assert all(run["gpu_samples"] for run in healthy)
    recorded = coder(sandbox, "perf", "history", "main")["runs"]
    assert [run["severity"] == "fail" for run in recorded] == [False, False, False, True, True, False]
    assert recorded[0]["id"] == healthy[1]["id"] and recorded[-1]["id"] == healthy[0]["id"]
    compared = coder(sandbox, "perf", "compare", recorded[-1]["id"], "last")
    assert (compared["a"], compared["b"]) == (healthy[0]["id"], healthy[1]["id"])
    assert compared["differs"] == [] and compared["why_not"] is None


def test_a_full_cache_takes_requests_back(sandbox: RunningSandbox) -> None:
    label = sandbox.api("GET", "linode/instances")["data"][0]["label"]
    healthy = [measured(sandbox, "vm", 4)]
    sandbox.fault(host=label, kind="engine_preempts")
    stormy = [measured(sandbox, where, 4) for where in ("vm", "here")]
    sandbox.fault(host=label, kind="clear")
    healthy.append(measured(sandbox, "here", 4))
    full = {"preemptions": "warn", "kv_cache_small": "warn"}
    assert [reasons(run) for run in stormy] == [full, full] and [reasons(run) for run in healthy] == [{}, {}]
    worse = [run["levels"][0]["itl"]["p90"] for run in stormy]
    assert min(worse) > 1.3 * max(run["levels"][0]["itl"]["p50"] for run in healthy)
    assert all(run["levels"][0]["engine"]["kv_use_max"] > 0.95 for run in stormy)


def test_a_long_way_and_a_neighbour_are_seen_from_here(sandbox: RunningSandbox) -> None:
    label = sandbox.api("GET", "linode/instances")["data"][0]["label"]
    sandbox.fault(host=label, kind="network_slow", delay=0.2)
    sandbox.fault(host=label, kind="gpu_busy")
    far = [measured(sandbox) for _each in range(2)]
    sandbox.fault(host=label, kind="clear")
    near = measured(sandbox)
    assert [reasons(run) for run in far] == [{"network": "warn", "neighbour": "warn"}] * 2 and reasons(near) == {}
    assert all(run["round_trip"] >= 0.2 for run in far) and near["round_trip"] < 0.2


def wait_for_engine(sandbox: RunningSandbox) -> None:
    """After a fault that it died of."""
    until = time.monotonic() + 120
    while "true" not in on_vm(sandbox, "curl -sf http://127.0.0.1:8001/health && echo true"):
        assert time.monotonic() < until


def on_vm(sandbox: RunningSandbox, command: str) -> str:
    argv = [CODER, "ssh", "main", "--", command]
    return subprocess.run(argv, env=sandbox.env, capture_output=True, text=True, timeout=120).stdout


def test_what_was_measured_on_the_vm_until_ctrl_c_is_kept(sandbox: RunningSandbox) -> None:
    argv = [CODER, "validate-perf", "main", "--from", "vm", "--concurrency", "1,2,4,8,16", "--tokens", "256", "--json"]
    with subprocess.Popen(argv, env=sandbox.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        # The first level takes five seconds here.
        until = time.monotonic() + 120
        while "output_tps" not in on_vm(sandbox, "cat /run/linode-coder/perf-*.json 2>/dev/null"):
            assert running.poll() is None and time.monotonic() < until
        running.send_signal(signal.SIGINT)
        said, noted = running.communicate(timeout=120)
    assert running.returncode == 130, noted
    run = json.loads(said.splitlines()[0])["run"]
    assert (run["complete"], run["why_partial"]) == (False, "interrupted")
    assert 1 <= len(run["levels"]) < 5 and run["levels"][0]["concurrency"] == 1 and run["gpu_samples"]
    assert "The run is not complete" in run["verdict"]["summary"]
    assert coder(sandbox, "perf", "history", "main")["runs"][0]["id"] == run["id"]
    # Nobody measures there any more.
    while on_vm(sandbox, "pgrep -f [e]ndpoint_speed"):
        assert time.monotonic() < until
    assert on_vm(sandbox, "ls /run/linode-coder/perf-* 2>/dev/null") == ""


def refused(sandbox: RunningSandbox, *arguments: str) -> dict[str, Any]:
    argv = [CODER, "validate-perf", "main", *arguments, "--json"]
    done = subprocess.run(argv, env=sandbox.env, capture_output=True, text=True, timeout=240)
    assert "Traceback" not in done.stdout + done.stderr
    error = json.loads(done.stdout.splitlines()[-1])["error"]
    assert error["exit_code"] == done.returncode
    return dict(error)


def test_an_engine_that_serves_nothing_is_one_sentence(sandbox: RunningSandbox) -> None:
    on_vm(sandbox, "docker stop vllm-vllm-1")
    said = [refused(sandbox, "--from", where) for where in ("here", "vm")]
    on_vm(sandbox, "docker start vllm-vllm-1")
    for error in said:
        assert (error["kind"], error["exit_code"]) == ("unhealthy", 6)
        assert error["message"] == "Session 'main' serves nothing that could be measured."
        assert error["cause"] and "validate main" in error["remedy"]


def test_an_engine_that_dies_in_the_middle_leaves_what_was_measured(sandbox: RunningSandbox) -> None:
    label = sandbox.api("GET", "linode/instances")["data"][0]["label"]
    wait_for_engine(sandbox)
    # It does not come back while it is measured.
    argv = [CODER, "validate-perf", "main", "--concurrency", "1,2,4", "--tokens", "128", "--json"]
    with subprocess.Popen(argv, env=sandbox.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        next(line for line in running.stderr if " 2 streams" in line)
        sandbox.fault(host=label, kind="engine_crash")
        said, noted = running.communicate(timeout=120)
    sandbox.fault(host=label, kind="clear")
    assert running.returncode == 6, said + noted
    run = json.loads(said)["run"]
    first, second = run["levels"][:2]
    assert (first["failed"], second["failed"] > 0) == (0, True) and len(second["errors"]) >= 1
    assert run["complete"] is False and run["why_partial"]
    assert run["verdict"]["severity"] == "fail" and "not complete" in run["verdict"]["summary"]
    assert coder(sandbox, "perf", "history", "main")["runs"][0]["id"] == run["id"]


def test_what_was_generated_has_a_price(sandbox: RunningSandbox) -> None:
    wait_for_engine(sandbox)
    tokens = measured(sandbox)["levels"][0]["output_tokens"]
    subprocess.run([CODER, "watchdog", "--once"], env=sandbox.env, check=True, capture_output=True, timeout=240)
    seen = coder(sandbox, "cost", "main")["sessions"][0]
    assert seen["generated_tokens"] >= tokens > 0 and seen["prompt_tokens"] > 0
    # By the record's own figures, which are rounded.
    assert seen["dollars_per_million"] == pytest.approx(seen["cost"] / seen["generated_tokens"] * 1e6, rel=0.001)
    more = measured(sandbox)["levels"][0]["output_tokens"]
    coder(sandbox, "status", "main")
    bill = coder(sandbox, "cost", "main")
    assert bill["sessions"][0]["generated_tokens"] >= seen["generated_tokens"] + more
    assert bill["use"]["unknown"] == 0 and bill["use"]["generated"] == bill["sessions"][0]["generated_tokens"]
