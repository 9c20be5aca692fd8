# SPDX-License-Identifier: GPL-3.0-or-later
"""What nvidia-smi of the sandbox shows of an engine that works: memory, a process and the load on each of its cards."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.nvidia_smi import read_nvidia_smi

from linode_coder.sandbox.guest import faults
from linode_coder.sandbox.guest.engine.core import Core
from linode_coder.sandbox.guest.engine.memory import model_of
from linode_coder.sandbox.guest.gpu import cards, engine_load, nvidia_smi
from linode_coder.sandbox.hosts.gpus import describe

CORE, FIRST, SECOND = (77, "VLLM::EngineCore", True), (78, "VLLM::Worker_TP0", True), (79, "VLLM::Worker_TP1", True)
WORKS = {-1: CORE, 0: FIRST, 1: SECOND}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host with two cards; its files are in the answer."""
    monkeypatch.setattr(faults, "FILE", tmp_path / "faults.json")
    monkeypatch.setattr(faults, "MENDED", tmp_path / "mended.json")
    monkeypatch.setattr(engine_load, "HELD", tmp_path / "held.json")
    monkeypatch.setattr(cards, "HARDWARE", tmp_path / "gpus.json")
    (tmp_path / "gpus.json").write_text(json.dumps(describe("g2-gpu-rtx4000a2-s", 2, "host")))
    monkeypatch.setenv("SANDBOX_GPUS", str(tmp_path / "gpus.json"))
    monkeypatch.setattr(engine_load, "_processes", lambda: dict(WORKS))
    return tmp_path


def break_it(host: Path, *kinds: str, **more: Any) -> None:
    (host / "faults.json").write_text(json.dumps([{"id": n, "kind": kind, **more} for n, kind in enumerate(kinds)]))


def shown() -> list[dict[str, Any]]:
    return list(cards.load()["gpus"])


@pytest.mark.usefixtures("host")
def test_each_card_of_the_engine_has_its_worker_and_its_memory() -> None:
    engine_load.tell(18000, 2, 0)
    idle = shown()
    assert [card["used_mib"] for card in idle] == [18000, 18000]
    assert [[one["pid"] for one in card["processes"]] for card in idle] == [[78], [79]]
    assert {(card["utilization"], card["pstate"], card["power"]) for card in idle} == {(0, "P8", 15)}
    engine_load.tell(18000, 2, 4)
    for quiet, busy in zip(idle, shown(), strict=True):
        assert busy["utilization"] > 90 and busy["pstate"] == "P0"
        assert busy["active"] == []
        for name in ("power", "temperature", "sm_clock"):
            assert busy[name] > quiet[name]
        assert busy["power"] < busy["power_limit_w"]


@pytest.mark.usefixtures("host")
def test_an_engine_of_one_card_leaves_the_other_alone() -> None:
    engine_load.tell(18000, 1, 3)
    first, second = shown()
    assert ([one["pid"] for one in first["processes"]], first["utilization"]) == ([77], 93)
    assert (second["processes"], second["used_mib"], second["utilization"]) == ([], 0, 0)


def test_what_is_gone_holds_nothing_and_what_is_stopped_does_nothing(
    host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [card["used_mib"] for card in shown()] == [0, 0]
    engine_load.tell(18000, 2, 4)
    monkeypatch.setattr(engine_load, "_processes", lambda: {**WORKS, -1: (77, "VLLM::EngineCore", False)})
    assert [(card["used_mib"], card["utilization"]) for card in shown()] == [(18000, 0)] * 2
    monkeypatch.setattr(engine_load, "_processes", dict)
    assert [(card["used_mib"], card["processes"]) for card in shown()] == [(0, []), (0, [])]
    assert (host / "held.json").exists()


def test_faults_win_over_the_load(host: Path) -> None:
    engine_load.tell(18000, 2, 4)
    break_it(host, "throttle", "gpu_foreign", gpu=1)
    first, second = shown()
    assert first["sm_clock"] == engine_load.LOADED_CLOCK and first["active"] == []
    assert (second["sm_clock"], second["active"]) == (engine_load.SLOWED_CLOCK, ["hw_power_brake_slowdown"])
    assert (second["used_mib"], [one["pid"] for one in second["processes"]]) == (18512, [79, 4242])
    break_it(host, "thermal")
    assert (shown()[0]["temperature"], shown()[0]["sm_clock"]) == (97, engine_load.SLOWED_CLOCK)
    break_it(host, "gpu_unused", gpu=1)
    assert [(card["used_mib"], card["utilization"]) for card in shown()] == [(18000, 94), (0, 0)]


@pytest.mark.usefixtures("host")
def test_our_reader_reads_it(capsys: pytest.CaptureFixture[str]) -> None:
    engine_load.tell(18000, 2, 0)
    assert nvidia_smi.main(["-q", "-x"]) == 0
    found = read_nvidia_smi(capsys.readouterr().out).gpus
    assert [(gpu.memory_used_mib, gpu.utilization, gpu.performance_state) for gpu in found] == [(18000, 0, "P8")] * 2
    engine_load.tell(18000, 2, 4)
    assert nvidia_smi.main(["-q", "-x"]) == 0
    found = read_nvidia_smi(capsys.readouterr().out).gpus
    assert [(gpu.memory_used_mib, gpu.utilization, gpu.performance_state) for gpu in found] == [(18000, 94, "P0")] * 2
    assert [[(one.pid, one.name, one.used_mib) for one in gpu.processes] for gpu in found] == [
        [(78, "VLLM::Worker_TP0", 18000)],
        [(79, "VLLM::Worker_TP1", 18000)],
    ]
    asked = "index,memory.used,utilization.gpu,clocks.sm,power.draw,pcie.link.gen.current,clocks_event_reasons.gpu_idle"
    assert nvidia_smi.main([f"--query-gpu={asked}", "--format=csv,noheader,nounits"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "0, 18000, 94, 2610, 93.00, 4, Not Active"
    assert nvidia_smi.main(["--query-compute-apps=pid,used_memory", "--format=csv,noheader"]) == 0
    assert capsys.readouterr().out.splitlines() == ["78, 18000 MiB", "79, 18000 MiB"]
    assert nvidia_smi.main([]) == 0
    assert "VLLM::Worker_TP1" in capsys.readouterr().out


@pytest.fixture
def core(host: Path) -> Iterator[Core]:
    """An engine's core with one request, on the first card of the host."""
    ours, theirs = socket.socketpair()
    model = model_of("tiny")
    assert model is not None
    options = argparse.Namespace(tensor_parallel_size=1, max_num_seqs=None)
    made = Core(theirs, options, model)
    made.on_gpu = (18000, 0)
    made._take({"op": "add", "id": "a", "tokens": 1000, "prompt": 5})
    made._generate(0.0)
    yield made
    ours.close()
    theirs.close()


def came(core: Core) -> float:
    before = core.running["a"]["left"]
    core._generate(1.0)
    return before - core.running["a"]["left"]


@pytest.mark.parametrize("kind", ["thermal", "throttle"])
def test_a_card_that_is_slowed_down_slows_its_engine(core: Core, host: Path, kind: str) -> None:
    assert json.loads((host / "held.json").read_text()) == {"used_mib": 18000, "ranks": 1, "running": 1}
    assert came(core) == 200
    break_it(host, kind, gpu=1)
    assert came(core) == 200
    break_it(host, kind)
    assert 50 <= came(core) <= 55


def test_an_engine_says_when_it_has_no_more_requests(core: Core, host: Path) -> None:
    core._take({"op": "add", "id": "short", "tokens": 16, "prompt": 5})
    assert json.loads((host / "held.json").read_text())["running"] == 1
    core._take({"op": "abort", "id": "a"})
    assert json.loads((host / "held.json").read_text())["running"] == 0


def test_a_process_is_found_by_the_title_that_vllm_gives() -> None:
    code = "import signal, sys; print(flush=True); signal.pause()"
    with subprocess.Popen(
        ["VLLM::Worker_TP7", "-c", code], executable=sys.executable, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            found = {rank: one for rank, one in engine_load._processes().items() if one[0] == process.pid}
            assert found == {7: (process.pid, "VLLM::Worker_TP7", True)}
            os.kill(process.pid, signal.SIGSTOP)
            os.waitpid(process.pid, os.WUNTRACED)
            assert engine_load._processes()[7] == (process.pid, "VLLM::Worker_TP7", False)
        finally:
            process.kill()
