"""The cards of this host as its faults have left them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from ..faults import every
from ..json_types import Json
from .engine_load import SLOWED_CLOCK, on_cards, readings

HARDWARE = Path("/etc/sandbox/gpus.json")
OTHER_CARD = "NVIDIA L4"


def _hit(fault: Json, index: int) -> bool:
    """A fault that names no card is about the first one."""
    return int(str(fault.get("gpu") or 0)) == index


def added(cards: list[Json]) -> list[Json]:
    """The card that the plan does not have, if somebody put one in."""
    if not cards or not every("gpu_added"):
        return []
    last = cards[-1]
    index = int(str(last["index"])) + 1
    spare = str(last["uuid"])[:-12] + f"{int(str(last['uuid'])[-12:], 16) ^ 1:012x}"
    return [{**last, "index": index, "uuid": spare, "bus_id": f"00000000:00:{2 + index:02X}.0"}]


def load() -> Json:
    """gpus.json with the readings that faults change; `broken` names what a whole card is instead."""
    hardware = json.loads(HARDWARE.read_text())
    cards = [*hardware["gpus"], *added(hardware["gpus"])]
    for fault in every("fewer_gpus"):
        cards = [card for card in cards if not _hit(fault, card["index"])]
    engine = on_cards()
    for card in cards:
        card.update(persistence=not every("persistence_off"), pcie_width=16, pcie_gen=None, mig_parts=None, unread=0)
        card.update(recovery="None", ecc=0, ecc_sram=False, remap="none", retired=0, broken=None, ecc_corrected=0)
        _put(card, engine.get(card["index"]))
        for kind in EFFECTS:
            for fault in every(kind):
                if _hit(fault, card["index"]):
                    EFFECTS[kind](card, fault)
        newest = "3" if card["architecture"] == "Turing" else "4"
        card["gen_max"] = newest
        # An idle card lets its link sleep.
        card["gen"] = (card["pcie_gen"] or newest) if card["pstate"] == "P0" else "1"
    return {**hardware, "gpus": cards}


def _put(card: Json, process: Json | None) -> None:
    """The engine's process on a card, with the load that it makes; an idle card without one."""
    card.update(readings(card, process["running"] if process else 0))
    card.update(processes=[process] if process else [], used_mib=process["used_mib"] if process else 0)


def _wrong_card(card: Json, fault: Json) -> None:
    card["name"] = str(fault.get("text") or OTHER_CARD)


def _recovery(card: Json, fault: Json) -> None:
    card["recovery"] = str(fault.get("text") or "Reset")


def _ecc(card: Json, fault: Json) -> None:
    card.update(ecc=int(str(fault.get("code") or 5)), ecc_on=True)


def _under_load(card: Json, fault: Json, **shown: object) -> None:
    """What shows under load only: under that of the engine where the fault says so, else under one that comes with it."""
    if fault.get("load") != "engine":
        card.update(pstate="P0", utilization=99, **shown)
    elif card["pstate"] == "P0":
        card.update(shown)


def _hot(card: Json, fault: Json) -> None:
    active = ["hw_slowdown", "hw_thermal_slowdown"]
    _under_load(card, fault, temperature=97, active=active, sm_clock=SLOWED_CLOCK)


def _slow(card: Json, fault: Json) -> None:
    _under_load(card, fault, active=[str(fault.get("text") or "hw_power_brake_slowdown")], sm_clock=SLOWED_CLOCK)


def _corrected(card: Json, fault: Json) -> None:
    card.update(ecc_corrected=int(str(fault.get("code") or 150000)), ecc_on=True)


def _divided(card: Json, fault: Json) -> None:
    card["mig_parts"] = int(str(fault.get("code") or 0))


def _unread(card: Json, fault: Json) -> None:
    card["unread"] = int(str(fault.get("code") or 3))


def _narrow(card: Json, fault: Json) -> None:
    _under_load(card, fault, pcie_width=int(str(fault.get("code") or 4)))


def _slower(card: Json, fault: Json) -> None:
    _under_load(card, fault, pcie_gen=str(fault.get("code") or 2))


def _stranger(card: Json, fault: Json) -> None:
    stranger = {"pid": 4242, "name": str(fault.get("text") or "/usr/bin/miner"), "used_mib": 512}
    card["processes"] = [*card["processes"], stranger]
    card["used_mib"] += 512


EFFECTS: dict[str, Callable[[Json, Json], object]] = {
    "wrong_card": _wrong_card,
    "gpu_lost": lambda card, _fault: card.update(broken="GPU is lost"),
    "gpu_requires_reset": _recovery,
    "ecc_uncorrectable": _ecc,
    "ecc_corrected": _corrected,
    "mig_on": _divided,
    "readings_fail": _unread,
    "sram_threshold": lambda card, _fault: card.update(ecc_sram=True, ecc_on=True),
    "row_remap_pending": lambda card, _fault: card.update(remap="pending"),
    "row_remap_failure": lambda card, _fault: card.update(remap="failure"),
    "pages_retired": lambda card, fault: card.update(retired=int(str(fault.get("code") or 61))),
    "thermal": _hot,
    "throttle": _slow,
    "pcie_degraded": _narrow,
    "pcie_slow": _slower,
    "gpu_busy": lambda card, _fault: card.update(pstate="P0", utilization=99),
    "gpu_foreign": _stranger,
    "gpu_unused": lambda card, _fault: _put(card, None),
}
