# SPDX-License-Identifier: GPL-3.0-or-later
"""Order of the files: the longest first, so that two workers end at the same time."""

from __future__ import annotations

import pytest

# Those that take minutes, by what they take. Any order is right, this one is fast: of the first two only one begins with the
# saved session that the first one of all makes, so that no worker waits for it.
LONGEST = (
    "serving",
    "open_webui",
    "watchdog",
    "groups",
    "findings",
    "healers_at_once",
    "heal_rungs",
    "leases",
    "idle",
    "playbooks",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks = {f"test_{name}.py": rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.name, len(ranks)))
