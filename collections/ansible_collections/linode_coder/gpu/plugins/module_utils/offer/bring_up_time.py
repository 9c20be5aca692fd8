# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a new VM may take to its first token, before there is one: as measured before, else as documented or assumed."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

# Seconds. No timing of GPU plans is published: plans without a GPU need one and a half minutes for create and boot, and these are
# said to need two to five. With NVIDIA's image Docker and driver are there already.
_ASSUMED = {"vm": 150.0, "system": 60.0, "driver": 60.0}
# vLLM's image, and what of a link of 1 Gbit/s and of unpacking is assumed to arrive in a second.
_IMAGE_BYTES, _BYTES_PER_S = 10e9, 80e6
# Imports take half a minute and the first compilation one to five; the weights are read at about the disk's speed.
_ENGINE_S, _READ_BYTES_PER_S = 150.0, 1e9
_UNKNOWN_WEIGHTS_BYTES = 15e9
_SIDE_BY_SIDE = ("driver", "image", "weights")


def estimate(before: Mapping[str, Sequence[float]], weights_bytes: float | None) -> dict[str, Any]:
    """Seconds of each phase and to the end, from what earlier runs of the same plan and model took, newest first.

    Of a phase that was measured its median is taken. ``runs`` is of how many runs the figures are at least, 0 when one of them is
    an assumption.
    """
    weights = _UNKNOWN_WEIGHTS_BYTES if weights_bytes is None else weights_bytes
    assumed = {
        **_ASSUMED,
        "image": _IMAGE_BYTES / _BYTES_PER_S,
        "weights": weights / _BYTES_PER_S,
        "engine": _ENGINE_S + weights / _READ_BYTES_PER_S,
    }
    seconds = {name: statistics.median(before[name]) if before.get(name) else value for name, value in assumed.items()}
    total = seconds["vm"] + seconds["system"] + max(seconds[name] for name in _SIDE_BY_SIDE) + seconds["engine"]
    return {
        "seconds": round(total),
        "phases": {name: round(value) for name, value in seconds.items()},
        "runs": min(len(before.get(name, ())) for name in assumed),
    }
