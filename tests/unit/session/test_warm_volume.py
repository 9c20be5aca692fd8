# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.warm_volume import (
    LONG_UNUSED_S,
    NEVER_FILLED_S,
    changed_tags,
    look_for,
    month_cost,
    proposed,
    warm_label,
    warm_tags,
    warm_volume,
    warm_volumes,
)

from tests.hostile import CORPUS

NOW = 1_790_000_000
MODEL = "Qwen/Qwen2.5-Coder-7B-Instruct-AWQ"


def row(**changes: Any) -> dict[str, Any]:
    tags = warm_tags(MODEL, "ada", 0.1, NOW, NOW, "0f" * 20)
    label = warm_label(MODEL, "us-ord")
    made = {"id": 1, "label": label, "region": "us-ord", "size": 70, "created": "2026-09-01T00:00:00", "tags": tags}
    return made | {"linode_id": None, "linode_label": None, "encryption": "enabled", "status": "active"} | changes


@pytest.mark.parametrize(
    "model", [MODEL, "a/b", "org/--", "org/" + "x" * 90, "org/Ünïcode_und__mehr", *CORPUS.values()]
)
def test_a_label_is_one_that_the_api_takes_and_the_same_every_time(model: str) -> None:
    label = warm_label(model, "us-ord")
    assert re.fullmatch(r"[a-zA-Z]((?!--|__)[a-zA-Z0-9-_])+", label) and len(label) <= 32
    assert label == warm_label(model, "us-ord") != warm_label(model, "us-sea")
    assert not re.fullmatch("lc-.+-[0-9]+", label)  # as VMs are called


def test_tags_say_it_whatever_their_case() -> None:
    found = warm_volume(row(tags=[tag.upper() for tag in row()["tags"]]))
    assert (found.model, found.owner, found.monthly, found.digest) == (MODEL, "ada", 7.0, "0f" * 20)
    assert (found.used, found.filled) == (NOW, NOW)
    assert all(3 <= len(tag) <= 50 and re.fullmatch(r"[a-z0-9:_-]+", tag) for tag in row()["tags"])


@pytest.mark.parametrize("text", [*CORPUS.values(), "9" * 50, "-1", "0x10", "٣"])
def test_any_tag_can_be_read(text: str) -> None:
    broken = [tag.rpartition(":")[0] + ":" + text for tag in row()["tags"]]
    found = warm_volume(row(tags=[*broken, text, f"lc:{text}", f"lc:sum:{text}"]))
    assert found.digest is None and found.filled is None


def test_only_the_named_tags_change() -> None:
    tags = changed_tags([*row()["tags"], "Of-A-Person"], used=NOW + 5, filled=NOW + 5)
    assert warm_volume(row(tags=tags)).used == NOW + 5
    assert "Of-A-Person" in tags and len(tags) == len(set(tags)) == len(row()["tags"]) + 1


def test_whose_it_is() -> None:
    assert look_for([], MODEL, "us-ord").state == "missing"
    assert look_for([row()], MODEL, "us-sea").state == "missing"
    assert look_for([row()], MODEL, "us-ord").state == "free"
    attached = row(linode_id=7, linode_label="lc-demo-1")
    assert look_for([attached], MODEL, "us-ord", 7).state == "attached"
    busy = look_for([attached], MODEL, "us-ord", 8)
    assert busy.state == "busy" and "lc-demo-1" in str(busy.sentence)
    for tags in ([], ["linode-coder"], ["lc:warm:1"], warm_tags("org/Other", "ada", 0.1, NOW)):
        foreign = look_for([row(tags=tags)], MODEL, "us-ord")
        assert (foreign.state, foreign.volume) == ("foreign", None)
    assert look_for([row(region="us-sea")], MODEL, "us-ord").state == "foreign"


def test_a_month_never_costs_more_than_a_month() -> None:
    assert month_cost(7.0, 1) == pytest.approx(70 * 0.00015)
    assert month_cost(7.0, 744) == 7.0


@pytest.mark.parametrize(
    ("used", "filled", "attached", "at", "why"),
    [
        (NOW, NOW, None, NOW + LONG_UNUSED_S, None),
        (NOW, NOW, None, NOW + LONG_UNUSED_S + 1, "nobody used it for 30 days"),
        (NOW, NOW, 7, NOW + 9 * LONG_UNUSED_S, None),
        (NOW, None, None, NOW + NEVER_FILLED_S, None),
        (NOW, None, None, NOW + NEVER_FILLED_S + 1, "it was never filled"),
    ],
)
def test_what_may_go(used: int, filled: int | None, attached: int | None, at: int, why: str | None) -> None:
    found = warm_volume(row(tags=warm_tags(MODEL, "ada", 0.1, used, filled), linode_id=attached))
    assert proposed(found, at) == why


def test_others_are_left_out_and_the_dearest_comes_first() -> None:
    rows = [row(), row(label="x", tags=["linode-coder"]), row(id=3, label="lc-warm-b", size=900)]
    assert [volume.id for volume in warm_volumes(rows)] == [3, 1]
