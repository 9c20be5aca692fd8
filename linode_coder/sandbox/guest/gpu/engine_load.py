"""What the engine takes of the cards: memory while its processes live, and work while it has requests.

The engine's core writes down what it holds whenever that changes; nvidia-smi believes it as long as the processes are there.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path

from ..faults import FILE
from ..json_types import Json

HELD = FILE.with_name("engine_on_gpus.json")
CONTEXT_MIB = 420  # of CUDA itself, on each card
# Readings are averages of a second or so, in which an answer of fewer tokens does not show: a check's own request above all.
SHOWS_FROM_TOKENS = 64
# MHz of a card that works undisturbed, and of one that heat or power slows down.
LOADED_CLOCK = 2610
SLOWED_CLOCK = 705
_TITLE = re.compile(rb"VLLM::(EngineCore|Worker_TP(\d{1,2}))")


def tell(used_mib: int, ranks: int, running: int) -> None:
    """``used_mib`` on each of the first ``ranks`` cards, with so many requests at work. Outside of a host there is no nvidia-smi to
    tell."""
    new = HELD.with_name(f"{HELD.name}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        new.write_text(json.dumps({"used_mib": used_mib, "ranks": ranks, "running": running}))
        new.replace(HELD)


def _processes() -> dict[int, tuple[int, str, bool]]:
    """Of each rank its process, by the titles that vLLM gives: number, name, and whether it goes on. One card is EngineCore's."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            match = _TITLE.match((entry / "cmdline").read_bytes())
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0] if match else ""
        except OSError:
            continue
        if match:
            rank = -1 if match[2] is None else int(match[2])
            found[rank] = (int(entry.name), match[0].decode("ascii"), state != "T")
    return found


def on_cards() -> dict[int, Json]:
    """By the index of a card what works on it: `pid`, `name`, `used_mib` and `running`. Nothing of an engine that is gone."""
    try:
        held: Json = json.loads(HELD.read_text())
    except FileNotFoundError:
        return {}
    return of_processes(held, _processes())


def of_processes(held: Json, processes: dict[int, tuple[int, str, bool]]) -> dict[int, Json]:
    ranks = int(str(held["ranks"]))
    core = processes.get(-1)
    found = {}
    for rank in range(ranks):
        process = core if ranks == 1 else processes.get(rank)
        if core is None or process is None:
            continue
        pid, name, _goes_on = process
        # A core that was stopped gives its workers nothing to do.
        running = int(str(held["running"])) if core[2] else 0
        found[rank] = {"pid": pid, "name": name, "used_mib": int(str(held["used_mib"])), "running": running}
    return found


def readings(card: Json, running: int) -> Json:
    """What a card shows that decodes for so many requests at once; more of them need more power, since memory is read once for all."""
    if not running:
        return {
            "active": ["gpu_idle"],
            "pstate": "P8",
            "utilization": 0,
            "memory_utilization": 0,
            "temperature": 36,
            "sm_clock": 210,
            "power": 15,
        }
    share = 0.6 + 0.35 * running / (running + 8)
    return {
        "active": [],
        "pstate": "P0",
        "utilization": min(99, 90 + running),
        "memory_utilization": min(95, 80 + running // 2),
        "temperature": 36 + round(38 * share),
        "sm_clock": LOADED_CLOCK,
        "power": round(int(str(card["power_limit_w"])) * share),
    }


def slowed(faults_of_cards: list[Json], ranks: int) -> float:
    """The share of its speed that an engine keeps: the slowest of its cards sets the pace of all."""
    hit = any(int(str(fault.get("gpu") or 0)) < ranks for fault in faults_of_cards)
    return SLOWED_CLOCK / LOADED_CLOCK if hit else 1.0
