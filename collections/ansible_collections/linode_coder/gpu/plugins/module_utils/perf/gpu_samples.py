# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nvidia-smi says of each GPU while a load runs. What it does not tell is null, never 0."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from ..core.bounded import LINE
from ..core.program import run

PERIOD_S = 1.0
LIMIT_S = 10.0
# More than a run has in hours.
MOST_SAMPLES = 20_000

# What it is asked for, and the name and kind of the reading in the document.
_REASONS, _REASONS_BEFORE_535 = "clocks_event_reasons.active", "clocks_throttle_reasons.active"
FIELDS: tuple[tuple[str, str, type], ...] = (
    ("index", "gpu", int),
    ("utilization.gpu", "use", float),
    ("memory.used", "memory_used", float),
    ("memory.total", "memory_total", float),
    ("clocks.sm", "sm_clock", float),
    ("clocks.max.sm", "sm_clock_max", float),
    ("power.draw", "power", float),
    ("power.limit", "power_limit", float),
    ("temperature.gpu", "temperature", float),
    (_REASONS, "throttle", list),
    ("pcie.link.gen.current", "pcie_gen", int),
    ("pcie.link.gen.max", "pcie_gen_max", int),
    ("pcie.link.width.current", "pcie_width", int),
    ("pcie.link.width.max", "pcie_width_max", int),
)
# Bits of the reasons, by the driver's names for them.
REASONS = {
    0x001: "gpu_idle",
    0x002: "applications_clocks_setting",
    0x004: "sw_power_cap",
    0x008: "hw_slowdown",
    0x010: "sync_boost",
    0x020: "sw_thermal_slowdown",
    0x040: "hw_thermal_slowdown",
    0x080: "hw_power_brake_slowdown",
    0x100: "display_clocks_setting",
}


def _reasons(text: str) -> list[str] | None:
    try:
        bits = int(text, 16)
    except ValueError:
        return None
    return [name for bit, name in REASONS.items() if bits & bit]


def _number(text: str, kind: type) -> float | int | None:
    try:
        value = float(text)
    except ValueError:
        return None
    if not math.isfinite(value) or not 0 <= value < 1e9:
        return None
    return int(value) if kind is int else value


def parse(text: str, at: float) -> list[dict[str, Any]]:
    """The samples of one answer, a card each. A line that is none of a card is left out."""
    found = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split(",")] if len(line) <= LINE else []
        if len(cells) != len(FIELDS):
            continue
        sample: dict[str, Any] = {"at": round(at, 3)}
        for cell, (_asked, name, kind) in zip(cells, FIELDS, strict=True):
            sample[name] = _reasons(cell) if kind is list else _number(cell, kind)
        if sample["gpu"] is not None:
            found.append(sample)
    return found


def of_this_machine(argv: list[str]) -> str:
    return run(argv, LIMIT_S).text


class GpuSamples:
    """``samples`` grow with each ``look``; where there is no nvidia-smi there are none. ``ask`` says what
    a program prints where the cards are."""

    def __init__(self, began: float, ask: Callable[[list[str]], str] = of_this_machine) -> None:
        self.samples: list[dict[str, Any]] = []
        self._began, self._ask = began, ask
        self._reasons = _REASONS

    def begin(self) -> None:
        """The load begins now: what was seen until now was before it."""
        until_now = time.monotonic() - self._began
        self._began += until_now
        for sample in self.samples:
            sample["at"] = round(sample["at"] - until_now, 3)

    def look(self) -> None:
        if len(self.samples) >= MOST_SAMPLES:
            return
        names = [self._reasons if asked == _REASONS else asked for asked, _name, _kind in FIELDS]
        argv = ["nvidia-smi", f"--query-gpu={','.join(names)}", "--format=csv,noheader,nounits"]
        at = time.monotonic() - self._began
        text = self._ask(argv)
        found = parse(text, at)
        # Such a driver names the field that it does not know.
        if not found and _REASONS in text:
            self._reasons = _REASONS_BEFORE_535
        self.samples += found
