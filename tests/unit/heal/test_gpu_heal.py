# SPDX-License-Identifier: GPL-3.0-or-later
"""The module that takes rungs on the VM, with programs that write down how they are called."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.finding import Finding
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.rungs import BY_ID, GUEST_RUNGS, Command
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal.attempts import parse
from ansible_collections.linode_coder.gpu.plugins.modules import gpu_heal

from tests.unit.heal.cases import finding

ROOT = Path(__file__).resolve().parents[3]
DEAD = (finding("ctr.state", cause="exited"), finding("vllm.health"))
OOM = (finding("ctr.oom", cause="context_too_long"),)
CONFIG = '# written by the role\nmax-model-len: 65536\nmodel: "org/Model-7B"\n'
PROGRAM = """#!/bin/sh
echo "${0##*/} $*" >> "$CALLS"
case "$*" in *compute_cap*) echo 8.9; exit 0;; esac
case "${0##*/} $*" in $BROKEN) echo "it is broken" >&2; exit 1;; esac
sleep "${SLOW:-0}"
"""
START = (
    "import sys; sys.path.append(sys.argv[1]); import tests.conftest, json\n"
    "from ansible.module_utils.testing import patch_module_args\n"
    "from ansible_collections.linode_coder.gpu.plugins.modules import gpu_heal\n"
    "with patch_module_args(json.loads(sys.argv[2])): gpu_heal.main()"
)


class Vm:
    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.directory = directory
        self.captured = capsys.readouterr
        self.calls_file = directory / "calls"
        self.record = directory / "state/attempts.jsonl"
        self.config = directory / "engine/vllm.yaml"
        self.config.parent.mkdir()
        self.config.write_text(CONFIG)
        self.config.chmod(0o640)
        programs = directory / "bin"
        programs.mkdir()
        for name in ("docker", "systemctl", "modprobe", "nvidia-smi", "nvidia-ctk"):
            (programs / name).write_text(PROGRAM)
            (programs / name).chmod(0o755)
        self.environment = {
            **os.environ,
            "PATH": f"{programs}:/usr/bin:/bin",
            "CALLS": str(self.calls_file),
            "BROKEN": "nothing",
        }

    def arguments(self, findings: tuple[Finding, ...], check: bool, given: dict[str, Any]) -> dict[str, Any]:
        rows = [one.as_dict() for one in findings]
        now = time.time()
        return {
            "findings": rows,
            "earlier": [{"at": int(now - ago), "findings": rows} for ago in (60, 200)],
            "provider": {"status": "running", "created": 0, "events": []},
            "patience": 0.0,
            "owner": "ada@laptop",
            "project_dir": str(self.config.parent),
            "state_dir": str(self.record.parent),
            "run_dir": str(self.directory / "run"),
            "_ansible_check_mode": check,
            "_ansible_diff": True,
            **given,
        }

    def start(self, findings: tuple[Finding, ...] = (), start: str = START, **given: Any) -> subprocess.Popen[str]:
        """In a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-c", start, str(ROOT), json.dumps(self.arguments(findings, False, given))],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def heal(self, findings: tuple[Finding, ...] = (), check: bool = False, **given: Any) -> dict[str, Any]:
        """In this process."""
        with pytest.MonkeyPatch.context() as patch, patch_module_args(self.arguments(findings, check, given)):
            for name, value in self.environment.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit):
                gpu_heal.main()
        return dict(json.loads(self.captured().out))

    def calls(self) -> list[str]:
        text = self.calls_file.read_text() if self.calls_file.exists() else ""
        found = [line.replace(str(self.config.parent), "DIR") for line in text.splitlines()]
        return [line for line in found if "compute_cap" not in line]

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.record.read_text().splitlines()]


def answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=120)
    assert out, err
    return dict(json.loads(out))


@pytest.fixture
def vm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Vm:
    return Vm(tmp_path, capsys)


def test_an_attempt_is_written_before_and_after_it_is_made(vm: Vm) -> None:
    result = vm.heal(DEAD)
    assert result["changed"] and result["step"]["rung"] == "restart_container"
    assert vm.calls() == ["docker compose --project-directory DIR restart --no-deps --timeout 20 vllm"]
    made, acted = vm.lines()
    assert made["event"] == "attempt" and made["fingerprint"] == "ctr.state|container|exited"
    assert made["owner"] == "ada@laptop" and made["boot_id"] and acted["event"] == "acted"
    judged = vm.heal((finding("vllm.gen", "pass"),), state="judged", attempt=result["attempt"]["id"], fingerprint="x")
    assert judged["outcome"] == "healed" and judged["attempts"][0]["outcome"] == "healed"
    assert vm.heal(DEAD)["step"]["rung"] == "recreate_container"


def test_check_mode_and_planning_touch_nothing(vm: Vm) -> None:
    before = sorted(path for path in vm.directory.rglob("*"))
    checked = vm.heal(OOM, check=True, health=health({"max-model-len": 28672}))
    planned = vm.heal(OOM, state="planned", health=health({"max-model-len": 28672}))
    assert checked["changed"] and not planned["changed"]
    assert checked["diff"] == {"before": {"kv-cache-dtype": None}, "after": {"kv-cache-dtype": "fp8"}}
    assert [path for path in sorted(vm.directory.rglob("*")) if path != vm.calls_file] == before
    assert vm.calls() == []


def health(suggested: dict[str, Any]) -> dict[str, Any]:
    return {"facts": {"engine": {"causes": [{"slug": "context_too_long", "parameters": suggested}]}}}


def test_a_parameter_is_changed_with_old_and_new_value_on_record(vm: Vm) -> None:
    first = vm.heal(OOM, health=health({"max-model-len": 28672}))
    assert vm.config.read_text() == CONFIG + 'kv-cache-dtype: "fp8"\n'
    assert vm.config.stat().st_mode & 0o777 == 0o640
    assert vm.lines()[0]["change"] == {"flag": "kv-cache-dtype", "old": None, "new": "fp8"}
    vm.heal(state="judged", attempt=first["attempt"]["id"], outcome="failed")
    second = vm.heal(OOM, health=health({"max-model-len": 28672}))
    assert second["diff"] == {"before": {"max-model-len": 65536}, "after": {"max-model-len": 28672}}
    assert vm.config.read_text() == CONFIG.replace("65536", "28672") + 'kv-cache-dtype: "fp8"\n'
    assert (
        vm.calls()[-1]
        == "docker compose --project-directory DIR up --detach --no-deps --force-recreate --timeout 20 vllm"
    )


def test_a_rung_that_could_not_be_taken_has_failed(vm: Vm) -> None:
    vm.environment["BROKEN"] = "docker*restart*"
    result = vm.heal(DEAD)
    assert result["attempt"]["outcome"] == "failed"
    assert "it is broken" in vm.lines()[2]["reason"]
    assert vm.heal(DEAD)["step"]["rung"] == "recreate_container"


def test_killed_in_the_middle_the_next_pass_goes_on_with_the_same_attempt(vm: Vm) -> None:
    vm.environment["SLOW"] = "60"
    process = vm.start(DEAD)
    wait_for(lambda: bool(vm.calls()))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    del vm.environment["SLOW"]
    assert parse(vm.record.read_text()).pending()
    again = vm.heal(DEAD)
    assert again["step"]["resume"] and again["step"]["rung"] == "restart_container"
    assert [line["event"] for line in vm.lines()] == ["attempt", "resumed", "acted"]
    assert vm.calls() == ["docker compose --project-directory DIR restart --no-deps --timeout 20 vllm"] * 2


# The healer dies right after it wrote the attempt down, or right after it did what it announced.
DIES = """
import os
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal.guest import Healer
act = Healer.perform
Healer.perform = lambda *given: (%s, os.kill(os.getpid(), 9))
"""


@pytest.mark.parametrize(("does", "acts"), [("None", 0), ("act(*given)", 1)], ids=["before the act", "after it"])
def test_killed_right_before_or_after_the_act_what_was_planned_is_on_record(vm: Vm, does: str, acts: int) -> None:
    starved = (finding("ctr.oom", cause="no_kv_room", evidence="No available memory for the cache blocks."),)
    given = {"health": health({"max-num-seqs": 32})}
    process = vm.start(starved, start=START.replace("with patch", f"{DIES % does}with patch"), **given)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    (written,) = vm.lines()
    assert (written["event"], written["rung"], written["owner"]) == ("attempt", "change_parameters", "ada@laptop")
    assert written["change"] == {"flag": "max-num-seqs", "old": None, "new": 32}
    assert written["evidence"] == "No available memory for the cache blocks."
    assert (len(vm.calls()), vm.config.read_text().count("max-num-seqs: 32")) == (acts, acts)
    result = vm.heal(starved, **given)
    assert result["step"]["resume"] and result["step"]["change"] == written["change"]
    assert [line["event"] for line in vm.lines()] == ["attempt", "resumed", "acted"]
    assert (len(vm.calls()), vm.config.read_text().count("max-num-seqs: 32")) == (acts + 1, 1)


def test_an_attempt_of_which_only_the_tags_knew_is_written_down_with_its_end(vm: Vm) -> None:
    attempt = "reboot:1a2b3c4d:1800000000:9f3c"
    given = {"fingerprint": "vm.ssh|vm|unreachable", "evidence": "Connection refused", "acted": True}
    judged = vm.heal((finding("vllm.gen", "pass"),), state="judged", attempt=attempt, **given)
    (made,) = judged["attempts"]
    assert (made["id"], made["outcome"], made["acted"]) == (attempt, "healed", True)
    assert (made["fingerprint"], made["evidence"], made["owner"]) == (*list(given.values())[:2], "ada@laptop")
    assert vm.heal(state="judged", attempt="nonsense", outcome="failed")["failure"]["kind"] == "not_found"


def test_a_replacement_goes_on_with_the_engine_as_it_is_now(vm: Vm) -> None:
    wanted = {"model": "org/Model-7B", "image": "vllm:1", "flags": {"max-model-len": 131072}, "environment": {}}
    bad = (finding("gpu.ecc.sram"),)
    assert vm.heal(bad, state="planned")["engine"] is None
    engine = vm.record.parent / "engine.json"
    engine.parent.mkdir()
    engine.write_text(json.dumps({"schema": 1, "wanted": wanted}))
    vm.config.write_text(CONFIG.replace("Model-7B", "Other"))
    assert vm.heal(bad, state="planned")["engine"] is None
    vm.config.write_text(CONFIG)
    assert vm.heal(bad)["engine"] == {"wanted": wanted, "config": CONFIG}


def test_of_two_at_once_one_acts_and_the_other_stands_down(vm: Vm) -> None:
    vm.environment["SLOW"] = "3"
    results = [answer(process) for process in [vm.start(DEAD, patience=1.0) for _ in range(3)]]
    assert len([one for one in results if one["attempt"]]) == 1
    assert {one["stop"]["reason"] for one in results if one["stop"]} <= {"busy", "pending"}
    assert vm.calls() == ["docker compose --project-directory DIR restart --no-deps --timeout 20 vllm"]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_giving_up_is_written_down_and_taken_back_by_a_person(vm: Vm) -> None:
    for _ in range(2):
        vm.heal(state="judged", attempt=vm.heal(DEAD)["attempt"]["id"], outcome="failed")
    stopped = vm.heal(DEAD)
    assert stopped["stop"]["reason"] == "needs_human" and stopped["breaker"]
    assert vm.heal(DEAD, state="planned")["stop"]["message"] == stopped["breaker"]
    assert vm.heal(state="acknowledged")["breaker"] is None
    assert vm.heal(DEAD)["step"]["rung"] == "restart_container"


def test_an_unreadable_record_heals_nothing_until_it_is_acknowledged(vm: Vm) -> None:
    vm.record.parent.mkdir()
    vm.record.write_text("not what we write\n")
    assert vm.heal(DEAD)["stop"]["reason"] == "needs_human"
    assert vm.heal(state="read")["failure"]["kind"] == "unhealthy"
    assert vm.calls() == []
    vm.heal(state="acknowledged")
    assert [path.read_text() for path in vm.record.parent.glob("attempts.jsonl.*")] == ["not what we write\n"]
    assert vm.heal(DEAD)["step"]["rung"] == "restart_container"


def test_a_rung_of_the_provider_is_only_reserved(vm: Vm) -> None:
    result = vm.heal((finding("gpu.lost"),))
    assert result["step"]["rung"] == "reboot" and result["step"]["scope"] == "api"
    assert vm.calls() == [] and [line["event"] for line in vm.lines()] == ["attempt"]


EXPECTED = {
    "restart_container": ["docker compose restart --no-deps --timeout 20 vllm"],
    "recreate_container": ["docker compose up --detach --no-deps --force-recreate --timeout 20 vllm"],
    "change_parameters": ["docker compose up --detach --no-deps --force-recreate --timeout 20 vllm"],
    "restart_services": [
        "systemctl restart nvidia-persistenced",
        "systemctl restart docker",
        "docker compose up --detach",
    ],
    "regenerate_cdi": [
        "systemctl restart nvidia-cdi-refresh",
        "docker compose up --detach --no-deps --force-recreate --timeout 20 vllm",
    ],
    "reload_driver": [
        "docker compose stop --timeout 20 vllm",
        "systemctl stop nvidia-persistenced",
        "modprobe --remove nvidia_uvm nvidia_drm nvidia_modeset nvidia",
        "modprobe nvidia",
        "modprobe nvidia_uvm",
        "systemctl start nvidia-persistenced",
        "docker compose up --detach",
    ],
    "reset_gpu": [
        "docker compose stop --timeout 20 vllm",
        "systemctl stop nvidia-persistenced",
        "nvidia-smi --gpu-reset",
        "systemctl start nvidia-persistenced",
        "docker compose up --detach",
    ],
}


@pytest.mark.parametrize("rung", GUEST_RUNGS)
def test_what_each_rung_runs(rung: str) -> None:
    def commands_for(name: str, directory: str, trouble: str) -> tuple[Command, ...]:
        run = BY_ID[name].run
        assert run is not None
        return run(directory, trouble)

    run = [" ".join(command.argv) for command in commands_for(rung, "D", "ctr.state")]
    assert [words.replace(" --project-directory D", "") for words in run] == EXPECTED[rung]
    assert [" ".join(command.argv) for command in commands_for("restart_services", "D", "gpu.persist|gpu:x|")] == [
        "systemctl restart nvidia-persistenced"
    ]
