# SPDX-License-Identifier: GPL-3.0-or-later
"""What nvidia-smi and the engine's counters say while a load runs, and what they do not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.perf import gpu_samples
from ansible_collections.linode_coder.gpu.plugins.module_utils.perf.engine_counters import summarise
from hypothesis import given
from hypothesis import strategies as st

from linode_coder.sandbox.guest.gpu.nvidia_smi_xml import REASONS

# As driver 580 prints it.
CARD = "0, 97, 18200, 20475, 1900, 3105, 129.51, 130.00, 66, 0x0000000000000004, 4, 4, 16, 16"
SPOILT = "1, [N/A], [Not Supported], 20475, [GPU is lost], N/A, [Unknown Error], nan, -1, [N/A], [N/A], , inf, 16"


def test_a_card_is_read() -> None:
    assert gpu_samples.parse(CARD + "\n", 1.5) == [
        {
            **{"at": 1.5, "gpu": 0, "use": 97, "memory_used": 18200, "memory_total": 20475, "sm_clock": 1900},
            **{"sm_clock_max": 3105, "power": 129.51, "power_limit": 130.0, "temperature": 66},
            **{"throttle": ["sw_power_cap"], "pcie_gen": 4, "pcie_gen_max": 4, "pcie_width": 16, "pcie_width_max": 16},
        }
    ]


def test_what_a_card_does_not_tell_is_null() -> None:
    first, second = gpu_samples.parse(f"{CARD}\n{SPOILT}\nFailed to initialize NVML\n", 0.0)
    assert first["gpu"] == 0
    known = {name: value for name, value in second.items() if value is not None}
    assert known == {"at": 0.0, "gpu": 1, "memory_total": 20475, "pcie_width_max": 16}


@given(st.lists(st.text("0123456789xnaif[]/. -\u2028", max_size=12), min_size=12, max_size=16).map(",".join))
def test_no_text_is_more_than_numbers_and_known_words(text: str) -> None:
    for sample in gpu_samples.parse(text, 0.0):
        throttle = sample.pop("throttle")
        assert throttle is None or set(throttle) <= set(gpu_samples.REASONS.values())
        assert all(value is None or 0 <= value < 1e9 for value in sample.values())


def test_the_sandbox_has_the_same_names() -> None:
    assert {bit: name for name, bit in REASONS.items()} == gpu_samples.REASONS


SMI = """#!/bin/sh
case "$1" in
*clocks_event_reasons*) echo 'Field "clocks_event_reasons.active" is not a valid field to query.'; exit 2;;
*) echo '{card}';;
esac
"""


def test_an_older_driver_is_asked_by_the_older_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    program = tmp_path / "nvidia-smi"
    program.write_text(SMI.replace("{card}", CARD))
    program.chmod(0o755)
    gpus = gpu_samples.GpuSamples(0.0)
    gpus.look()
    gpus.look()
    assert [sample["throttle"] for sample in gpus.samples] == [["sw_power_cap"]]


def test_no_nvidia_smi_is_no_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    gpus = gpu_samples.GpuSamples(0.0)
    gpus.look()
    assert gpus.samples == []


def page(preemptions: float, hits: float, queries: float, waiting: float, used: float) -> str:
    return (
        f'vllm:num_preemptions_total{{engine="0"}} {preemptions}\nvllm:prefix_cache_hits_total {hits}\n'
        f"vllm:prefix_cache_queries_total {queries}\nvllm:num_requests_waiting {waiting}\nvllm:kv_cache_usage_perc {used}\n"
    )


NOTHING = {"preemptions": None, "cache_hit_share": None, "queue_max": None, "kv_use_max": None}


@pytest.mark.parametrize(
    ("pages", "said"),
    [
        (
            [page(2, 10, 100, 0, 0.1), "", page(3, 20, 150, 7, 0.9), page(5, 40, 200, 0, 0.2)],
            {"preemptions": 3, "cache_hit_share": 0.3, "queue_max": 7, "kv_use_max": 0.9},
        ),
        ([], NOTHING),
        (["", "", ""], NOTHING),
        (["vllm:num_preemptions_total\n", "vllm:num_preemptions_total nan\n"], NOTHING),
        # Another engine counts from nothing.
        ([page(9, 90, 100, 0, 0), page(1, 1, 10, 0, 0)], {**NOTHING, "queue_max": 0, "kv_use_max": 0.0}),
        # Nothing was asked of the cache.
        ([page(1, 5, 5, 0, 0)] * 2, {"preemptions": 0, "cache_hit_share": None, "queue_max": 0, "kv_use_max": 0.0}),
    ],
)
def test_counters_of_a_level(pages: list[str], said: dict[str, object]) -> None:
    assert summarise(pages) == said
