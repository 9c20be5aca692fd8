# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.dead_resources import dead_resources
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import (
    MARKER,
    DecodedTags,
    SessionTags,
    decode,
    encode,
    escape,
    is_ours,
    merge,
    moved,
    owner_slug,
    unescape,
    with_changes,
    with_doom,
)
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.from_regex(r"[a-z](-?[a-z0-9]){1,11}", fullmatch=True)
KEYS = st.binary(min_size=32, max_size=32)
TIMES = st.integers(min_value=1, max_value=253402300799)
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
    group=st.none() | NAMES,
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
    pieces = [tag for tag in written if tag.startswith("lc:model:")]
    # That the last piece of a long id is lost cannot be noticed by counting.
    lost = data.draw(st.sampled_from([tag for tag in written if tag not in pieces[1:] or tag != pieces[-1]]))
    found = decode([tag for tag in written if tag != lost])
    # Without its lease a session still has its hard cap; all else is missing then.
    assert found.complete is lost.startswith("lc:lease:") and (not found.complete or len(found.doubts) == 1)
    assert found.ours is (lost != MARKER)


@given(st.lists(st.text(max_size=50)))
def test_no_tag_of_anybody_breaks_reading(tags: list[str]) -> None:
    assert decode([*tags, *("lc:" + tag for tag in tags)]).complete is False


@given(st.text())
def test_escaping_is_reversible(text: str) -> None:
    assert unescape(escape(text)) == text


@pytest.mark.parametrize("text", ["a/b", "A", "_61", "_2F", "_", "_ff"])
def test_what_escaping_never_makes_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        unescape(text)
    written = [tag for tag in encode(WRITTEN) if not tag.startswith("lc:model:")]
    if text == text.lower():  # tags have no case
        assert decode([*written, f"lc:model:0:{text}"]).missing == ("model",)


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


WRITTEN = SessionTags("demo", 1, "ada", 1000, 2000, 60, 520_000, "org/M", bytes(32))


@pytest.mark.parametrize(
    ("lost", "added", "field", "value", "said"),
    [
        ("lc:lease", [], "lease_end", 2000, "the hard cap counts"),
        ("lc:lease", ["lc:lease:0"], "lease_end", 2000, "the hard cap counts"),
        ("lc:lease", ["lc:lease:tomorrow"], "lease_end", 2000, "the hard cap counts"),
        ("lc:lease", ["LC:LEASE:1500"], "lease_end", 1500, None),
        ("", ["lc:lease:1500"], "lease_end", 1500, "the later one within the hard cap"),
        ("", ["lc:lease:500"], "lease_end", 1000, "the later one within the hard cap"),
        ("", ["lc:lease:9000"], "lease_end", 1000, "the later one within the hard cap"),
        ("", ["lc:lease:soon"], "lease_end", 1000, "the later one within the hard cap"),
        ("", ["lc:cap:9000"], "hard_cap", 2000, "the earlier one"),
        (
            "lc:idle",
            ["lc:idle:0"],
            "idle_minutes",
            45,
            "lc:idle:0 is less than 10 minutes, so the default of 45 counts",
        ),
        ("lc:idle", ["lc:idle:9"], "idle_minutes", 45, "the default of 45 counts"),
        ("lc:idle", ["lc:idle:10"], "idle_minutes", 10, None),
        ("", ["lc:idle:0"], "idle_minutes", 60, "the longer one"),
        ("", ["lc:idle:off"], "idle_minutes", None, "the longer one"),
        ("", ["lc:rate:9"], "hourly_micros", 520_000, "the dearer one"),
        ("", ["lc:gen:7"], "generation", 7, "the higher one"),
        ("", ["lc:lease:2000"], "lease_end", 2000, "the later one within the hard cap"),
        ("lc:lease", ["lc:lease:9000", "lc:lease:3000"], "lease_end", 3000, "the later one within the hard cap"),
        ("", ["lc:cap:0"], "hard_cap", 2000, "the earlier one"),
        # What is a number: ASCII digits, not too many, at most the end of the year 9999.
        ("lc:lease", ["lc:lease:253402300799"], "lease_end", 253402300799, None),
        ("lc:lease", ["lc:lease:253402300800"], "lease_end", 2000, "the hard cap counts"),
        ("lc:lease", ["lc:lease:" + "1500".zfill(19)], "lease_end", 1500, None),
        ("lc:lease", ["lc:lease:" + "1500".zfill(20)], "lease_end", 2000, "the hard cap counts"),
        ("lc:lease", ["lc:lease:" + "9" * 5000], "lease_end", 2000, "the hard cap counts"),
        ("lc:lease", ["lc:lease:\uff11\uff15\uff10\uff10"], "lease_end", 2000, "the hard cap counts"),
        ("", ["lc:doom:700", "lc:doom:900"], "doom", 900, None),
        ("", ["lc:doom:soon", "lc:doom:900"], "doom", 900, None),
        ("", ["lc:pause:700", "lc:pause:900"], "pause", 900, None),
    ],
)
@pytest.mark.parametrize("first", [False, True])
def test_what_people_made_of_the_tags(
    lost: str, added: list[str], field: str, value: int | None, said: str | None, first: bool
) -> None:
    kept = [tag for tag in encode(WRITTEN) if not lost or not tag.startswith(lost)]
    found = decode([*added, *kept] if first else [*kept, *added])
    assert found.complete and getattr(found, field) == value
    assert len(found.doubts) == (said is not None) and (said or "") in " ".join(found.doubts)


def test_without_lease_and_cap_nothing_counts_instead() -> None:
    rest = [tag for tag in encode(WRITTEN) if not tag.startswith(("lc:lease:", "lc:cap:"))]
    found = decode(rest)
    assert (found.lease_end, found.hard_cap, found.doubts) == (None, None, ())
    assert set(found.missing) == {"lease_end", "hard_cap"}
    without_cap = decode([*rest, "lc:lease:1000", "lc:lease:1500"])
    assert (without_cap.lease_end, without_cap.missing) == (1500, ("hard_cap",))


WHOLE = decode(encode(WRITTEN))


@pytest.mark.parametrize(
    "broken",
    [
        {"ours": False},
        {"missing": ("model",)},
        *(
            {name: None}
            for name in (
                "session",
                "generation",
                "owner",
                "lease_end",
                "hard_cap",
                "hourly_micros",
                "model",
                "host_key",
            )
        ),
    ],
    ids=lambda broken: next(iter(broken)),
)
def test_a_session_is_whole_or_nothing(broken: dict[str, object]) -> None:
    assert WHOLE.whole() == WRITTEN
    found: DecodedTags = replace(WHOLE, **broken)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="incomplete tags"):
        found.whole()


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Ada Lovelace", "ada-lovelace"),
        ("--", "unknown"),
        ("", "unknown"),
        ("a" * 60, "a" * 41),
        ("a" * 40 + " b", "a" * 40),
    ],
)
def test_an_owner_is_what_fits_into_a_tag(name: str, slug: str) -> None:
    assert owner_slug(name) == slug


def test_a_model_has_up_to_ten_tags() -> None:
    longest = replace(WRITTEN, model="m" * 390)
    assert decode([*encode(longest), "lc:model:10:x"]).whole() == longest
    for wrong in ("", "m" * 391):
        with pytest.raises(ValueError, match="ten tags"):
            encode(replace(WRITTEN, model=wrong))
    # A piece of it may not be missing, whichever is left.
    for lost in range(9):
        assert decode([tag for tag in encode(longest) if not tag.startswith(f"lc:model:{lost}:")]).model is None


@pytest.mark.parametrize("key", ["0", "!", "a" * 18, "a" * 25 + "=", "a" * 26, "a" * 34])
def test_what_is_no_key_is_missing(key: str) -> None:
    kept = [tag for tag in encode(WRITTEN) if not tag.startswith("lc:hk1:")]
    assert decode([*kept, f"lc:hk1:{key}"]).missing == (() if key == "a" * 26 else ("host_key",))


def test_what_carries_no_tags_is_not_ours() -> None:
    assert not is_ours(None)
    assert not is_ours([])
    assert not is_ours(["linode-coder-2"])


def test_merging_knows_our_tags_in_every_case() -> None:
    assert merge([MARKER.upper(), "LC:GEN:9", "Team", "lcd"], WRITTEN) == [*encode(WRITTEN), "Team", "lcd"]


def test_tags_of_others_are_not_read() -> None:
    assert decode([*encode(WRITTEN), "my:session:other", "lc-session:other", "lc:session"]) == decode(encode(WRITTEN))


def test_a_mark_comes_and_goes() -> None:
    plain, marked = ["lc:gen:1", "Team"], ["lc:doom:9", "lc:gen:1", "LC:DOOM:8", "Team"]
    assert with_doom(marked, None) == plain
    assert with_doom(marked, 7) == [*plain, "lc:doom:7"]


def test_all_clocks_move_and_nothing_else() -> None:
    clocks = ["lc:lease:100", "LC:Cap:200", "lc:doom:300", "lc:pause:400", "lc:lease-note:5:70", "lc:pause-note:6:80"]
    others = [
        "lc:rate:520000",
        "lc:gen:1",
        "lc:idle:45",
        "lc:lease:soon",
        "lc-heal:reboot:aaaaaaaa:1000:",
        "lc:lease:1x",
    ]
    later = [
        "lc:lease:160",
        "LC:Cap:260",
        "lc:doom:360",
        "lc:pause:460",
        "lc:lease-note:65:130",
        "lc:pause-note:66:140",
    ]
    assert moved([*clocks, *others], 60) == [*later, *others]


def test_a_session_with_changes() -> None:
    assert with_changes(WRITTEN, doom=7) == replace(WRITTEN, doom=7)
