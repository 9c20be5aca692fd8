# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from linode_coder.local.sessions import firewall_of


class Reader:
    def __init__(self, *rows: dict[str, Any]) -> None:
        self.rows = list(rows)

    def list(self, _path: str, _filter: dict[str, Any]) -> list[dict[str, Any]]:
        return self.rows


@pytest.mark.parametrize(
    ("label", "tags", "ours"),
    [
        ("lc-demo", ["linode-coder"], True),
        ("lc-demo", ["team-red", "Linode-Coder"], True),
        ("lc-demo", ["team-red"], False),
        ("lc-demo2", ["linode-coder"], False),
    ],
)
def test_a_firewall_of_a_session_is_ours_in_whatever_case(label: str, tags: list[str], ours: bool) -> None:
    row = {"label": label, "tags": tags}
    reader: Any = Reader(row)
    assert firewall_of(reader, "demo") == (row if ours else None)
