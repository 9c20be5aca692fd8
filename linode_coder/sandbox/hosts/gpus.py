"""The cards of a plan as the guest's nvidia-smi shows them.

Names and memory are what driver 580 prints for these cards; a UUID depends only on the physical host and the slot, so
a rebooted or rebuilt instance sees the same card.
"""

from __future__ import annotations

import uuid
from typing import Any

DRIVER_VERSION = "580.95.05"
CUDA_VERSION = "13.0"

_CARDS: dict[str, dict[str, Any]] = {
    "g1-gpu-rtx6000": {
        "name": "Quadro RTX 6000",
        "architecture": "Turing",
        "brand": "Quadro RTX",
        "memory_mib": 24576,
        "reserved_mib": 373,
        "cc": "7.5",
        "power_limit_w": 260,
        "device_id": "1E3010DE",
        "vbios": "90.02.30.00.02",
        "tlimit": False,
        "has_remap": False,
        "ecc_on": True,
    },
    "g2-gpu-rtx4000a": {
        "name": "NVIDIA RTX 4000 Ada Generation",
        "architecture": "Ada Lovelace",
        "brand": "NVIDIA RTX",
        "memory_mib": 20475,
        "reserved_mib": 435,
        "cc": "8.9",
        "power_limit_w": 130,
        "device_id": "27B210DE",
        "vbios": "95.04.5A.00.02",
        "tlimit": True,
        "has_remap": True,
        "ecc_on": False,
    },
    "g3-gpu-rtxpro6000-blackwell": {
        "name": "NVIDIA RTX PRO 6000 Blackwell Server Edition",
        "architecture": "Blackwell",
        "brand": "NVIDIA RTX",
        "memory_mib": 97887,
        "reserved_mib": 637,
        "cc": "12.0",
        "power_limit_w": 600,
        "device_id": "2BB510DE",
        "vbios": "98.02.80.00.04",
        "tlimit": True,
        "has_remap": True,
        "ecc_on": True,
    },
}
_UNKNOWN = _CARDS["g2-gpu-rtx4000a"]


def describe(plan_id: str, count: int, host_uuid: str) -> dict[str, Any]:
    """The contents of the guest's /etc/sandbox/gpus.json; an unknown GPU plan gets the RTX 4000 Ada."""
    card = next((card for prefix, card in _CARDS.items() if plan_id.startswith(prefix)), _UNKNOWN)
    gpus = []
    for index in range(count):
        identity = uuid.uuid5(uuid.NAMESPACE_OID, f"{host_uuid}/{index}")
        gpus.append(
            {
                "index": index,
                "uuid": f"GPU-{identity}",
                "serial": str(1320000000000 + identity.int % 1_000_000_000),
                "bus_id": f"00000000:00:{2 + index:02X}.0",
                **card,
            }
        )
    return {"plan": plan_id, "driver": DRIVER_VERSION, "cuda": CUDA_VERSION, "gpus": gpus}
