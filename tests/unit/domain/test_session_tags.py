# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from collections.abc import Callable

from ansible_collections.linode_coder.gpu.plugins.module_utils.dead_resources import dead_resources
from ansible_collections.linode_coder.gpu.plugins.module_utils.session_tags import (
    MARKER,
    SessionTags,
    decode,
    encode,
    escape,
    is_ours,
    merge,
    moved,
    owner_slug,
    unescape,
    with_doom,
)
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.from_regex(r"[a-z](-?[a-z0-9]){1,11}", fullmatch=True)
KEYS = st.binary(min_size=32, max_size=32)
TIMES = st.integers(min_value=0, max_value=253402300799)
SESSIONS = st.builds(
    SessionTags,
    session=NAMES,
    generation=st.integers(min_value=1, max_value=10**6),
    owner=st.text().map(owner_slug),
    lease_end=TIMES,
    hard_cap=TIMES,
    idle_minutes=st.none() | st.integers(min_value=10, max_value=10**5),
    hourly_micros=st.integers(min_value=1, max_value=10**9),
    model=st.text(min_size=1, max_size=32),
    host_key=KEYS,
    next_host_key=st.none() | KEYS,
    doom=st.none() | TIMES,
    pause=st.none() | TIMES,
)
FOREIGN = st.lists(st.sampled_from(["team-red", "Prod", "lke123", "x y z"]), unique=True)


@given(SESSIONS)
def test_what_is_written_is_read_back(tags: SessionTags) -> None:
    assert decode(encode(tags)).whole() == tags


@given(SESSIONS)
def test_tags_keep_to_the_alphabet_and_length_that_are_safe(tags: SessionTags) -> None:
    written = encode(tags)
    assert len(set(written)) == len(written)
    assert all(re.fullmatch(r"[a-z0-9:_-]{3,50}", tag) for tag in written)


@given(SESSIONS, st.randoms())
def test_order_case_and_foreign_tags_do_not_matter(tags: SessionTags, random: object) -> None:
    changed = [tag.upper() for tag in encode(tags)] + ["other", "lc:unknown:1"]
    random.shuffle(changed)  # type: ignore[attr-defined]
    assert decode(changed).whole() == tags


@given(SESSIONS, SESSIONS, FOREIGN)
def test_merging_replaces_ours_and_keeps_theirs(old: SessionTags, new: SessionTags, foreign: list[str]) -> None:
    merged = merge(foreign + encode(old), new)
    assert decode(merged).whole() == new
    assert merged[len(encode(new)) :] == foreign


@given(SESSIONS, st.data())
def test_every_tag_that_is_lost_is_noticed(tags: SessionTags, data: st.DataObject) -> None:
    written = encode(SessionTags(**{**tags.__dict__, "next_host_key": None, "doom": None, "pause": None}))
    lost = data.draw(st.sampled_from(written))
    if lost.startswith("lc:model:") and lost != written[8]:
        return  # a lost last piece of a long id cannot be noticed by counting
    found = decode([tag for tag in written if tag != lost])
    assert not found.complete
    assert found.ours is (lost != MARKER)


@given(st.lists(st.text(max_size=50)))
def test_no_tag_of_anybody_breaks_reading(tags: list[str]) -> None:
    assert decode([*tags, *("lc:" + tag for tag in tags)]).complete is False


@given(st.text())
def test_escaping_is_reversible(text: str) -> None:
    assert unescape(escape(text)) == text


@given(SESSIONS, FOREIGN, st.none() | TIMES)
def test_a_mark_changes_nothing_else(tags: SessionTags, foreign: list[str], doom: int | None) -> None:
    before = foreign + encode(tags) + ["lc:of-a-later-version:1"]
    marked = with_doom(before, doom)
    assert decode(marked).whole() == SessionTags(**{**tags.__dict__, "doom": doom})
    assert [tag for tag in marked if not tag.startswith("lc:doom:")] == [
        tag for tag in before if not tag.startswith("lc:doom:")
    ]


@given(SESSIONS, st.sampled_from([str.upper, str.title, str.swapcase]))
def test_tags_are_ours_in_every_case(tags: SessionTags, spelling: Callable[[str], str]) -> None:
    spelled = [spelling(tag) for tag in encode(tags)]
    assert is_ours(spelled) and decode(spelled).whole() == tags
    assert not is_ours([tag for tag in spelled if tag.lower() != MARKER])
    assert [tag.lower() for tag in moved(spelled, 60)] == moved(encode(tags), 60)
    wall = [{"id": 1, "label": "lc-gone", "tags": spelled, "created": "2026-01-01T00:00:00", "entities": []}]
    assert [row["label"] for row in dead_resources([], wall, 1_900_000_000)] == ["lc-gone"]
