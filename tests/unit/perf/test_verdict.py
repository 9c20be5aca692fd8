# SPDX-License-Identifier: GPL-3.0-or-later
"""Each reason from a run that has the fault, none from a healthy one, and nothing that any document could break."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.finding import SEVERITIES
from ansible_collections.linode_coder.gpu.plugins.module_utils.perf.verdict import judge
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.perf.perf_runs import each_sample, level, run, sample, with_levels

GPUS = pytest.mark.parametrize("gpus", [1, 2])


def ids(verdict: dict[str, Any]) -> list[str]:
    return [reason["id"] for reason in verdict["reasons"]]


def only(verdict: dict[str, Any]) -> dict[str, Any]:
    (reason,) = verdict["reasons"]
    assert verdict["severity"] == reason["severity"] and verdict["summary"] == reason["summary"]
    assert isinstance(reason, dict)
    return reason


@GPUS
@pytest.mark.parametrize("sandbox", [False, True])
def test_a_healthy_run_passes(gpus: int, sandbox: bool) -> None:
    for baseline in (None, run(gpus, sandbox=sandbox)):
        verdict = judge(run(gpus, sandbox=sandbox), baseline)
        assert verdict["reasons"] == [] and verdict["severity"] == "pass"
        assert verdict["measured"] == pytest.approx(50)
        assert verdict["share"] == (None if sandbox else pytest.approx(50 / 60))
        assert verdict["baseline"] == (pytest.approx(50) if baseline else None)
        assert verdict["baseline_run"] == (baseline and baseline["id"])
        assert ("sandbox" in verdict["summary"]) == sandbox


def test_what_is_said_of_a_healthy_run() -> None:
    assert judge(run())["summary"] == "One stream gets 50.0 tokens/s, 83% of the expected 60."
    before = with_levels(run(), level(1, 0.021))
    assert judge(run(), before)["summary"].endswith("of the expected 60, +5% against the baseline.")


@GPUS
@pytest.mark.parametrize("sandbox", [False, True])
@pytest.mark.parametrize(
    ("word", "who"),
    [
        ("hw_thermal_slowdown", "the hardware, for heat"),
        ("hw_slowdown", "the hardware"),
        ("sw_thermal_slowdown", "the driver, for heat"),
        ("hw_power_brake_slowdown", "the power supply's brake"),
    ],
)
def test_throttled(gpus: int, sandbox: bool, word: str, who: str) -> None:
    spoilt = each_sample(run(gpus, sandbox=sandbox), gpus - 1, throttle=[word], sm_clock=705, temperature=91)
    reason = only(judge(spoilt))
    assert reason == {
        "id": "throttled",
        "severity": "fail",
        "summary": f"GPU {gpus - 1} was slowed down by {who} in 100% of its busy time at 705 of 2175 MHz, 91 C.",
    }


def test_a_slowdown_of_some_seconds_is_a_warning_and_one_on_an_idle_card_is_none() -> None:
    document = run()
    for one in document["gpu_samples"][5:9]:
        one["throttle"] = ["hw_slowdown"]
    assert only(judge(document))["severity"] == "warn"
    for one in document["gpu_samples"][5:9]:
        one["use"] = 3
    assert judge(document)["reasons"] == []


def test_power_is_no_fault_until_the_clocks_are_far_down() -> None:
    assert judge(each_sample(run(), sm_clock=1200))["reasons"] == []
    reason = only(judge(each_sample(run(), sm_clock=900)))
    assert (reason["id"], reason["severity"]) == ("throttled", "warn")
    assert reason["summary"] == ("The power limit of GPU 0 keeps its clocks far down at 900 of 2175 MHz, 130 of 130 W.")


@GPUS
@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"pcie_width": 4}, "4 lanes of 16"),
        ({"pcie_gen": 1}, "generation 1 of 4"),
        ({"pcie_gen": 2, "pcie_width": 8}, "generation 2 of 4 and 8 lanes of 16"),
    ],
)
def test_link_degraded(gpus: int, figures: dict[str, int], said: str) -> None:
    reason = only(judge(each_sample(run(gpus), 0, **figures)))
    assert (reason["id"], reason["severity"]) == ("link_degraded", "warn")
    assert f"GPU 0 had {said} under load" in reason["summary"]
    assert ("GPUs talk" in reason["summary"]) == (gpus == 2)


def test_one_of_two_gpus_idle() -> None:
    idle = {"use": 0, "memory_used": 400, "throttle": [], "pcie_gen": 1}
    spoilt = each_sample(run(2), 1, **idle)
    reason = only(judge(spoilt))
    assert (reason["id"], reason["severity"]) == ("gpu_idle", "fail")
    assert reason["summary"].startswith("GPU 1 did nothing while GPU 0 was at 97 %, although")
    del spoilt["flags"]["tensor-parallel-size"]
    reason = only(judge(spoilt))
    assert reason["severity"] == "warn" and "--tensor-parallel" in reason["summary"]
    assert judge(each_sample(run(1), 0, **idle))["reasons"] == []


def test_memory_unbalanced() -> None:
    reason = only(judge(each_sample(run(2), 1, memory_used=12000)))
    assert (reason["id"], reason["severity"]) == ("memory_unbalanced", "warn")
    assert "GPU 0 holds 17.8 GiB and GPU 1 11.7 GiB" in reason["summary"]
    assert judge(each_sample(run(2), 1, memory_used=16000))["reasons"] == []
    assert judge(each_sample(run(1), 0, memory_used=12000))["reasons"] == []


@GPUS
def test_preemptions_and_a_small_kv_cache(gpus: int) -> None:
    engine = {"preemptions": 12, "kv_use_max": 0.998, "queue_max": 3}
    spoilt = with_levels(run(gpus), level(1), level(16, 0.027, 0.090, engine=engine))
    verdict = judge(spoilt)
    assert ids(verdict) == ["preemptions", "kv_cache_small"] and verdict["severity"] == "warn"
    assert "took 12 requests back" in verdict["summary"] and "100% of the KV cache" in verdict["summary"]
    assert "kv-cache-dtype fp8" in verdict["summary"] and "3 requests waiting" in verdict["reasons"][1]["summary"]
    spoilt["flags"]["kv-cache-dtype"] = "fp8_e4m3"
    assert "fp8" not in judge(spoilt)["summary"] and "less context" in judge(spoilt)["summary"]
    full = with_levels(run(gpus), level(1), level(16, 0.027, 0.090, engine={"kv_use_max": 1.0}))
    assert judge(full)["reasons"] == []


@GPUS
@pytest.mark.parametrize(
    ("most", "kv", "limit"),
    [(8, 0.4, "max-num-seqs 8 is the limit"), (64, 0.9, "the KV cache, 90% in use, is"), (64, 0.4, "their prompts is")],
)
def test_queue(gpus: int, most: int, kv: float, limit: str) -> None:
    spoilt = with_levels(run(gpus), level(1), level(16, 0.022, 0.735, engine={"queue_max": 8, "kv_use_max": kv}))
    spoilt["flags"]["max-num-seqs"] = most
    found = {reason["id"]: reason for reason in judge(spoilt)["reasons"]}
    assert set(found) == ({"queue", "kv_cache_small"} if kv == 0.9 else {"queue"})
    # Waiting for more streams than it was set to serve, or for prompts to be read, is nothing that is wrong.
    assert found["queue"]["severity"] == ("warn" if "cache" in limit else "pass") and limit in found["queue"]["summary"]
    assert "took 735 ms instead of 50.0 ms" in found["queue"]["summary"]
    by_design = judge({**spoilt, "profile": "saturation"})
    assert by_design["severity"] == "pass" and "queue" in ids(by_design)


def test_tokens_that_slow_down_are_no_queue_and_one_level_alone_can_show_one() -> None:
    assert judge(with_levels(run(), level(1), level(16, 0.060, 0.735, engine={"queue_max": 8})))["reasons"] == []
    alone = with_levels(run(sandbox=True), level(16, 0.020, 4.0, engine={"queue_max": 8}))
    assert ids(judge(alone)) == ["queue"]
    alone["flags"]["max-num-seqs"] = 8
    assert ids(judge(alone)) == ["queue"] and judge(alone)["severity"] == "pass"


@GPUS
def test_host_cpu(gpus: int) -> None:
    spoilt = each_sample(with_levels(run(gpus), level(1, 0.050)), use=35, throttle=[])
    verdict = judge(spoilt)
    assert ids(verdict) == ["host_cpu", "below_expected"]
    assert verdict["severity"] == "fail"
    assert verdict["summary"].startswith("One stream gets 20.0 tokens/s, 33% of the expected 60. The GPU had work 35 %")
    assert judge(each_sample(run(gpus), use=35, throttle=[]))["reasons"] == []
    assert ids(judge(each_sample(spoilt, use=97))) == ["below_expected"]


@GPUS
def test_neighbour(gpus: int) -> None:
    before = run(gpus)
    before["gpu_samples"] = [{**one, "use": 60} if one["at"] < 0 else one for one in before["gpu_samples"]]
    assert "was at 60 % before the load" in only(judge(before))["summary"]
    busy = only(judge({**run(gpus), "requests_before": 1}))
    assert "it had 1 request to do before the load began" in busy["summary"] and busy["id"] == "neighbour"
    # Their work shows on the cards as well: it is said once.
    assert only(judge({**before, "requests_before": 2}))["summary"].startswith("Somebody else used the engine")
    assert judge({**run(gpus), "requests_before": 0})["reasons"] == []
    grows = run(gpus, flags={"gpu-memory-utilization": 0.8})
    assert judge(grows)["reasons"] == []
    for one in grows["gpu_samples"]:
        one["memory_used"] = 15000 if one["at"] < 20 else 18200
    reason = only(judge(grows))
    assert (reason["id"], reason["severity"]) == (
        "neighbour",
        "warn",
    ) and "3.1 GiB of it since the load began, and" in reason["summary"]
    # Up to what it was given the engine's own use grows.
    assert judge({**grows, "flags": {"gpu-memory-utilization": 0.9}})["reasons"] == []
    beyond = run(gpus, flags={"gpu-memory-utilization": "0.5"})
    assert "89% of its memory in use, and the engine was given 50%" in only(judge(beyond))["summary"]


@GPUS
def test_network(gpus: int) -> None:
    here = with_levels(run(gpus, where="here", id="here"), level(1, ttft=0.4), level(4, 0.022, 0.42))
    for verdict in (judge(here, run(gpus)), judge(here, None, run(gpus))):
        reason = only(verdict)
        assert (reason["id"], reason["severity"]) == ("network", "warn")
        assert reason["summary"].startswith("The way from here costs time: the first token takes 400 ms with 1 stream")
        assert verdict["baseline"] is None
    slow = with_levels(run(gpus, where="here"), level(1, itl=0.026))
    assert ids(judge(slow, run(gpus))) == ["network", "below_expected"]
    assert judge({**here, "where": "vm"})["reasons"] == []
    near = with_levels(run(gpus, where="here"), level(1, ttft=0.09, itl=0.0205))
    assert judge(near, run(gpus))["reasons"] == []


@GPUS
def test_the_way_alone_tells(gpus: int) -> None:
    far = with_levels(run(gpus, where="here", round_trip=0.25), level(1, ttft=0.3), level(4, 0.022, 0.42))
    reason = only(judge(far))
    assert (reason["id"], reason["severity"]) == ("network", "warn")
    assert "a round trip takes 250 ms, and the first token 300 ms with 1 stream" in reason["summary"]
    # Of a first token that takes seconds it is nothing, and near is near.
    assert judge(with_levels({**far, "round_trip": 0.25}, level(1, ttft=3.0)))["reasons"] == []
    assert judge({**far, "round_trip": 0.09})["reasons"] == judge({**far, "round_trip": None})["reasons"] == []
    assert judge({**far, "where": "vm"})["reasons"] == []


@GPUS
def test_a_slow_disk_is_of_the_starts(gpus: int) -> None:
    reason = only(judge(run(gpus, disk_read=20 * 2**20)))
    assert (reason["id"], reason["severity"]) == ("disk_slow", "warn")
    assert (
        reason["summary"]
        == "The disk of the VM reads 20 MiB/s: 20 GiB of weights take 17 minutes to load at each start."
    )
    assert all(judge(run(gpus, disk_read=read))["reasons"] == [] for read in (100 * 2**20, None, 0))
    # No token waits for it.
    slow = judge(with_levels(run(gpus, disk_read=20 * 2**20), level(1, itl=0.027)))
    assert ids(slow) == ["below_expected", "disk_slow"] and "disk" not in slow["summary"]


@GPUS
def test_a_late_generator_is_not_trusted(gpus: int) -> None:
    late = with_levels(run(gpus), level(1), level(16, 0.027, 0.090, generator_lag=0.030))
    reason = only(judge(late))
    assert (reason["id"], reason["severity"]) == ("generator_lag", "warn")
    assert "up to 30.0 ms late with 16 streams, with 27.0 ms between" in reason["summary"]
    assert only(judge(with_levels(run(gpus), level(1, generator_lag=0.4))))["severity"] == "unknown"
    assert judge(with_levels(run(gpus), level(1, itl=0.021, generator_lag=0.009)))["reasons"] == []


@GPUS
@pytest.mark.parametrize(("failed", "severity"), [(3, "fail"), (1, "warn")])
def test_requests_failed(gpus: int, failed: int, severity: str) -> None:
    broken = level(4, requests=200, failed=failed, errors={"it ended early\x1b[2J.": failed, "other": 0})
    reason = only(judge(with_levels(run(gpus, sandbox=True), level(1), broken)))
    assert (reason["id"], reason["severity"]) == ("requests_failed", severity)
    assert reason["summary"] == rf"{failed} of 200 requests failed with 4 streams: it ended early\x1b[2J."


@GPUS
@pytest.mark.parametrize(("itl", "severity"), [(0.0238, "pass"), (0.0239, "warn"), (0.0333, "warn"), (0.0334, "fail")])
def test_below_expected(gpus: int, itl: float, severity: str) -> None:
    verdict = judge(with_levels(run(gpus), level(1, itl)))
    assert verdict["severity"] == severity
    assert ids(verdict) == ([] if severity == "pass" else ["below_expected"])
    assert judge(with_levels(run(gpus, sandbox=True), level(1, itl)))["severity"] == "pass"


@GPUS
@pytest.mark.parametrize("sandbox", [False, True])
def test_below_baseline(gpus: int, sandbox: bool) -> None:
    before = with_levels(run(gpus, sandbox=sandbox, expected_tps=None), level(1), level(16, 0.027, 0.09))
    slower = with_levels(before, level(1), level(16, 0.032, 0.09))
    reason = only(judge(slower, before))
    assert (reason["id"], reason["severity"]) == ("below_baseline", "warn")
    assert reason["summary"] == "With 16 streams each stream gets 31.2 tokens/s, 16% less than the baseline's 37.0."
    assert judge(with_levels(before, level(1, 0.023)), before)["severity"] == "pass"


def test_what_is_noise_in_the_baseline_is_noise_against_it_and_a_bad_run_does_not_hide_itself() -> None:
    slower, wide = level(1, 0.025), {"itl": {"p50": 0.020, "p90": 0.026}}
    before = with_levels(run(expected_tps=None), level(1))
    assert ids(judge(with_levels(before, slower), before)) == ["below_baseline"]
    assert ids(judge(with_levels(before, slower), with_levels(before, level(1) | wide))) == []
    shorter = with_levels(before, level(1, 0.025, tokens=16))
    assert ids(judge(shorter, before)) == [] and judge(shorter, before)["baseline"] is None
    chat = run(id="other", profile="chat")
    assert judge(run(), chat)["summary"].endswith(
        "expected 60. The run other measured something else, so it says nothing of this one."
    )
    hiding = slower | {"itl": {"p50": 0.025, "p90": 0.050}}
    assert ids(judge(with_levels(before, hiding), before)) == ["below_baseline"]


def test_what_cannot_be_told_is_unknown() -> None:
    assert judge({})["severity"] == "unknown"
    assert judge(run(expected_tps=None))["severity"] == "unknown"
    assert judge(run(expected_tps=None), run())["severity"] == "pass"
    partial = judge(with_levels(run(complete=False, why_partial="interrupted"), level(1)))
    assert partial["severity"] == "pass"
    assert partial["summary"].endswith("The run is not complete, 1 level done: interrupted.")


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(10**400),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


def spoilt(value: Any) -> st.SearchStrategy[Any]:
    """The document with any part of it missing or something else."""
    if isinstance(value, dict):
        parts = {key: spoilt(part) for key, part in value.items()}
        return st.fixed_dictionaries({}, optional=parts) | st.fixed_dictionaries(parts) | JUNK
    if isinstance(value, list):
        return st.tuples(*map(spoilt, value)).map(list) | JUNK
    return st.just(value) | JUNK | st.floats() | st.integers()


SMALL = {
    **run(2),
    "levels": [level(1), level(16, engine={"queue_max": 9, "preemptions": 1, "kv_use_max": 1}, failed=1)],
    "gpu_samples": [sample(-1.0), sample(1.0, throttle=["hw_slowdown"]), sample(1.0, 1, use=0)],
}


@settings(max_examples=300, deadline=None)
@given(spoilt(SMALL), st.none() | spoilt(SMALL), st.none() | spoilt(SMALL))
def test_no_document_breaks_it(document: Any, baseline: Any, near: Any) -> None:
    verdict = judge(document, baseline, near)
    assert verdict["severity"] in SEVERITIES and verdict["summary"]
    assert {reason["severity"] for reason in verdict["reasons"]} <= set(SEVERITIES)
    json.dumps(verdict, allow_nan=False)
