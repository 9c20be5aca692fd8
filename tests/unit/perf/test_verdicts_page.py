# SPDX-License-Identifier: GPL-3.0-or-later
"""The page about verdicts has each reason, in its order."""

from __future__ import annotations

import re
from pathlib import Path

from ansible_collections.linode_coder.gpu.plugins.module_utils.perf.reason import IDS

PAGE = (
    Path(__file__).resolve().parents[3]
    / "collections/ansible_collections/linode_coder/gpu/docs/performance-verdicts.md"
)


def test_each_reason_has_its_row() -> None:
    assert re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE) == list(IDS)
