# SPDX-License-Identifier: GPL-3.0-or-later
"""Decisions of a watcher: a table of single looks, and timelines in which watchers, people and failures take turns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import format_time
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import SessionTags, encode, with_doom
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.view import session_view
from ansible_collections.linode_coder.gpu.plugins.module_utils.watch.decision import (
    GRACE_S,
    HOUR_MARGIN_S,
    MIN_WINDOW_S,
    ORPHAN_GRACE_S,
    Decision,
    budget,
    decide,
    fresh_for,
    notice,
    superseded,
    window,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.watch.idle_clock import IdleClock, Sample, advance
from hypothesis import given
from hypothesis import strategies as st

CREATED = 1_799_999_940  # not on a whole minute, let alone an hour
HOUR = 3600


def view_at(now: int, tags: list[str] | None = None, **more: Any) -> dict[str, Any]:
    """The view of a VM with a lease of 8 h, a cap of 24 h and an idle limit of 45 min."""
    given = {key: more.pop(key) for key in ("lease_end", "hard_cap", "idle_minutes", "doom", "pause") if key in more}
    clocks: dict[str, Any] = {"lease_end": CREATED + 8 * HOUR, "hard_cap": CREATED + 24 * HOUR, "idle_minutes": 45}
    written = SessionTags(
        session="demo",
        generation=1,
        owner="ada",
        hourly_micros=520_000,
        model="org/M",
        host_key=bytes(32),
        **{**clocks, **given},
    )
    row = {"id": 7, "label": "lc-demo-1", "status": "running", "ipv4": ["192.0.2.9"], "created": format_time(CREATED)}
    return session_view({**row, "tags": encode(written) if tags is None else tags, **more}, now)


def idle(seconds: float, **more: Any) -> IdleClock:
    return IdleClock(started=True, readable=True, idle_s=seconds, **more)


def look(now: int, clock: IdleClock | None = None, skew: float | None = 0, **more: Any) -> Decision:
    return decide(view_at(now, **more), clock, now, skew)


BUSY = idle(0)
FAR = CREATED + 2 * HOUR + 1800  # in the middle of a paid hour
LAST = CREATED + 3 * HOUR - 400  # within the last minutes of a paid hour
OVER = CREATED + 9 * HOUR + 1800


@pytest.mark.parametrize(
    ("decision", "action", "cause"),
    [
        (look(FAR, BUSY), "keep", "lease"),
        (look(FAR, None), "keep", "lease"),
        # Idle: foreseen, marked in time, deleted only in the last minutes of the paid hour and only when it is readable.
        (look(FAR, idle(40 * 60)), "keep", "idle"),
        (look(CREATED + 3 * HOUR - 1400, idle(45 * 60)), "mark", "idle"),
        (look(FAR, idle(50 * 60), doom=FAR - 60), "unmark", None),
        (look(LAST, idle(46 * 60), doom=LAST - 60), "delete", "idle"),
        (look(LAST, idle(46 * 60), doom=LAST + 60), "wait", "idle"),
        (look(LAST, idle(44 * 60), doom=LAST - 60), "wait", "idle"),
        (look(LAST, BUSY, doom=LAST - 60), "unmark", None),
        (look(LAST, None, doom=LAST - 60), "wait", "idle"),
        (look(LAST, IdleClock(started=True, idle_s=9e9), doom=LAST - 60), "wait", "idle"),
        (look(LAST, IdleClock(readable=True, idle_s=9e9), doom=LAST - 60), "unmark", None),
        (look(LAST, idle(9e9), idle_minutes=None, doom=LAST - 60), "unmark", None),
        (look(LAST, idle(9e9), pause=LAST + 900, doom=LAST - 60), "unmark", None),
        (look(LAST, idle(9e9), pause=LAST - 1, doom=LAST - 60), "delete", "idle"),
        (look(CREATED + 3 * HOUR - 20, idle(46 * 60), doom=LAST - 60), "unmark", None),  # too late for this hour
        # Lease: marked before its end, deleted whoever can reach it.
        (look(CREATED + 8 * HOUR - 1200, BUSY), "mark", "lease"),
        (look(CREATED + 8 * HOUR - 1700, BUSY), "keep", "lease"),
        (look(OVER, BUSY), "mark", "lease"),
        (look(OVER, None), "mark", "lease"),
        (look(OVER, BUSY, doom=OVER + 30), "wait", "lease"),
        (look(OVER, BUSY, doom=OVER - 30), "delete", "lease"),
        (look(OVER, None, doom=OVER - 30), "delete", "lease"),
        (look(OVER, BUSY, doom=OVER - 30, pause=OVER + 900), "delete", "lease"),
        (look(OVER, BUSY, doom=OVER - 30, lease_end=OVER + 2 * HOUR), "unmark", None),
        (look(OVER, BUSY, doom=OVER - 30, status="offline"), "delete", "lease"),
        (look(OVER, BUSY, doom=OVER - 30, status="deleting"), "keep", None),
        # A mark of before a sleep is made anew, unless the hard cap is over as well.
        (look(OVER, BUSY, doom=OVER - 7300), "mark", "lease"),
        (look(CREATED + 25 * HOUR, BUSY, doom=OVER), "delete", "lease"),
        # Locks and clocks.
        (look(OVER, BUSY, doom=OVER - 30, locks=["cannot_delete"]), "blocked", "lease"),
        (look(OVER, BUSY, locks=["cannot_delete"]), "blocked", "lease"),
        (look(FAR, BUSY, locks=["cannot_delete"]), "keep", "lease"),
        (look(OVER, BUSY, skew=301, doom=OVER - 30), "refused", "lease"),
        (look(OVER, BUSY, skew=-301), "refused", "lease"),
        (look(OVER, BUSY, skew=299, doom=OVER - 30), "delete", "lease"),
        (look(OVER, BUSY, skew=None, doom=OVER - 30), "delete", "lease"),
    ],
)
def test_single_looks(decision: Decision, action: str, cause: str | None) -> None:
    assert (decision.action, decision.cause) == (action, cause), decision


def test_what_nobody_looks_after_goes_after_two_looks_and_what_is_not_ours_stays() -> None:
    now = CREATED + 700
    halves = ["linode-coder", "lc:session:demo"]
    first = decide(view_at(now, tags=halves), None, now, 0)
    assert (first.action, first.cause) == ("mark", "orphan")
    assert first.doom is not None and first.doom >= now + ORPHAN_GRACE_S
    marked = with_doom(halves, first.doom)
    assert decide(view_at(now, tags=marked), None, now, 0).action == "wait"
    assert decide(view_at(first.doom, tags=marked), None, first.doom, 0).action == "delete"
    young = CREATED + 500
    assert decide(view_at(young, tags=halves), None, young, 0).action == "keep"
    assert decide(view_at(now, tags=["linode-coder"], label="my-server"), None, now, 0).action == "keep"
    assert decide(view_at(now, tags=["linode-coder"]), None, now, 0).action == "mark"  # our label
    assert decide(view_at(now), None, now, 0, superseded=True).cause == "superseded"
    lease_known = ["linode-coder", "lc:session:demo", f"lc:lease:{now + 5 * HOUR}"]
    assert decide(view_at(now, tags=lease_known), idle(9e9), now, 0).action == "keep"


@pytest.mark.parametrize(
    ("new", "gone"),
    [
        (idle(0), {"lc-demo-1"}),
        (idle(9e9), {"lc-demo-1"}),
        (None, set()),
        (IdleClock(), set()),  # never a token
        (IdleClock(readable=True), set()),
        (IdleClock(started=True, idle_s=60), set()),  # it served once, and cannot be read now
        (idle(0, stuck_s=301), set()),
    ],
)
@pytest.mark.parametrize("old", [None, idle(0), IdleClock(started=True)])
def test_an_old_vm_stays_until_its_replacement_is_seen_to_serve(
    new: IdleClock | None, old: IdleClock | None, gone: set[str]
) -> None:
    now = CREATED + 6 * HOUR
    views = [view_at(now), {**view_at(now, label="lc-demo-2"), "generation": 2}, view_at(now, label="lc-other-1")]
    views[2]["name"] = "other"
    assert superseded(views, {"lc-demo-1": old, "lc-demo-2": new, "lc-other-1": idle(0)}) == gone
    # However long it goes on, its lease ends all the same.
    late = decide(view_at(OVER), old, OVER, 0, superseded=bool(gone))
    assert (late.action, late.cause) == ("mark", "lease")


def test_one_pass_cannot_take_everything() -> None:
    assert [budget(count) for count in (0, 1, 6, 50)] == [3, 3, 3, 25]
    assert budget(50, 0) == 0


@dataclass
class World:
    """A VM and time. ``user`` uses it in the given spans; ``watch`` is one pass of a watcher."""

    interval: int
    lease_h: int
    cap_h: int
    limit: int | None
    uses: list[tuple[int, int]]
    blind: list[tuple[int, int]]
    now: int = CREATED
    clock: IdleClock = field(default_factory=IdleClock)
    tags: list[str] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    deleted: Decision | None = None

    def __post_init__(self) -> None:
        tags = SessionTags(
            "demo",
            1,
            "ada",
            CREATED + self.lease_h * HOUR - 2,
            CREATED + self.cap_h * HOUR - 2,
            self.limit,
            520_000,
            "o/M",
            bytes(32),
        )
        self.tags = encode(tags)

    def tokens(self) -> int:
        """One every second of use, and the first one when the engine comes up after ten minutes."""
        used = sum(max(0, min(self.now - CREATED, end) - start) for start, end in self.uses)
        return used + 1 if self.now >= CREATED + 600 else 0

    def watch(self) -> None:
        since = self.now - CREATED
        readable = since >= 600 and not any(start <= since < end for start, end in self.blind)
        tokens = self.tokens()
        sample = Sample("b", since, self.now, readable, generation_tokens=tokens, served=tokens > 0, process_start=1.0)
        self.clock = advance(self.clock, sample)
        row = {"id": 7, "label": "lc-demo-1", "status": "running", "ipv4": ["192.0.2.9"]}
        view = session_view({**row, "created": format_time(CREATED), "tags": self.tags}, self.now)
        done = decide(view, self.clock, self.now, 0, self.interval)
        if done.action == "mark":
            assert done.doom is not None
            self.marks.append(self.now)
            self.tags = with_doom(self.tags, done.doom)
        elif done.action == "unmark":
            self.tags = with_doom(self.tags, None)
        elif done.action == "delete":
            self.deleted = done

    def last_use(self) -> int:
        """Seconds since the last token before now."""
        since = self.now - CREATED
        return since - max([600, *(min(since, end) for start, end in self.uses if start < since)])


SPANS = st.lists(
    st.tuples(st.integers(min_value=600, max_value=40 * HOUR), st.integers(min_value=1, max_value=3 * HOUR)).map(
        lambda pair: (pair[0], pair[0] + pair[1])
    ),
    max_size=6,
)


@given(
    interval=st.sampled_from([60, 300, 900, 3600]),
    lease_h=st.integers(min_value=1, max_value=24),
    limit=st.sampled_from([None, 10, 45, 90]),
    uses=SPANS,
    blind=SPANS,
    jitter=st.lists(st.integers(min_value=0, max_value=40), min_size=1, max_size=20),
)
def test_timelines(
    interval: int,
    lease_h: int,
    limit: int | None,
    uses: list[tuple[int, int]],
    blind: list[tuple[int, int]],
    jitter: list[int],
) -> None:
    world = World(interval, lease_h, 24, limit, uses, blind)
    passes = 0
    while world.deleted is None:
        world.now += interval + jitter[passes % len(jitter)]
        passes += 1
        world.watch()
        # Gone by its lease's end, a grace and two passes later, whoever uses it and whether or not it can be read.
        assert world.now <= CREATED + lease_h * HOUR + GRACE_S + 2 * (interval + 40) + 60
    assert world.marks and world.now - world.marks[-1] >= GRACE_S
    if world.deleted.cause == "idle":
        assert limit is not None
        assert world.last_use() >= limit * 60
        into_hour = (world.now - CREATED) % HOUR
        assert HOUR - window(interval) <= into_hour <= HOUR - HOUR_MARGIN_S
    elif interval <= 300:
        # No hour beyond the price that was shown before anything was spent.
        assert -(-(world.now - CREATED) // HOUR) <= lease_h


@given(st.integers(min_value=0, max_value=6 * HOUR), st.integers(min_value=0, max_value=59))
def test_an_idle_vm_goes_in_the_hour_in_which_its_limit_is_reached(start: int, phase: int) -> None:
    world = World(300, 24, 24, 45, [(600, 600 + start)] if start else [], [])
    world.now += phase
    while world.deleted is None:
        world.now += 300
        world.watch()
    assert world.deleted.cause == "idle"
    reached = 600 + start + 45 * 60
    hours = -(-(world.now - CREATED) // HOUR)
    # Within that paid hour; the next one when it is reached in that hour's last minutes, or just before a pass.
    late = reached % HOUR > HOUR - HOUR_MARGIN_S - GRACE_S
    assert hours <= reached // HOUR + 1 + late


@given(st.integers(min_value=0, max_value=20 * HOUR))
def test_who_slept_looks_twice_before_anything_goes(slept: int) -> None:
    now = CREATED + 8 * HOUR - 1000
    woke = now + slept
    marked = decide(view_at(now), BUSY, now, 0)
    assert marked.doom is not None
    woken = decide(view_at(woke, doom=marked.doom), BUSY, woke, 0)
    if woke > marked.doom + fresh_for(300) and woke < CREATED + 24 * HOUR:
        assert woken.action == "mark"
        assert woken.doom is not None and woken.doom >= woke + GRACE_S
    assert decide(view_at(woke), BUSY, woke, 0).action in ("keep", "mark")


def test_longer_intervals_have_wider_windows() -> None:
    assert [window(seconds) for seconds in (60, 300, 900, 3600)] == [MIN_WINDOW_S, 600, 1800, 3600]
    assert notice(3600) == 3600 + GRACE_S
