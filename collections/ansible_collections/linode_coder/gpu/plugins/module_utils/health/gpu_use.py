# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the cards do right now, for who watches: a few figures of nvidia-smi, without a judgement."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from .nvidia_smi import SmiReading, gpu_facts

# Of a card's facts. What could not be read is None.
_FIELDS = (
    *("name", "utilization", "memory_used_mib", "memory_total_mib", "temperature", "temperature_slowdown"),
    *("power_draw", "power_limit"),
)
# What slows no card down: it has nothing to do, or runs as it was set to.
HARMLESS = ("gpu_idle", "applications_clocks_setting", "sync_boost", "display_clocks_setting")
# A card's name is a text of the VM.
_NAME = re.compile(r"[^ -~]")


def card_use(facts: dict[str, Any], index: int) -> dict[str, Any]:
    """Of one card, as ``gpu_facts`` has it: use in percent, MiB, degrees Celsius, watts.

    ``throttle`` names what slows it down now, nothing when nothing does; None when that is not known.
    """
    reasons = facts.get("throttle") or {}
    known = [name for name, active in reasons.items() if active is not None]
    active = [name for name in known if reasons[name] and name not in HARMLESS]
    found = {name: facts.get(name) for name in _FIELDS}
    if isinstance(found["name"], str):
        found["name"] = _NAME.sub("?", found["name"])[:60]
    return {"index": index, **found, "throttle": active if known else None}


def cards_use(cards: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same of every card of a VM, in nvidia-smi's order."""
    return [card_use(facts, place) for place, facts in enumerate(cards)]


def gpu_use(reading: SmiReading) -> dict[str, Any]:
    """``state`` is ok or the name of what is wrong, ``cards`` one row for each."""
    return {"state": reading.state, "cards": cards_use(map(gpu_facts, reading.gpus))}
