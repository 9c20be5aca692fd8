# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a name that is not known may have been meant to be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def nearest(name: str, known: Iterable[str], at_most: int = 3, cutoff: float = 0.6) -> list[str]:
    """Of what is ``known``, what is written much like ``name``, the likeliest first. ``cutoff`` is from 0, all, to 1, the same."""
    import difflib  # most names are known

    return difflib.get_close_matches(name, list(known), n=at_most, cutoff=cutoff)


def did_you_mean(likely: Sequence[str], otherwise: str = "") -> str:
    """The question, as a sentence for a remedy; ``otherwise`` where nothing is ``likely``."""
    if not likely:
        return otherwise
    *first, last = likely
    return f"Did you mean {', '.join(first)}{' or ' if first else ''}{last}?"
