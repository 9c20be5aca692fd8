# SPDX-License-Identifier: GPL-3.0-or-later
"""From texts to findings: metrics, the engine's checks, what only two looks show, and what is missing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.finding import Finding
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine import vllm_metrics
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.catalogue import CHECKS
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.collected import FILES
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.evaluate import Health, evaluate
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.outside import status_finding
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.session_report import session_report
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.expected import expected_of
from hypothesis import given, settings
from hypothesis import strategies as st
from smi_documents import v13_blackwell

NOW = 1_800_000_000.0
METRICS = """\
# HELP vllm:num_requests_running x
vllm:num_requests_running{engine="0",model_name="a"} 1.0
vllm:num_requests_waiting{engine="0",model_name="a"} 2.0
vllm:kv_cache_usage_perc{engine="0"} 0.25
vllm:prompt_tokens_total{engine="0",model_name="a\\"b"} 100.0
vllm:generation_tokens_total{engine="0"} 40.0
vllm:generation_tokens_total{engine="1"} 2.0
vllm:request_success_total{finished_reason="stop"} 3.0
vllm:request_success_total{finished_reason="length"} 1.0
vllm:time_to_first_token_seconds_bucket{le="0.1"} 10
vllm:time_to_first_token_seconds_bucket{le="0.5"} 30
vllm:time_to_first_token_seconds_bucket{le="+Inf"} 40
process_start_time_seconds 1.7e9
"""


DENIED = "root@192.0.2.7: Permission denied (publickey)."


def host(**more: Any) -> str:
    facts: dict[str, Any] = {
        "clock": NOW,
        "clock_offset": 0.001,
        "boot_id": "boot-1",
        "boot_time": NOW - 5000,
        "pci_gpus": 1,
        "disk": {"size": 100, "used": 40, "inodes": 100, "inodes_used": 1, "read_only": False},
        "probes": {"nvidia_smi": {"rc": 0, "timed_out": False}, "docker": {"rc": 0, "seconds": 0.1}},
        "container_gpus": {"rc": 0, "text": "GPU 0: x (UUID: y)"},
        "engine": {"health": {"status": 200}, "generation": {"ok": True, "seconds": 0.3}},
    }
    return json.dumps({**facts, **more})


def container(status: str = "running", **state: Any) -> str:
    facts = {"Status": status, "OOMKilled": False, "ExitCode": 0, "StartedAt": "2027-01-15T07:50:00.5Z", **state}
    return json.dumps([{"Name": "/vllm-vllm-1", "RestartCount": 0, "State": facts, "Config": {"Image": "vllm"}}])


def healthy(**more: str) -> dict[str, str]:
    return {
        "nvidia-smi.xml": v13_blackwell(),
        "kernel.log": "",
        "engine.log": "INFO:     Application startup complete.\n",
        "metrics.txt": METRICS,
        "container.json": container(),
        "models.json": json.dumps({"data": [{"id": "coder", "root": "Qwen/Q"}]}),
        "host.json": host(),
        **{name.replace("_", ".", 1): text for name, text in more.items()},
    }


EXPECTED = {
    "gpus": 1,
    "card": "NVIDIA RTX PRO 6000 Blackwell Server Edition",
    "model": "Qwen/Q",
    "control_time": NOW - 1,
}


def only(health: Health, name: str) -> Finding:
    return next(found for found in health.findings if found.id == name)


def test_a_healthy_host_passes_every_check() -> None:
    health = evaluate(healthy(), EXPECTED, {"boot_id": "boot-1"})
    assert [found for found in health.findings if found.severity != "pass"] == []
    assert {found.id for found in health.findings} == set(CHECKS) - {"vm.status", "vm.ssh"}
    json.dumps(health.facts)


@pytest.mark.parametrize("missing", FILES)
def test_what_is_missing_is_unknown_and_never_failed(missing: str) -> None:
    texts = healthy()
    del texts[missing]
    for found in evaluate(texts, EXPECTED).findings:
        assert found.severity in ("pass", "unknown"), found
        assert found.ladder == ()


@pytest.mark.parametrize(
    ("texts", "name", "severity", "cause"),
    [
        (healthy(container_json=container("exited", ExitCode=1)), "ctr.state", "fail", "exited"),
        (healthy(container_json=container("exited", OOMKilled=True)), "vm.mem", "fail", "engine_killed"),
        (healthy(container_json="[]"), "ctr.state", "fail", "missing"),
        (healthy(container_json="Error: No such object: vllm"), "ctr.state", "fail", "missing"),
        (healthy(container_json="Cannot connect to the Docker daemon at unix:///x"), "ctr.engine", "fail", "down"),
        (healthy(container_json="{garbage"), "ctr.state", "unknown", None),
        (healthy(host_json="{garbage"), "vm.disk", "unknown", None),
        (
            healthy(host_json=host(container_gpus={"rc": 255, "text": "Failed to initialize NVML: Unknown Error"})),
            "ctr.gpu",
            "fail",
            "lost",
        ),
        (
            healthy(host_json=host(container_gpus={"rc": 1, "text": "Error: No such container"})),
            "ctr.gpu",
            "unknown",
            None,
        ),
        (healthy(host_json=host(engine={"health": {"status": 503}})), "vllm.health", "fail", "unhealthy"),
        (
            healthy(
                host_json=host(
                    engine={
                        "health": {"status": 200},
                        "generation": {"ok": False, "status": None, "error": "timed out"},
                    }
                )
            ),
            "vllm.gen",
            "fail",
            "no_token",
        ),
        (
            healthy(host_json=host(engine={"health": {"status": 200}, "generation": {"ok": True, "seconds": 21}})),
            "vllm.gen",
            "warn",
            "slow",
        ),
        (healthy(models_json='{"data": [{"id": "other"}]}'), "vllm.model", "fail", "other_model"),
        (healthy(host_json=host(clock_offset=-42.0)), "vm.clock", "fail", None),
        (healthy(host_json=host(clock_offset=2.0)), "vm.clock", "warn", None),
        (healthy(host_json=host(disk={"size": 100, "used": 93})), "vm.disk", "fail", "full"),
        (
            healthy(host_json=host(disk={"size": 100, "used": 10, "inodes": 10, "inodes_used": 9})),
            "vm.disk",
            "warn",
            None,
        ),
        (healthy(host_json=host(disk={"size": 100, "used": 10, "read_only": True})), "vm.disk", "fail", "read_only"),
        (healthy(kernel_log="Out of memory: Killed process 9 (node) total-vm:1kB"), "vm.mem", "warn", None),
    ],
)
def test_one_trouble_at_a_time(texts: dict[str, str], name: str, severity: str, cause: str | None) -> None:
    found = only(evaluate(texts, EXPECTED), name)
    assert (found.severity, found.cause) == (severity, cause)
    assert bool(found.ladder) == (severity == "fail")


@pytest.mark.parametrize("status", [None, 502, 504])
def test_a_start_is_no_failure_until_its_time_is_over(status: int | None) -> None:
    """Whether nothing listens, or only the proxy before the engine does."""
    starting = healthy(
        engine_log="non-default args: {}\nStarting to load model x\n",
        host_json=host(engine={"health": {"status": status, "error": None if status else "refused"}}),
    )
    found = only(evaluate(starting, EXPECTED), "vllm.health")
    assert (found.severity, found.cause) == ("warn", "starting")
    late = evaluate(starting, {**EXPECTED, "start_budget": 60})
    assert (only(late, "vllm.health").severity, only(late, "vllm.health").cause) == ("fail", "start_timeout")


def test_the_proxy_before_an_engine_that_starts_is_no_failure_of_the_engine() -> None:
    texts = healthy(
        engine_log="non-default args: {}\nStarting to load model x\n",
        host_json=host(engine={"health": {"status": 502, "error": None}}),
    )
    found = only(evaluate(texts, EXPECTED), "vllm.health")
    assert (found.severity, found.cause, found.ladder) == ("warn", "starting", ())
    served = evaluate({**texts, "engine.log": "INFO:     Application startup complete.\n"}, EXPECTED)
    assert (only(served, "vllm.health").severity, only(served, "vllm.health").cause) == ("fail", "unhealthy")


def engine_that_was_started_again(before: str, log: str, restarts: int = 1) -> dict[str, str]:
    """``before`` is what the container's earlier process said, ``log`` what the present one did, as Docker keeps both."""
    began = "2027-01-15T07:55:00.5Z"
    lines = [*(f"2027-01-15T07:54:{number:02d}.000000001Z {line}" for number, line in enumerate(before.splitlines()))]
    lines += [f"2027-01-15T07:55:{number:02d}.600000000Z {line}" for number, line in enumerate(log.splitlines())]
    state = json.loads(container(StartedAt=began))
    state[0]["RestartCount"] = restarts
    down = host(engine={"health": {"status": 502, "error": None}})
    return healthy(engine_log="\n".join(lines) + "\n", container_json=json.dumps(state), host_json=down)


TRUNCATED = "non-default args: {}\nSafetensorError: Error while deserializing header: x\n"
DIED = "non-default args: {}\nApplication startup complete.\nEngineDeadError: EngineCore encountered an issue\n"


@pytest.mark.parametrize("log", ["", "(sandbox) quiet", "non-default args: {}\nStarting to load model x"])
def test_a_start_that_failed_fails_again_whatever_this_one_has_said_so_far(log: str) -> None:
    health = evaluate(engine_that_was_started_again(TRUNCATED, log), EXPECTED)
    found = only(health, "vllm.health")
    assert (found.severity, found.cause, only(health, "ctr.state").severity) == ("fail", "corrupt_weights", "pass")
    assert health.facts["engine"]["causes"][0]["fetch"] is True
    assert health.facts["engine"]["phase"] != "starting the server"
    looping = only(evaluate(engine_that_was_started_again(TRUNCATED, log, restarts=3), EXPECTED), "ctr.state")
    assert (looping.severity, looping.cause) == ("fail", "corrupt_weights")
    assert "again and again. A file of the model's weights is damaged." in looping.summary


@pytest.mark.parametrize("log", ["", "(sandbox) quiet", "non-default args: {}\nStarting to load model x"])
def test_an_engine_that_died_and_is_started_again_is_left_to_start(log: str) -> None:
    health = evaluate(engine_that_was_started_again(DIED, log), EXPECTED)
    found = only(health, "vllm.health")
    assert (found.severity, found.cause) == ("warn", "starting")
    assert found.summary.startswith("The engine died while serving. It is starting again: ")
    assert not [found for found in health.findings if found.severity == "fail"]


def test_what_earlier_processes_said_is_over_once_somebody_started_the_container_anew() -> None:
    health = evaluate(engine_that_was_started_again(TRUNCATED, "non-default args: {}", restarts=0), EXPECTED)
    assert (only(health, "vllm.health").severity, only(health, "vllm.health").cause) == ("warn", "starting")
    assert health.facts["engine"]["causes"] == []


def test_an_engine_that_dies_at_this_moment_says_why() -> None:
    health = evaluate(engine_that_was_started_again("", DIED, restarts=0), EXPECTED)
    assert (only(health, "vllm.health").severity, only(health, "vllm.health").cause) == ("fail", "engine_died")


def test_a_hang_needs_two_looks_or_the_kernel() -> None:
    hanging = healthy(host_json=host(probes={"nvidia_smi": {"rc": None, "timed_out": True, "seconds": 25}}))
    del hanging["nvidia-smi.xml"]
    first = evaluate(hanging)
    assert only(first, "gpu.hang").severity == "warn"
    assert only(first, "gpu.lost").severity == "unknown"
    second = evaluate(hanging, {}, first.facts)
    assert (only(second, "gpu.hang").severity, only(second, "gpu.hang").ladder[0]) == ("fail", "reboot")
    assert only(evaluate(healthy(), {}, second.facts), "gpu.hang").severity == "pass"


def test_requests_without_tokens_fail_only_after_minutes() -> None:
    health, seen = evaluate(healthy()), []
    for seconds in (60, 130, 310):
        health = evaluate(healthy(host_json=host(clock=NOW + seconds)), {}, health.facts)
        seen.append(only(health, "vllm.stuck").severity)
    assert seen == ["pass", "warn", "fail"]
    moved = healthy(host_json=host(clock=NOW + 400), metrics_txt=METRICS.replace("40.0", "41.0"))
    assert only(evaluate(moved, {}, health.facts), "vllm.stuck").severity == "pass"


def test_slowdown_fails_only_when_it_lasts() -> None:
    slow = v13_blackwell().replace("hw_slowdown>Not Active", "hw_slowdown>Active")
    facts: dict[str, Any] = {}
    seen = []
    for minutes in (0, 4, 9):
        health = evaluate(healthy(host_json=host(clock=NOW + minutes * 60)) | {"nvidia-smi.xml": slow}, {}, facts)
        facts = health.facts
        seen.append(only(health, "gpu.throttle").severity)
    assert seen == ["warn", "warn", "fail"]


def test_a_restart_answers_what_only_needs_one() -> None:
    at = int(NOW - 4000) * 1_000_000
    line = json.dumps(
        {
            "MESSAGE": "NVRM: Xid (PCI:0000:00:02): 94, pid=1, name=x, Contained ECC error",
            "__REALTIME_TIMESTAMP": str(at),
        }
    )
    before = healthy(kernel_log=line, container_json=container(StartedAt="2027-01-15T00:00:00Z"))
    after = healthy(kernel_log=line, container_json=container(StartedAt="2027-01-15T07:59:00Z"))
    assert (only(evaluate(before), "gpu.xid").severity, only(evaluate(before), "gpu.xid").ladder[0]) == (
        "fail",
        "restart_container",
    )
    assert only(evaluate(after), "gpu.xid").severity == "warn"
    assert "restart_container" not in only(evaluate(after), "gpu.xid").ladder


@pytest.mark.parametrize(
    ("word", "severity", "ladder"),
    [
        ("None", "pass", ()),
        ("Drain P2P", "warn", ("alert",)),
        ("Reset", "fail", ("reset_gpu", "reboot", "recreate_vm")),
        ("Drain and Reset", "fail", ("reset_gpu", "reboot", "recreate_vm")),
        ("Reboot", "fail", ("reboot", "recreate_vm")),
        ("Recover IMEX Domain", "fail", ("alert",)),
        ("Unknown Error", "unknown", ()),
    ],
)
def test_recovery_actions(word: str, severity: str, ladder: tuple[str, ...]) -> None:
    text = v13_blackwell().replace("<gpu_recovery_action>None", f"<gpu_recovery_action>{word}")
    found = only(evaluate({"nvidia-smi.xml": text}), "gpu.recovery")
    assert (found.severity, found.ladder) == (severity, ladder)


def test_metrics_are_counted_and_estimated() -> None:
    found = vllm_metrics.activity(METRICS)
    assert found == {
        "readable": True,
        "prompt_tokens": 100,
        "generation_tokens": 42,
        "requests": 4,
        "running": 1,
        "waiting": 2,
        "process_start": 1.7e9,
    }
    assert vllm_metrics.without(found, 50, 50, 1)["generation_tokens"] == 0
    samples = vllm_metrics.parse(METRICS)
    assert samples[3].labels["model_name"] == 'a"b'
    assert vllm_metrics.quantile(samples, "vllm:time_to_first_token_seconds", 0.5) == pytest.approx(0.3)
    assert vllm_metrics.quantile(samples, "vllm:time_to_first_token_seconds", 0.99) == 0.5
    assert vllm_metrics.quantile(samples, "nothing", 0.5) is None


@pytest.mark.parametrize(
    "text", ["", "<html>", METRICS.replace("42", "").replace("40.0", "NaN"), "vllm:num_requests_running 1"]
)
def test_unreadable_metrics_are_none_and_never_zero(text: str) -> None:
    found = vllm_metrics.activity(text)
    assert found["readable"] is False
    assert {value for key, value in found.items() if key != "readable"} == {None}


@pytest.mark.parametrize(
    ("plan", "gpus", "card"),
    [
        ("g1-gpu-rtx6000-4", 4, "Quadro RTX 6000"),
        ("g2-gpu-rtx4000a1-s", 1, "NVIDIA RTX 4000 Ada Generation"),
        ("g2-gpu-rtx4000a4-m", 4, "NVIDIA RTX 4000 Ada Generation"),
        ("g3-gpu-rtxpro6000-blackwell-2", 2, "NVIDIA RTX PRO 6000 Blackwell Server Edition"),
        ("g9-gpu-unheard-of", None, None),
    ],
)
def test_what_a_plan_should_have(plan: str, gpus: int | None, card: str | None) -> None:
    found = expected_of({"plan": plan, "model": "m"})
    assert (found.get("gpus"), found.get("card"), found["model"]) == (gpus, card, "m")


@pytest.mark.parametrize(
    ("status", "since", "severity"),
    [
        ("running", None, "pass"),
        ("booting", 30, "warn"),
        ("booting", 900, "fail"),
        ("offline", None, "fail"),
        ("shutting_down", 30, "warn"),
        ("deleting", 9000, "warn"),
        ("billing_suspension", None, "fail"),
        ("somersaulting", 9000, "unknown"),
        (None, None, "unknown"),
    ],
)
def test_the_providers_word(status: str | None, since: float | None, severity: str) -> None:
    found = status_finding(status, since)
    assert found.severity == severity
    assert "reboot" not in found.ladder or status in ("booting", "offline")


def test_a_vm_that_does_not_answer_is_a_finding() -> None:
    view = {"name": "demo", "label": "lc-demo-1", "status": "running"}
    report = session_report(view, {"unreachable": True, "msg": "Connection timed out"})
    assert [(entry["id"], entry["severity"]) for entry in report["findings"]] == [
        ("vm.status", "pass"),
        ("vm.ssh", "fail"),
    ]
    # Something else answers in its place: no reboot of the VM would change that.
    for words in ("REMOTE HOST IDENTIFICATION HAS CHANGED!", "x " * 300 + "Host key verification failed."):
        other = session_report(view, {"unreachable": True, "msg": f"Failed to connect via ssh: {words}"})["findings"][1]
        assert (other["severity"], other["cause"], other["ladder"]) == ("fail", "host_key", ["alert"])
    # It does answer, only not to this machine: neither well nor broken.
    denied = session_report(view, {"unreachable": True, "msg": f"Failed to connect via ssh: {DENIED}"})
    assert (denied["severity"], denied["findings"][1]["cause"]) == ("unknown", "unknown_key")
    assert "linode-coder keys add" in denied["findings"][1]["remedy"]
    off = session_report({**view, "status": "offline"}, None)
    assert [(entry["id"], entry["severity"]) for entry in off["findings"]] == [("vm.status", "fail")]
    assert session_report(view, None)["severity"] == "unknown"
    assert session_report(view, {"unreachable": True})["activity"] == {"readable": False}


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "State",
                    "Status",
                    "probes",
                    "nvidia_smi",
                    "engine",
                    "health",
                    "status",
                    "disk",
                    "size",
                    "used",
                    "clock",
                    "data",
                    "id",
                    "Name",
                    "RestartCount",
                    "StartedAt",
                    "expected",
                    "gpus",
                    "container_gpus",
                    "text",
                    "generation",
                    "history",
                    "boot_id",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(FILES), st.text(max_size=120) | JSON.map(json.dumps), max_size=7), JSON)
@settings(max_examples=300, deadline=None)
def test_garbage_never_crashes_and_never_reboots(texts: dict[str, str], previous: Any) -> None:
    health = evaluate(texts, None, previous if isinstance(previous, dict) else None)
    assert health.findings
    for found in health.findings:
        assert not set(found.ladder) & {"recreate_vm", "power_cycle"} or found.severity == "fail"
