# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a session should have, by its tags and its plan."""

from __future__ import annotations

import re
from typing import Any

from ..linode.gpu_plans import card_of

# The number of cards is a part of the plan's id; the card's name is before it.
_COUNT = re.compile(r"(?:rtx4000a|rtx6000-|blackwell-)([1-9][0-9]?)(?:-|$)")


def expected_of(view: dict[str, Any]) -> dict[str, Any]:
    """Number and name of the cards, and the model. What is not known is left out, so that nothing is compared with it."""
    plan = str(view.get("plan") or "")
    card, count = card_of(plan), _COUNT.search(plan)
    found = {
        "gpus": int(count[1]) if count else None,
        "card": card.name if card else None,
        "model": view.get("model"),
    }
    return {name: value for name, value in found.items() if value is not None}
