# SPDX-License-Identifier: GPL-3.0-or-later
"""What the unit tests explore with one interruption, with two."""

from __future__ import annotations

import pytest

from tests.unit.heal import test_replacement
from tests.unit.heal.test_replacement import SCENES, world

__all__ = ["world"]


@pytest.mark.parametrize("scene", SCENES)
def test_two_watchers_make_one_new_vm(scene: str) -> None:
    test_replacement.test_two_watchers_make_one_new_vm(scene, preemptions=2, orders=300)
