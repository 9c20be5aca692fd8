# SPDX-License-Identifier: GPL-3.0-or-later
"""The check over SSH, from the playbook and the command line: cards that break, bundles, a VM that is away.

tests/slow/test_findings.py makes every finding of the catalogue.
"""

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

from tests import product
from tests.findings_table import BATCHES
from tests.product import BIN, COLLECTION
from tests.ready_session import ready_session, serving
from tests.sandbox_fixture import RunningSandbox

# A few of the batches that the slow tests walk through one after another with the command line.
LOOKS = ("broken cards", "worn cards", "hang")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with ready_session(tmp_path_factory, tmp_path_factory.mktemp("check"), "four cards") as running:
        yield running


coder = partial(product.coder, timeout=280)


@pytest.fixture(scope="module")
def label(sandbox: RunningSandbox) -> str:
    return str(serving(sandbox, "sick")["session"]["label"])


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
    book = yaml.safe_load((COLLECTION / "playbooks/check.yml").read_text())
    look = book[1]
    looks = []
    for number, batch in enumerate(LOOKS):
        looks += _arm(label, [fault for fault, _found in BATCHES[batch]])
        looks.append(
            {
                "name": f"Look {number}",
                "linode_coder.gpu.gpu_health": {
                    "expected": "{{ reached.expected | combine({'control_time': now().timestamp(), 'pcie': {'gen': 4, 'width': 16}}) }}",
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
                "content": "{{ [" + ", ".join(f"look_{number}" for number in range(len(LOOKS))) + "] | to_json }}",
            },
            "delegate_to": "localhost",
            "vars": {"ansible_python_interpreter": sys.executable},
        }
    )
    path = tmp_path_factory.mktemp("book") / "looks.yml"
    (path.parent / "tasks").symlink_to(COLLECTION / "playbooks" / "tasks")
    path.write_text(yaml.safe_dump([book[0], {**look, "ignore_unreachable": False, "tasks": looks}]))
    done = subprocess.run(
        [str(BIN / "ansible-playbook"), str(path), "-e", "session=sick", "-e", f"control={sandbox.url}"],
        env={
            **sandbox.env,
            "PATH": f"{BIN}{os.pathsep}{sandbox.env['PATH']}",
        },
        cwd="/",
        capture_output=True,
        text=True,
        timeout=280,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return dict(zip(LOOKS, json.loads(out.read_text()), strict=True))


@pytest.mark.parametrize("batch", LOOKS)
def test_every_fault_is_found(seen: dict[str, Any], batch: str) -> None:
    result = seen[batch]
    uuids = [gpu["uuid"] for gpu in seen["broken cards"]["facts"]["gpus"]]
    found = [
        (entry["id"], entry["severity"], entry["subject"], (entry["ladder"] or [None])[0])
        for entry in result["findings"]
    ]
    wanted = [row for _fault, more in BATCHES[batch] for row in more]
    for name, severity, subject, rung in wanted:
        if subject.startswith("gpu:"):
            subject = f"gpu:{uuids[int(subject[4:])]}"
        assert (name, severity, subject, rung) in found, [entry for entry in found if entry[0] == name]
    assert result["changed"] is False
    assert all(entry["remedy"] for entry in result["findings"] if entry["severity"] in ("warn", "fail"))
    # Nothing else fails: a fault is not found where it is not.
    expected = {name for name, _severity, _subject, _rung in wanted}
    assert {entry["id"] for entry in result["findings"] if entry["severity"] == "fail"} <= expected


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
    assert len(use) >= len(LOOKS)
    assert len({(entry["prompt_tokens"], entry["generation_tokens"], entry["requests"]) for entry in use}) == 1, (
        "looking is no use"
    )


def test_the_cards_show_what_the_engine_holds(seen: dict[str, Any]) -> None:
    result = seen["worn cards"]
    names = [[process["name"] for process in gpu["processes"]] for gpu in result["facts"]["gpus"]]
    engines = [any(name.startswith("VLLM::") for name in row) for row in names]
    used = [card["memory_used_mib"] for card in result["gpus"]["cards"]]
    assert any(engines) and [mib > 10_000 for mib in used] == engines, (names, used)
    # What does not belong there is named alone.
    foreign = next(entry for entry in result["findings"] if entry["id"] == "gpu.foreign")
    assert "miner" in foreign["evidence"] and "VLLM" not in foreign["evidence"]


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
    key = (sandbox.home / "state/sessions/sick/api_key").read_text().strip()
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
    (report,) = json.loads(away.stdout)["sessions"]
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
