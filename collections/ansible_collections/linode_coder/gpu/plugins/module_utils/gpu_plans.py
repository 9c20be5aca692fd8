# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GPU plans: what the API says of them, and the cards behind them, which it does not say."""

from __future__ import annotations

from typing import Any, NamedTuple


class Card(NamedTuple):
    name: str
    vram_gb: int
    compute_capability: str
    driver_modules: str  # "open" where the card needs NVIDIA's open kernel modules, else "any"


# The API tells how many GPUs a plan has, never which. Multi-card Blackwell plans are unverified.
_CARDS = (
    ("gpu-rtx6000-", Card("Quadro RTX 6000", 24, "7.5", "any")),
    ("gpu-rtx4000a", Card("NVIDIA RTX 4000 Ada Generation", 20, "8.9", "any")),
    ("gpu-rtxpro6000-blackwell", Card("NVIDIA RTX PRO 6000 Blackwell Server Edition", 96, "12.0", "open")),
)


def card_of(plan_id: str) -> Card | None:
    """The card of a plan; None for a plan this version does not know."""
    return next((card for part, card in _CARDS if part in plan_id), None)


def is_gpu_plan(plan: dict[str, Any]) -> bool:
    return plan.get("class") == "gpu" and (plan.get("gpus") or 0) > 0


def hourly_price(plan: dict[str, Any], region: str) -> float | None:
    """Dollars per hour in ``region``; None when the API shows no price (0 means unknown, never free)."""
    for price in plan.get("region_prices") or []:
        if price.get("id") == region:
            return price.get("hourly") or None
    return (plan.get("price") or {}).get("hourly") or None
