# SPDX-License-Identifier: GPL-3.0-or-later
"""Decisions of a watcher: a table of single looks, and timelines in which watchers, people and failures take turns."""

from __future__ import annotations

from collections.abc import Callable
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
    YOUNG_S,
    Decision,
    Plan,
    budget,
    decide,
    fresh_for,
    in_paid_hour,
    lease_deletion,
    notice,
    plans,
    superseded,
    why,
    window,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.watch.idle_clock import IdleClock, Sample, advance
from hypothesis import given
from hypothesis import strategies as st

CREATED = 1_799_999_940  # not on a whole hour
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


def asking(now: int, clock: IdleClock | None = None, skew: float | None = 0, **more: Any) -> Callable[[], Decision]:
    """A look for a table, made only in the test: tables are made before any mutant."""
    return lambda: look(now, clock, skew, **more)


BUSY = idle(0)
FAR = CREATED + 2 * HOUR + 1800  # in the middle of a paid hour
LAST = CREATED + 3 * HOUR - 400  # within the last minutes of a paid hour
OVER = CREATED + 9 * HOUR + 1800


@pytest.mark.parametrize(
    ("asked", "action", "cause"),
    [
        (asking(FAR, BUSY), "keep", "lease"),
        (asking(FAR, None), "keep", "lease"),
        # Idle: foreseen, marked in time, deleted only in the last minutes of the paid hour and only when it is readable.
        (asking(FAR, idle(40 * 60)), "keep", "idle"),
        (asking(CREATED + 3 * HOUR - 1400, idle(45 * 60)), "mark", "idle"),
        (asking(FAR, idle(50 * 60), doom=FAR - 60), "unmark", None),
        (asking(LAST, idle(46 * 60), doom=LAST - 60), "delete", "idle"),
        (asking(LAST, idle(46 * 60), doom=LAST + 60), "wait", "idle"),
        (asking(LAST, idle(44 * 60), doom=LAST - 60), "wait", "idle"),
        (asking(LAST, BUSY, doom=LAST - 60), "unmark", None),
        (asking(LAST, None, doom=LAST - 60), "wait", "idle"),
        (asking(LAST, IdleClock(started=True, idle_s=9e9), doom=LAST - 60), "wait", "idle"),
        (asking(LAST, IdleClock(readable=True, idle_s=9e9), doom=LAST - 60), "unmark", None),
        (asking(LAST, idle(9e9), idle_minutes=None, doom=LAST - 60), "unmark", None),
        (asking(LAST, idle(9e9), pause=LAST + 900, doom=LAST - 60), "unmark", None),
        (asking(LAST, idle(9e9), pause=LAST - 1, doom=LAST - 60), "delete", "idle"),
        (asking(CREATED + 3 * HOUR - 20, idle(46 * 60), doom=LAST - 60), "unmark", None),  # too late for this hour
        # Lease: marked before its end, deleted whoever can reach it.
        (asking(CREATED + 8 * HOUR - 1200, BUSY), "mark", "lease"),
        (asking(CREATED + 8 * HOUR - 1700, BUSY), "keep", "lease"),
        (asking(OVER, BUSY), "mark", "lease"),
        (asking(OVER, None), "mark", "lease"),
        (asking(OVER, BUSY, doom=OVER + 30), "wait", "lease"),
        (asking(OVER, BUSY, doom=OVER - 30), "delete", "lease"),
        (asking(OVER, None, doom=OVER - 30), "delete", "lease"),
        (asking(OVER, BUSY, doom=OVER - 30, pause=OVER + 900), "delete", "lease"),
        (asking(OVER, BUSY, doom=OVER - 30, lease_end=OVER + 2 * HOUR), "unmark", None),
        (asking(OVER, BUSY, doom=OVER - 30, status="offline"), "delete", "lease"),
        (asking(OVER, BUSY, doom=OVER - 30, status="deleting"), "keep", None),
        # A mark of before a sleep is made anew, unless the hard cap is over as well.
        (asking(OVER, BUSY, doom=OVER - 7300), "mark", "lease"),
        (asking(CREATED + 25 * HOUR, BUSY, doom=OVER), "delete", "lease"),
        # Locks and clocks.
        (asking(OVER, BUSY, doom=OVER - 30, locks=["cannot_delete"]), "blocked", "lease"),
        (asking(OVER, BUSY, locks=["cannot_delete"]), "blocked", "lease"),
        (asking(FAR, BUSY, locks=["cannot_delete"]), "keep", "lease"),
        (asking(OVER, BUSY, skew=301, doom=OVER - 30), "refused", "lease"),
        (asking(OVER, BUSY, skew=-301), "refused", "lease"),
        (asking(OVER, BUSY, skew=299, doom=OVER - 30), "delete", "lease"),
        (asking(OVER, BUSY, skew=None, doom=OVER - 30), "delete", "lease"),
    ],
)
def test_single_looks(asked: Callable[[], Decision], action: str, cause: str | None) -> None:
    decision = asked()
    assert (decision.action, decision.cause) == (action, cause), decision


@pytest.mark.parametrize(
    ("earliest", "at"),
    [
        (0, 3000),
        (2999, 3000),
        (3000, 3000),
        (3001, 3001),
        (3540, 3540),  # a minute before the hour's end it may still be asked for
        (3541, 6600),
        (3600, 6600),
        (7141, 10200),
        (-50, 3000),  # by a clock that is behind the API's
    ],
)
def test_an_idle_vm_goes_in_the_last_minutes_of_a_paid_hour(earliest: int, at: int) -> None:
    assert in_paid_hour(CREATED, CREATED + earliest, 600) == CREATED + at


@pytest.mark.parametrize(
    ("lease_end", "at"), [(5000, 5000), (6600, 6600), (6601, 6600), (7200, 6600), (7201, 7201), (-100, -100)]
)
def test_a_lease_ends_in_time_for_no_further_hour_to_begin(lease_end: int, at: int) -> None:
    assert lease_deletion(CREATED, CREATED + lease_end) == CREATED + at


IN_WINDOW = CREATED + 3 * HOUR - 598


@pytest.mark.parametrize(
    ("now", "idle_s", "doom", "at"),
    [
        # Below half of the limit nothing is foreseen.
        (FAR, 1349.9, None, None),
        (CREATED + 2 * HOUR, 1350, None, CREATED + 3 * HOUR - 600),
        # Its limit, a grace, and not before a whole minute.
        (CREATED + 2 * HOUR + 2002, 1350, None, CREATED + 3 * HOUR - 240),
        (CREATED + 2 * HOUR + 2557, 2700, None, CREATED + 3 * HOUR - 420),
        (CREATED + 2 * HOUR + 2557, 9e9, None, CREATED + 3 * HOUR - 420),
        # Once it is marked: the mark, or its limit when that comes later.
        (IN_WINDOW, 2700, IN_WINDOW - 60, IN_WINDOW),
        (IN_WINDOW, 9e9, IN_WINDOW - 60, IN_WINDOW),
        (IN_WINDOW, 2699.5, IN_WINDOW - 60, IN_WINDOW + 1),
        (IN_WINDOW, 2600, IN_WINDOW - 60, IN_WINDOW + 100),
        (IN_WINDOW, 2700, IN_WINDOW + 90, IN_WINDOW + 90),
    ],
)
def test_when_an_idle_vm_goes(now: int, idle_s: float, doom: int | None, at: int | None) -> None:
    found = plans(view_at(now, doom=doom), idle(idle_s), now)
    assert [plan.at for plan in found if plan.cause == "idle"] == ([] if at is None else [at])


def test_deletions_are_foreseen_in_their_order() -> None:
    now = CREATED + 7 * HOUR
    end, cap = CREATED + 8 * HOUR - MIN_WINDOW_S, CREATED + 24 * HOUR - MIN_WINDOW_S
    assert plans(view_at(now), None, now) == [Plan("lease", end), Plan("cap", cap)]
    hour = CREATED + 7 * HOUR + 1800
    assert plans(view_at(now), None, now, unpaid=hour)[0] == Plan("budget", hour - MIN_WINDOW_S)
    assert plans(view_at(now), None, now, superseded=True)[0] == Plan("superseded", now + ORPHAN_GRACE_S)
    odd = now + 1
    assert plans(view_at(odd), None, odd, superseded=True)[0].at == now + ORPHAN_GRACE_S + 60  # a whole minute
    assert plans(view_at(now, doom=now - 5), None, now, superseded=True)[0] == Plan("superseded", now - 5)


def test_the_causes_of_a_deletion_have_their_sentences() -> None:
    assert why("idle", idle(7200)) == "nobody has used it for 2 h"
    assert why("idle", None) == "nobody has used it for some time"


@pytest.mark.parametrize(("at", "shown"), [(None, None), (CREATED, format_time(CREATED))])
def test_a_decision_as_data(at: int | None, shown: str | None) -> None:
    decision = Decision("mark", "It goes.", "lease", at, at)
    assert decision.as_dict() == {"action": "mark", "sentence": "It goes.", "cause": "lease", "at": shown, "doom": at}


ALMOST = CREATED + 8 * HOUR - MIN_WINDOW_S  # when the lease of `view_at` is acted upon
CAP = CREATED + 24 * HOUR


@pytest.mark.parametrize(
    ("asked", "action", "at", "doom"),
    [
        # Marked a notice before, with a grace.
        (asking(ALMOST - 901, BUSY), "keep", ALMOST, None),
        (asking(ALMOST - 900, BUSY), "mark", ALMOST, ALMOST),
        (asking(ALMOST - 500, BUSY), "mark", ALMOST + 120, ALMOST + 120),
        (asking(ALMOST - 900, BUSY, doom=ALMOST - 901), "wait", ALMOST, None),
        (asking(ALMOST - 1, BUSY, doom=ALMOST), "wait", ALMOST, None),
        (asking(ALMOST, BUSY, doom=ALMOST), "delete", ALMOST, None),
        (asking(ALMOST + 90, BUSY, doom=ALMOST + 90), "delete", ALMOST + 90, None),
        # How long a mark counts.
        (asking(OVER, BUSY, doom=OVER - 7200), "delete", ALMOST, None),
        (asking(OVER, BUSY, doom=OVER - 7201), "mark", OVER + GRACE_S, OVER + GRACE_S),
        # Its grace begins anew, and would end in another paid hour.
        (asking(CREATED + 3 * HOUR - 300, idle(9e9), doom=CREATED), "unmark", None, None),
        (
            asking(CREATED + 3 * HOUR - 300, idle(9e9), doom=CREATED + 2 * HOUR),
            "delete",
            CREATED + 3 * HOUR - 300,
            None,
        ),
        (asking(CAP - 1, BUSY, doom=OVER), "mark", CAP + GRACE_S, CAP + GRACE_S),
        (asking(CAP, BUSY, doom=OVER), "delete", OVER, None),
        (asking(OVER, BUSY, skew=300, doom=OVER - 30), "delete", OVER - 30, None),
        (asking(OVER, BUSY, skew=-300, doom=OVER - 30), "delete", OVER - 30, None),
        (asking(OVER, BUSY, skew=301, doom=OVER - 30), "refused", ALMOST, None),
        (asking(OVER, BUSY, locks=["cannot_delete"]), "blocked", ALMOST, None),
    ],
)
def test_the_exact_moments(asked: Callable[[], Decision], action: str, at: int | None, doom: int | None) -> None:
    decision = asked()
    assert (decision.action, decision.at, decision.doom) == (action, at, doom), decision


@pytest.mark.parametrize(("skew", "said"), [(301, "ahead of"), (-301, "behind")])
def test_which_clock_is_wrong_is_said(skew: int, said: str) -> None:
    assert f"is 5 min 1 s {said} the API's" in look(OVER, BUSY, skew).sentence


@pytest.mark.parametrize(
    ("more", "ours"),
    [
        ({"label": "renamed", "tags": None}, True),  # its tags still name its session
        (
            {"label": "lc-demo-1", "tags": ["linode-coder", f"lc:lease:{CREATED + HOUR}", f"lc:cap:{CREATED + HOUR}"]},
            True,
        ),
        (
            {"label": "my-server", "tags": ["linode-coder", f"lc:lease:{CREATED + HOUR}", f"lc:cap:{CREATED + HOUR}"]},
            False,
        ),
    ],
)
def test_a_vm_of_ours_has_a_session_or_our_label(more: dict[str, Any], ours: bool) -> None:
    view = view_at(OVER, **more)
    assert decide(view, BUSY, OVER, 0).action == ("mark" if ours else "keep")
    found = plans(view, None, OVER, superseded=True, unpaid=OVER)
    assert {plan.cause for plan in found} == ({"superseded", "lease", "cap", "budget"} if ours else set())


def test_what_nobody_looks_after_goes_after_two_looks_and_what_is_not_ours_stays() -> None:
    now = CREATED + 700
    halves = ["linode-coder", "lc:session:demo"]
    first = decide(view_at(now, tags=halves), None, now, 0)
    assert (first.action, first.cause) == ("mark", "orphan")
    assert first.doom is not None and first.doom >= now + ORPHAN_GRACE_S
    marked = with_doom(halves, first.doom)
    assert decide(view_at(now, tags=marked), None, now, 0).action == "wait"
    assert decide(view_at(first.doom, tags=marked), None, first.doom, 0).action == "delete"
    young = CREATED + YOUNG_S - 1
    assert decide(view_at(young, tags=halves), None, young, 0).action == "keep"
    assert decide(view_at(young + 1, tags=halves), None, young + 1, 0).action == "mark"
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


def test_only_the_newest_vm_that_serves_has_predecessors() -> None:
    def vm(label: str, name: str | None, generation: int | None) -> dict[str, Any]:
        return {"label": label, "name": name, "generation": generation}

    views = [vm("a", "demo", 1), vm("b", "demo", 3), vm("c", "demo", 2), vm("d", None, 1), vm("e", "demo", None)]
    serving = {view["label"]: BUSY for view in views}
    assert superseded(views, serving) == {"a", "c"}
    assert superseded(views[::-1], serving) == {"a", "c"}
    assert superseded(views, {**serving, "b": None}) == {"a"}
    assert superseded([vm("a", "demo", 0)], {}) == superseded([vm("a", "demo", 0)], {"a": BUSY}) == set()


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
    assert [notice(seconds) for seconds in (60, 300, 301, 3600)] == [900, 900, 901, 3600 + GRACE_S]
    assert [fresh_for(seconds) for seconds in (300, 2400, 3600)] == [7200, 7200, 10800]
