# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the sandbox and the rung that heals each: tests/slow heals them, and a unit test sees that no rung is left out."""

from __future__ import annotations

from typing import Any


def broken_start(**how: str) -> list[dict[str, Any]]:
    """The engine dies once, and does not start again."""
    return [{"kind": "engine_start_fails", **how}, {"kind": "engine_crash", "count": 1, "text": "Segmentation fault"}]


SEGFAULT = {"text": "Fatal Python error: Segmentation fault", "stage": "load"}
# In this order: the second one is the trouble of the first one again, so its turn is the next rung.
FIRST_RUNGS: tuple[tuple[str, list[dict[str, Any]], str], ...] = (
    ("an engine that died is restarted", broken_start(**SEGFAULT, until="restart_container"), "restart_container"),
    (
        "the same again: its container is made anew",
        broken_start(**SEGFAULT, until="recreate_container"),
        "recreate_container",
    ),
    ("an engine that runs out of memory gets another setting", broken_start(cause="no_kv_room"), "change_parameters"),
    (
        "a Docker that does not answer is restarted",
        [{"kind": "docker_down", "until": "restart_services"}],
        "restart_services",
    ),
    ("a lost GPU comes back with a reboot", [{"kind": "gpu_lost"}], "reboot"),
)

# A row of the same finding as the one before it begins at the next rung.
LATER_RUNGS: tuple[tuple[str, dict[str, Any], list[tuple[str, str]]], ...] = (
    ("a container that lost its GPUs", {"kind": "container_gpu_lost"}, [("recreate_container", "healed")]),
    (
        "the same with a stale CDI specification",
        {"kind": "container_gpu_lost", "until": "regenerate_cdi"},
        [("regenerate_cdi", "healed")],
    ),
    ("a GPU that asks for a reset", {"kind": "gpu_requires_reset"}, [("reset_gpu", "healed")]),
    ("a driver that is not loaded", {"kind": "driver_not_loaded"}, [("reload_driver", "healed")]),
    ("a GPU that is not on the bus", {"kind": "fewer_gpus"}, [("power_cycle", "healed")]),
    (
        "a GPU that no boot brings back",
        {"kind": "gpu_lost", "until": "recreate_vm"},
        [("reboot", "failed"), ("recreate_vm", "healed")],
    ),
)


# Warnings, which are answered only while nobody uses the engine: the fault, the rung of the ladder, what it comes to. They
# are of the VM that the last row made.
WHEN_UNUSED: tuple[tuple[str, dict[str, Any], str, str], ...] = (
    ("a row to be remapped", {"kind": "row_remap_pending"}, "reboot_when_idle", "reboot"),
    ("many corrected errors", {"kind": "xid", "code": 92}, "recreate_when_idle", "recreate_vm"),
)
