# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import format_time, parse_time
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.changes import beyond, session_changes
from hypothesis import given
from hypothesis import strategies as st

CREATED = 1_800_000_000
VIEW: dict[str, Any] = {
    "name": "demo",
    "label": "lc-demo-1",
    "plan": "g2-gpu-rtx4000a1-s",
    "region": "us-ord",
    "model": "org/Model-7B",
    "created": format_time(CREATED),
    "lease_end": format_time(CREATED + 8 * 3600 - 5),
    "hard_cap": format_time(CREATED + 24 * 3600 - 5),
    "idle_minutes": 45,
    "hourly": 0.52,
    "complete": True,
    "missing": [],
}


@pytest.mark.parametrize(
    ("asked", "changes"),
    [
        ({}, {}),
        ({"lease": "8h", "cap": "24h", "idle": "45m", "max_cost": 4.16}, {}),
        ({"plans": ["other", VIEW["plan"]], "regions": [VIEW["region"]]}, {}),
        ({"lease": "4h"}, {}),
        ({"max_cost": 4.15}, {}),
        ({"lease": "10h"}, {"until": format_time(CREATED + 10 * 3600)}),
        ({"lease": "24h"}, {"until": VIEW["hard_cap"]}),
        ({"idle": "1h"}, {"idle": "60m"}),
        ({"idle": "off"}, {"idle": "off"}),
    ],
)
def test_what_tags_can_take(asked: dict[str, Any], changes: dict[str, str]) -> None:
    assert session_changes(VIEW, **asked) == changes


@pytest.mark.parametrize(
    ("asked", "kind", "field"),
    [
        ({"plans": ["g2-gpu-rtx4000a2-s"]}, "refused", "plan"),
        ({"regions": ["fr-par"]}, "refused", "region"),
        ({"lease": "25h"}, "refused", "lease"),
        ({"lease": "1m"}, "usage", "lease"),
        ({"lease": "soon"}, "usage", "lease"),
        ({"cap": "2d"}, "refused", "cap"),
        ({"cap": "9h"}, "refused", "cap"),
        ({"idle": "0"}, "usage", "idle"),
        ({"lease": "10h", "max_cost": 4.20}, "refused", "max_cost"),
    ],
)
def test_what_cannot_change_is_refused(asked: dict[str, Any], kind: str, field: str) -> None:
    with pytest.raises(Failure) as caught:
        session_changes(VIEW, **asked)
    assert (caught.value.kind, caught.value.field) == (kind, field)
    assert caught.value.remedy


def test_incomplete_tags_take_no_change() -> None:
    view = {**VIEW, "complete": False, "lease_end": None, "missing": ["lease_end"]}
    assert session_changes(view) == {}
    with pytest.raises(Failure) as caught:
        session_changes(view, lease="9h")
    assert caught.value.kind == "conflict"


@given(st.integers(1, 100))
def test_a_change_that_was_made_is_none_the_next_time(hours: int) -> None:
    try:
        changes = session_changes(VIEW, lease=f"{hours}h")
    except Failure:
        return
    end = changes.get("until", VIEW["lease_end"])
    assert parse_time(VIEW["lease_end"]) <= parse_time(end) <= parse_time(VIEW["hard_cap"])
    assert session_changes({**VIEW, "lease_end": end}, lease=f"{hours}h") == {}


def test_the_options_it_was_made_with_change_nothing_after_an_extension() -> None:
    made_with = {"lease": "8h", "cap": "24h", "idle": "45m", "max_cost": 4.16}
    assert beyond(VIEW, "8h", 4.16) == []
    extended = {**VIEW, "lease_end": format_time(CREATED + 11 * 3600)}
    assert session_changes(extended, **made_with) == {}
    kept = beyond(extended, "8h", 4.16)
    assert len(kept) == 2 and "linode-coder down demo" in kept[0] and "$5.72" in kept[1]
    assert beyond({**VIEW, "complete": False, "lease_end": None}, "8h", 1.0) == []
