# SPDX-License-Identifier: GPL-3.0-or-later
"""The phases of `up`: every task belongs to one, they run side by side as they do, and each knows what it waits for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from linode_coder.playbook.phases import AFTER, BETWEEN, Phases, phase_of
from tests import product

PLAYBOOKS = product.COLLECTION / "playbooks"
ROLES = product.COLLECTION / "roles"
UP = PLAYBOOKS / "up.yml"
LOOSE = {"name", "when", "vars", "register", "changed_when", "failed_when", "loop", "loop_control", "until", "retries"}


def tasks(found: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for task in found:
        for part in ("block", "rescue", "always"):
            yield from tasks(task.get(part, []))
        if "block" not in task:
            yield task


def action_of(task: dict[str, Any]) -> str:
    return next(key for key in task if "." in key)


def written() -> list[tuple[str, str, str]]:
    """Path, action and name of every task that `up` may run: its own, those of its roles and their handlers."""
    found = []
    roles = set()
    for play in yaml.safe_load(UP.read_text()):
        for task in tasks(play.get("tasks", [])):
            action = action_of(task)
            found.append((f"{UP}:1", action, task["name"]))
            if action.endswith(("import_role", "include_role")):
                roles.add(task[action]["name"])
    assert {"vllm", "gpu_driver", "container_engine", "session_host"} <= roles
    for role in sorted(roles):
        for file in sorted([*(ROLES / role).glob("tasks/*.yml"), *(ROLES / role).glob("handlers/*.yml")]):
            found += [(f"{file}:7", action_of(task), task["name"]) for task in tasks(yaml.safe_load(file.read_text()))]
    return found


@pytest.mark.parametrize(("path", "action", "name"), written())
def test_every_task_belongs_to_a_phase(path: str, action: str, name: str) -> None:
    plain = action.rpartition(".")[2]
    assert (phase_of(path, action) in AFTER) != (plain in BETWEEN), name


def test_the_playbook_waits_for_the_same() -> None:
    (timeline,) = [
        task["vars"]["up_phases"]
        for play in yaml.safe_load(UP.read_text())
        for task in tasks(play.get("tasks", []))
        if "up_phases" in task.get("vars", {})
    ]
    assert {name: tuple(phase["after"]) for name, phase in timeline.items()} == AFTER


def test_tasks_elsewhere_belong_to_none() -> None:
    assert phase_of("/x/playbooks/down.yml:3", "linode_coder.gpu.linode_gpu_instance") is None
    assert phase_of("/x/playbooks/tasks/heal_take.yml:3", "linode_coder.gpu.host_state") is None
    # A checkout may lie anywhere.
    assert (
        phase_of("/home/roles/up/tasks/lc/roles/vllm/tasks/wait.yml:3", "linode_coder.gpu.model_weights") == "weights"
    )


def states(phases: Phases) -> dict[str, str]:
    return {name: phase.state for name, phase in phases.all.items()}


def run_to_driver() -> Phases:
    phases = Phases()
    for at, name in enumerate(("vm", "system", "image", "weights", "driver")):
        phases.begin(name, float(at))
        phases.result(name, {"changed": True})
    return phases


def test_images_and_weights_go_on_beside_the_driver() -> None:
    phases = run_to_driver()
    assert states(phases) == {
        "vm": "done",
        "system": "done",
        "driver": "running",
        "image": "running",
        "weights": "running",
        "engine": "waiting",
    }
    assert phases.rows(9.0)[-1].waits_for == ("driver", "image", "weights")
    phases.begin("image", 10.0)
    assert states(phases)["driver"] == "done" and states(phases)["weights"] == "running"
    assert phases.rows(9.0)[-1].waits_for == ("image", "weights")


def test_who_waits_says_how_far_the_others_are() -> None:
    phases = run_to_driver()
    far = {"done": 3_100_000_000, "total": 5_600_000_000, "unit": "bytes", "rate": 125e6}
    phases.result("driver", {"over": False, "downloads": {"weights": {"phase": "x", "progress": far}, "image": None}})
    weights = phases.all["weights"]
    assert weights.parts() == ("3.1 of 5.6 GB", "125 MB/s", "20 s left")
    small = {"done": 1_775_072, "total": 4_199_904, "unit": "bytes", "rate": 130_000}
    phases.result("weights", {"phase": "x", "progress": small})
    assert weights.parts() == ("1.8 of 4.2 MB", "0.1 MB/s", "19 s left")
    phases.result("weights", {"phase": "x", "progress": far})
    assert weights.amount() == {"done": 3_100_000_000, "total": 5_600_000_000, "unit": "bytes", "rate": 125e6}
    phases.result("image", {"phase": "4 of 12 layers fetched", "progress": {"done": 4, "total": 12, "unit": "layers"}})
    assert phases.all["image"].parts() == ("4 of 12 layers fetched",)


def test_a_download_took_what_the_vm_says() -> None:
    phases = run_to_driver()
    (image,) = phases.arrived("image", {"images": {"a": {"started": 100.0, "finished": 126.5}, "b": {}}}, 50.0)
    assert (image.state, image.seconds(60.0)) == ("done", 26.5)


def test_what_is_there_already_is_unchanged() -> None:
    phases = Phases()
    for name in ("vm", "system", "driver", "engine"):
        phases.begin(name, 1.0)
    phases.finish(2.0, "ok")
    assert set(states(phases).values()) == {"unchanged"}


def test_what_failed_is_what_ran() -> None:
    phases = run_to_driver()
    (failed,) = phases.finish(9.0, "failed")
    assert (failed.name, failed.state) == ("driver", "failed")
    assert states(phases)["weights"] == "running" and states(phases)["engine"] == "waiting"


@pytest.mark.parametrize(
    "said",
    [
        {"phase": 7, "progress": {"done": "x", "total": 3}, "downloads": ["weights"]},
        {"downloads": {"weights": "done", "nosuch": {}, "image": {"progress": {"done": 1, "total": 0}}}},
        {"phase": "ok", "progress": {"done": True, "total": None, "rate": "fast"}},
    ],
)
def test_whatever_a_vm_says_is_taken_as_it_is_or_left(said: dict[str, Any]) -> None:
    phases = run_to_driver()
    phases.result("driver", said)
    phases.arrived("image", {"images": {"a": {"started": "x", "finished": None}, "b": 3}}, 9.0)
    assert all(isinstance(part, str) for row in phases.rows(10.0) for part in row.parts)


def test_paths_of_the_installed_collection() -> None:
    assert Path(UP).is_file()
