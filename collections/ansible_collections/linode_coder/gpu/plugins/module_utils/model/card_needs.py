# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which generation of card a variant needs, as far as that is known before anything is paid for."""

from __future__ import annotations

from ..linode.gpu_plans import Card, parse_capability
from .catalogue import Model, Variant

_AMPERE = "8.0"
# The attention kernel keeps a tile of keys of a whole head in shared memory: for heads of 512 it asks for 98,304 bytes, and
# a Turing card has 65,536. Reported on two Quadro RTX 6000 with the engine's 0.26.0.
_TURINGS_LARGEST_HEAD = 256


def needed_capability(model: Model, variant: Variant) -> tuple[str, str]:
    """The compute capability that the variant needs, and what of it needs that."""
    needs = [(variant.min_capability, f"{variant.id} ({variant.precision})")]
    for group in model.attention or ():
        if group.head_dim > _TURINGS_LARGEST_HEAD:
            needs.append((_AMPERE, f"Attention with heads of {group.head_dim}, as {model.id} has it,"))
        elif group.kind == "latent":
            # No backend for latent attention claims Turing, and none refuses it either: unverified.
            needs.append((_AMPERE, f"Latent attention, as {model.id} has it,"))
    return max(needs, key=lambda need: parse_capability(need[0]))


def capability_problem(model: Model, variant: Variant, card: Card) -> str | None:
    """Why the card's generation cannot run the variant; None when nothing is known against it."""
    least, what = needed_capability(model, variant)
    if card.capability >= parse_capability(least):
        return None
    return f"{what} needs compute capability {least}, and the {card.name} has {card.compute_capability}."
