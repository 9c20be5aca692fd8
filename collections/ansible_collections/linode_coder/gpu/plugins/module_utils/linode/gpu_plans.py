# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GPU plans: what the API says of them, and the cards behind them, which it does not say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Card(NamedTuple):
    """``cuda_gib`` is the memory of one card as CUDA sees it, ``uncertain`` names figures that nobody measured here."""

    name: str
    vram_gb: int
    compute_capability: str
    driver_modules: str  # "open" where the card needs NVIDIA's open kernel modules, else "any"
    cuda_gib: float
    bandwidth_gbs: float
    uncertain: tuple[str, ...] = ()

    @property
    def capability(self) -> tuple[int, int]:
        return parse_capability(self.compute_capability)

    @property
    def bf16(self) -> bool:
        return self.capability >= (8, 0)

    @property
    def fp8_kv(self) -> bool:
        """Whether the engine keeps an FP8 KV cache on it."""
        return self.capability >= (8, 9)


class Plan(NamedTuple):
    """What the memory arithmetic needs of a plan. The API's figures where they were asked for, else the packaged ones."""

    id: str
    gpus: int
    vcpus: int | None
    memory_mb: int | None
    disk_mb: int | None
    card: Card | None
    measured: Mapping[str, Any] = {}  # what engines measured here, by variant, spread and cache

    @property
    def advised(self) -> bool:
        """Whether it has the processors that the engine asks for, as far as is known."""
        return self.vcpus is None or self.vcpus >= advised_vcpus(self.gpus)


def parse_capability(text: str) -> tuple[int, int]:
    major, _dot, minor = text.partition(".")
    return int(major), int(minor)


# The API tells how many GPUs a plan has, never which. Multi-card Blackwell plans are unverified.
_CARDS = (
    ("gpu-rtx6000-", Card("Quadro RTX 6000", 24, "7.5", "any", 23.0, 672, ("cuda_gib",))),
    ("gpu-rtx4000a", Card("NVIDIA RTX 4000 Ada Generation", 20, "8.9", "any", 19.5, 360, ("cuda_gib",))),
    (
        "gpu-rtxpro6000-blackwell",
        Card(
            "NVIDIA RTX PRO 6000 Blackwell Server Edition",
            96,
            "12.0",
            "open",
            94.97,
            1792,
            ("cuda_gib", "bandwidth_gbs"),
        ),
    ),
)

# id: GPUs, vCPUs, memory in MB, disk in MB. For answers without the API, which may know better.
_PLANS = {
    "g1-gpu-rtx6000-1": (1, 8, 32768, 655360),
    "g1-gpu-rtx6000-2": (2, 16, 65536, 1310720),
    "g1-gpu-rtx6000-3": (3, 20, 98304, 1966080),
    "g1-gpu-rtx6000-4": (4, 24, 131072, 2621440),
    "g2-gpu-rtx4000a1-s": (1, 4, 16384, 524288),
    "g2-gpu-rtx4000a1-m": (1, 8, 32768, 524288),
    "g2-gpu-rtx4000a1-l": (1, 16, 65536, 524288),
    "g2-gpu-rtx4000a1-xl": (1, 32, 131072, 524288),
    "g2-gpu-rtx4000a2-s": (2, 8, 32768, 1048576),
    "g2-gpu-rtx4000a2-m": (2, 16, 65536, 1048576),
    "g2-gpu-rtx4000a2-hs": (2, 16, 65536, 2097152),
    "g2-gpu-rtx4000a4-s": (4, 32, 131072, 2097152),
    "g2-gpu-rtx4000a4-m": (4, 48, 200704, 2097152),
    "g3-gpu-rtxpro6000-blackwell-1": (1, 16, 180224, 1048576),
    "g3-gpu-rtxpro6000-blackwell-2": (2, 32, 360448, 2097152),
    "g3-gpu-rtxpro6000-blackwell-4": (4, 64, 720896, 4194304),
}


def card_of(plan_id: str) -> Card | None:
    """The card of a plan; None for a plan this version does not know."""
    return next((card for part, card in _CARDS if part in plan_id), None)


def is_gpu_plan(plan: dict[str, Any]) -> bool:
    return plan.get("class") == "gpu" and (plan.get("gpus") or 0) > 0


def plan_of(row: dict[str, Any]) -> Plan:
    """The plan that an object of the API describes."""
    return Plan(row["id"], row["gpus"], row.get("vcpus"), row.get("memory"), row.get("disk"), card_of(row["id"]))


def known_plan(plan_id: str) -> Plan | None:
    row = _PLANS.get(plan_id)
    return Plan(plan_id, *row, card_of(plan_id)) if row else None


def known_plans() -> list[Plan]:
    return [Plan(plan_id, *row, card_of(plan_id)) for plan_id, row in _PLANS.items()]


def advised_vcpus(gpus: int) -> int:
    """The engine wants two physical cores and one more per GPU; a vCPU is half a core."""
    return 2 * (2 + gpus)


def hourly_price(plan: dict[str, Any], region: str) -> float | None:
    """Dollars per hour in ``region``; None when the API shows no price (0 means unknown, never free)."""
    for price in plan.get("region_prices") or []:
        if price.get("id") == region:
            return price.get("hourly") or None
    return (plan.get("price") or {}).get("hourly") or None
