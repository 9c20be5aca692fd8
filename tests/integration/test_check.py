# SPDX-License-Identifier: GPL-3.0-or-later
"""Every finding of the catalogue, produced by a fault in the sandbox and read by the real check over SSH."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.linode_coder.gpu.plugins.module_utils.check_catalogue import CHECKS

from tests import product
from tests.sandbox_fixture import RunningSandbox, start_sandbox

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PLAN = "g2-gpu-rtx4000a4-m"

# Faults that one look can tell apart, and what it has to say: check, severity, subject, first rung.
# "gpu:N" is the Nth card of the plan.
BATCHES: dict[str, tuple[list[dict[str, Any]], list[tuple[str, str, str, str | None]]]] = {
    "broken cards": (
        [
            {"kind": "gpu_lost", "gpu": "0"},
            {"kind": "gpu_requires_reset", "gpu": "1"},
            {"kind": "ecc_uncorrectable", "gpu": "2"},
            {"kind": "row_remap_failure", "gpu": "3"},
            {"kind": "disk_full"},
            {"kind": "oom_kill"},
            {"kind": "clock_skew"},
        ],
        [
            ("gpu.lost", "fail", "gpu:0", "reboot"),
            ("gpu.xid", "fail", "gpu:0", "reboot"),
            ("gpu.remap", "unknown", "gpu:0", None),
            ("gpu.recovery", "fail", "gpu:1", "reset_gpu"),
            ("gpu.ecc.unc", "fail", "gpu:2", "reboot"),
            ("gpu.remap", "fail", "gpu:3", "recreate_vm"),
            ("gpu.remap", "pass", "gpu:1", None),
            ("vm.disk", "fail", "vm", "alert"),
            ("vm.mem", "fail", "vm", "change_parameters"),
            ("vm.clock", "fail", "vm", "alert"),
        ],
    ),
    "worn cards": (
        [
            {"kind": "row_remap_pending", "gpu": "0"},
            {"kind": "thermal", "gpu": "1"},
            {"kind": "throttle", "gpu": "2"},
            {"kind": "pages_retired", "gpu": "3"},
            {"kind": "persistence_off"},
            {"kind": "gpu_foreign"},
            {"kind": "xid", "gpu": "1", "code": "94"},
            {"kind": "xid", "gpu": "2", "code": "13"},
            {"kind": "xid", "gpu": "3", "code": "64"},
        ],
        [
            ("gpu.remap", "warn", "gpu:0", "reboot_when_idle"),
            ("gpu.temp", "warn", "gpu:1", None),
            ("gpu.throttle", "warn", "gpu:2", None),
            ("gpu.retired", "fail", "gpu:3", "recreate_vm"),
            ("gpu.persist", "fail", "gpu:0", "restart_services"),
            ("gpu.foreign", "warn", "vm", None),
            ("gpu.ecc.unc", "warn", "gpu:1", "restart_container"),
            ("gpu.xid", "warn", "gpu:2", "restart_container"),
            ("gpu.xid", "fail", "gpu:3", "recreate_vm"),
            ("gpu.remap", "fail", "gpu:3", "recreate_vm"),
        ],
    ),
    "wrong cards": (
        [
            {"kind": "wrong_card", "gpu": "0"},
            {"kind": "sram_threshold", "gpu": "1"},
            {"kind": "pcie_degraded", "gpu": "2"},
            {"kind": "fewer_gpus", "gpu": "3"},
            {"kind": "container_gpu_lost"},
        ],
        [
            ("gpu.model", "fail", "gpu:0", "alert"),
            ("gpu.ecc.sram", "fail", "gpu:1", "recreate_vm"),
            ("gpu.pcie", "fail", "gpu:2", "alert"),
            ("gpu.count", "fail", "vm", "power_cycle"),
            ("ctr.gpu", "fail", "container", "recreate_container"),
        ],
    ),
    "no driver": (
        [{"kind": "driver_not_loaded"}],
        [("drv.module", "fail", "vm", "reload_driver"), ("gpu.lost", "unknown", "vm", None)],
    ),
    "mismatch": ([{"kind": "version_mismatch"}], [("drv.mismatch", "fail", "vm", "reboot")]),
    "no devices": (
        [{"kind": "no_devices"}],
        [("gpu.count", "fail", "vm", "reboot"), ("drv.module", "pass", "vm", None)],
    ),
    "hang": ([{"kind": "hang", "delay": 60}], [("gpu.hang", "warn", "vm", None), ("gpu.lost", "unknown", "vm", None)]),
    "no Docker": (
        [{"kind": "docker_down"}],
        [("ctr.engine", "fail", "vm", "restart_services"), ("ctr.state", "unknown", "container", None)],
    ),
}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with start_sandbox(tmp_path_factory.mktemp("check"), hosts="simulated") as running:
        yield running


coder = partial(product.coder, timeout=280)


@pytest.fixture(scope="module")
def label(sandbox: RunningSandbox) -> str:
    done = coder(sandbox, "up", "sick", "--plan", PLAN, "--yes", "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    return str(json.loads(done.stdout.splitlines()[-1])["session"]["label"])


def _arm(label: str, faults: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "name": f"Arm {fault['kind']}",
            "ansible.builtin.uri": {
                "url": "{{ control }}_sandbox/faults",
                "method": "POST",
                "body_format": "json",
                "body": {"host": label, **fault},
            },
            "delegate_to": "localhost",
            "vars": {"ansible_python_interpreter": sys.executable},
        }
        for fault in [{"kind": "clear"}, *faults]
    ]


@pytest.fixture(scope="module")
def seen(sandbox: RunningSandbox, label: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Every batch in one run of Ansible: break the host, look at it, go on."""
    book = yaml.safe_load((ROOT / "playbooks/check.yml").read_text())
    look = book[1]
    looks = []
    for number, (faults, _expected) in enumerate(BATCHES.values()):
        looks += _arm(label, faults)
        looks.append(
            {
                "name": f"Look {number}",
                "linode_coder.gpu.gpu_health": {
                    "expected": "{{ check_expected | combine({'control_time': now().timestamp(), 'pcie': {'gen': 4, 'width': 16}}) }}",
                    "nvidia_smi_timeout": 4,
                    "bundle": number == 0,
                },
                "register": f"look_{number}",
            }
        )
    looks += _arm(label, [])
    out = tmp_path_factory.mktemp("looks") / "looks.json"
    looks.append(
        {
            "name": "Keep",
            "ansible.builtin.copy": {
                "dest": str(out),
                "mode": "0600",
                "content": "{{ [" + ", ".join(f"look_{number}" for number in range(len(BATCHES))) + "] | to_json }}",
            },
            "delegate_to": "localhost",
            "vars": {"ansible_python_interpreter": sys.executable},
        }
    )
    path = tmp_path_factory.mktemp("book") / "looks.yml"
    path.write_text(yaml.safe_dump([book[0], {**look, "ignore_unreachable": False, "tasks": looks}]))
    done = subprocess.run(
        [str(BIN / "ansible-playbook"), str(path), "-e", "session=sick", "-e", f"control={sandbox.url}"],
        env={
            **sandbox.env,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "PATH": f"{BIN}{os.pathsep}{sandbox.env['PATH']}",
        },
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return dict(zip(BATCHES, json.loads(out.read_text()), strict=True))


@pytest.mark.parametrize("batch", BATCHES)
def test_every_fault_is_found(seen: dict[str, Any], batch: str) -> None:
    result = seen[batch]
    uuids = [gpu["uuid"] for gpu in seen["broken cards"]["facts"]["gpus"]]
    found = [
        (entry["id"], entry["severity"], entry["subject"], (entry["ladder"] or [None])[0])
        for entry in result["findings"]
    ]
    for name, severity, subject, rung in BATCHES[batch][1]:
        if subject.startswith("gpu:"):
            subject = f"gpu:{uuids[int(subject[4:])]}"
        assert (name, severity, subject, rung) in found, [entry for entry in found if entry[0] == name]
    assert result["changed"] is False
    assert all(entry["remedy"] for entry in result["findings"] if entry["severity"] in ("warn", "fail"))
    # Nothing else fails: a fault is not found where it is not.
    expected = {name for name, _severity, _subject, _rung in BATCHES[batch][1]}
    assert {entry["id"] for entry in result["findings"] if entry["severity"] == "fail"} <= expected | {
        "gpu.xid",
        "gpu.temp",
    }


def test_the_engine_is_looked_at_end_to_end(seen: dict[str, Any]) -> None:
    by_id = {entry["id"]: entry for entry in seen["worn cards"]["findings"]}
    for name in (
        "ctr.engine",
        "ctr.state",
        "ctr.gpu",
        "ctr.oom",
        "vllm.health",
        "vllm.gen",
        "vllm.stuck",
        "vllm.model",
    ):
        assert by_id[name]["severity"] == "pass", by_id[name]
    use = [result["activity"] for result in seen.values() if result["activity"]["readable"]]
    assert len(use) >= len(BATCHES) - 1
    assert len({(entry["prompt_tokens"], entry["generation_tokens"], entry["requests"]) for entry in use}) == 1, (
        "looking is no use"
    )


def test_a_hanging_nvidia_smi_costs_its_limit_and_nothing_else(seen: dict[str, Any]) -> None:
    by_id = {entry["id"]: entry for entry in seen["hang"]["findings"]}
    assert by_id["vllm.gen"]["severity"] == "pass" and by_id["vm.disk"]["severity"] == "pass"
    assert seen["hang"]["facts"]["hangs"] == 1


def test_the_bundle_says_the_same_without_the_host(
    seen: dict[str, Any], sandbox: RunningSandbox, tmp_path: Path
) -> None:
    bundle = seen["broken cards"]["bundle"]
    for name, text in bundle.items():
        (tmp_path / name).write_text(text)
    key = next(sandbox.home.rglob("api_key")).read_text().strip()
    assert key not in json.dumps(seen["broken cards"])
    done = coder(sandbox, "check", "--bundle", str(tmp_path), "--json")
    assert done.returncode == 6, done.stderr
    told = {(entry["id"], entry["subject"], entry["severity"]) for entry in json.loads(done.stdout)["findings"]}
    live = {(entry["id"], entry["subject"], entry["severity"]) for entry in seen["broken cards"]["findings"]}
    assert {entry for entry in live - told if entry[0] != "gpu.pcie"} == set()


def test_check_and_collect_from_the_command_line(
    sandbox: RunningSandbox, label: str, seen: dict[str, Any], tmp_path: Path
) -> None:
    done = coder(sandbox, "check", "sick", "--json")
    document = json.loads(done.stdout)
    bad = [entry for entry in document["findings"] if entry["severity"] != "pass"]
    assert (done.returncode, document["severity"]) == (0, "pass"), bad
    saved = coder(sandbox, "collect", "sick", "-o", str(tmp_path / "sick.tar.gz"), "--json")
    assert saved.returncode == 0, saved.stderr
    with tarfile.open(tmp_path / "sick.tar.gz") as archive:
        assert {"nvidia-smi.xml", "kernel.log", "engine.log", "metrics.txt", "container.json", "host.json"} <= set(
            archive.getnames()
        )
    told = coder(sandbox, "check", "--bundle", str(tmp_path / "sick.tar.gz"))
    assert told.returncode == 0, told.stdout
    sandbox.fault(host=label, kind="ssh_down")
    away = coder(sandbox, "check", "--all", "--json")
    sandbox.fault(host=label, kind="clear")
    report = json.loads(away.stdout)["sessions"][0]
    assert (away.returncode, report["reached"]) == (6, False), away.stderr
    assert [(entry["id"], entry["severity"]) for entry in report["findings"]] == [
        ("vm.status", "pass"),
        ("vm.ssh", "fail"),
    ]


def test_engine_faults_are_found(sandbox: RunningSandbox, label: str, seen: dict[str, Any]) -> None:
    sandbox.fault(host=label, kind="engine_hang")
    hung = json.loads(coder(sandbox, "check", "sick", "--json").stdout)
    by_id = {entry["id"]: entry for entry in hung["findings"]}
    assert (by_id["vllm.health"]["severity"], by_id["vllm.gen"]["severity"]) == ("pass", "fail"), by_id["vllm.gen"]
    assert by_id["vllm.gen"]["ladder"][0] == "restart_container"
    sandbox.fault(host=label, kind="clear")


def test_the_catalogue_is_covered() -> None:
    here = {
        name
        for _faults, expected in BATCHES.values()
        for name, severity, _subject, _rung in expected
        if severity in ("warn", "fail")
    }
    elsewhere = {
        # by the tests above
        *("vm.ssh", "vllm.gen"),
        # need two looks or an earlier boot, by tests/unit/health
        *("vm.status", "vm.boot", "vllm.stuck", "vllm.model", "ctr.state", "ctr.oom", "ctr.cuda", "vllm.health"),
    }
    assert here | elsewhere == set(CHECKS)
