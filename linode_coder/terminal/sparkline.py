"""A row of numbers as a picture of one line."""

from __future__ import annotations

import math
from collections.abc import Sequence

_BLOCKS, _ASCII = "▁▂▃▄▅▆▇█", "_.-~=+*#"


def sparkline(values: Sequence[float | None], room: int, blocks: bool, most: float | None = None) -> str:
    """The last of ``values`` that fit into ``room`` columns, one each; a gap where nothing is known.

    :param blocks: whether the terminal can draw Unicode's blocks; else ASCII.
    :param most: what a full column stands for; without it the largest of the values does.
    """
    levels = _BLOCKS if blocks else _ASCII
    last = (
        [value if value is not None and math.isfinite(value) else None for value in values[-room:]] if room > 0 else []
    )
    top = most or max((value for value in last if value is not None), default=0.0)
    drawn = []
    for value in last:
        if value is None:
            drawn.append(" ")
            continue
        share = min(1.0, max(0.0, value / top)) if top > 0 else 0.0
        # Only nothing at all is the lowest: a little is to be seen.
        drawn.append(levels[math.ceil(share * (len(levels) - 1))])
    return "".join(drawn)
