# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which requests are sent again, and how long one that failed is let rest. LINODE_CODER_RETRY_SCALE makes all of these pauses
shorter or longer.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Container, Iterable
from typing import TypeVar

from .failure import Failure

T = TypeVar("T")

VARIABLE = "LINODE_CODER_RETRY_SCALE"


def pause_s(seconds: float, failure: Failure | None = None, at_most: float = 30.0) -> float:
    """``seconds`` to the scale of this run; what the API asks for in its answer is obeyed as it is, within reason."""
    if failure is not None and failure.retry_after is not None:
        return min(at_most, failure.retry_after)
    return seconds * _scale()


def repeated(action: Callable[[], T], kinds: Container[str], pauses: Iterable[float], at_most: float = 30.0) -> T:
    """What ``action`` returns, which is called again after each of ``pauses`` (see `pause_s`) while it fails in one of ``kinds``;
    its Failure once there is none left, and any other at once.
    """
    left = iter(pauses)
    while True:
        try:
            return action()
        except Failure as failure:
            pause = next(left, None) if failure.kind in kinds else None
            if pause is None:
                raise
            rest = pause_s(pause, failure, at_most)
        time.sleep(rest)


def _scale() -> float:
    text = os.environ.get(VARIABLE) or "1"
    try:
        scale = float(text)
    except ValueError:
        scale = -1.0
    if not 0.01 <= scale <= 100:
        raise Failure(
            "config",
            f"{VARIABLE} {text!r} is not a number from 0.01 to 100.",
            remedy=f"Unset it, or take a number such as 0.5: {VARIABLE}=0.5",
            field="retry_scale",
            value=text,
        )
    return scale
