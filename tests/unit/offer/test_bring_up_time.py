# SPDX-License-Identifier: GPL-3.0-or-later
"""The time to a first token as it is said beforehand."""

from __future__ import annotations

from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.bring_up_time import estimate

MEASURED = {
    "vm": [100.0, 90.0, 400.0],
    "system": [20.0],
    "driver": [10.0],
    "image": [80.0],
    "weights": [70.0],
    "engine": [60.0],
}


def test_what_was_measured_is_taken() -> None:
    found = estimate(MEASURED, 14e9)
    assert found["phases"] == {"vm": 100, "system": 20, "driver": 10, "image": 80, "weights": 70, "engine": 60}
    # Side by side: only the longest of the three counts.
    assert (found["seconds"], found["runs"]) == (100 + 20 + 80 + 60, 1)


def test_one_assumption_makes_it_an_estimate() -> None:
    found = estimate({**MEASURED, "weights": []}, 16e9)
    assert (found["phases"]["weights"], found["runs"]) == (200, 0)


def test_more_weights_take_longer() -> None:
    small, large, unknown = (estimate({}, size)["seconds"] for size in (5e9, 80e9, None))
    assert 120 < small < unknown < large
