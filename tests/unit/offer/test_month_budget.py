# SPDX-License-Identifier: GPL-3.0-or-later
"""What sessions cost this month by tags, events and records, and when a budget is reached."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import format_time, parse_time
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.budget import (
    OVERLAP_S,
    check_budget,
    extension_adds,
    first_unpaid,
    hours_since,
    left,
    month_start,
    refuse_beyond,
    replacement_adds,
    spending,
    watched,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import SessionTags, encode
from hypothesis import given
from hypothesis import strategies as st

NOW = parse_time("2026-11-29T12:30:00")
START = parse_time("2026-11-01T00:00:00")
HOUR = 3600
ACCOUNT = {"euuid": "E1", "balance_uninvoiced": 33.5}


def vm(name: str, created: int, lease_end: int, hourly: float = 1.0, **changes: Any) -> dict[str, Any]:
    micros = round(hourly * 1_000_000)
    tags = encode(SessionTags(name, 1, "ada", lease_end, lease_end + 99 * HOUR, 45, micros, "o/M", bytes(32)))
    row = {"id": sum(map(ord, name)), "label": f"lc-{name}-1", "status": "running", "created": format_time(created)}
    return {**row, "tags": tags, **changes}


def event(action: str, number: int, label: str, at: int, **changes: Any) -> dict[str, Any]:
    entity = {"id": number, "label": label, "type": "linode"}
    return {"action": action, "status": "finished", "created": format_time(at), "entity": entity, **changes}


def record(number: int, created: int, ended: int | None, hourly: float, account: str | None = "E1") -> dict[str, Any]:
    end = None if ended is None else format_time(ended)
    return {
        "linode_id": number,
        "account": account,
        "created": format_time(created),
        "ended": end,
        "hourly": hourly,
    }


@given(st.integers(-50, 50), st.integers(0, 100), st.integers(0, 3599))
def test_the_hours_of_two_months_are_the_hours(began: int, lasts: int, seconds: int) -> None:
    created = START + began * HOUR + seconds
    until = created + lasts * HOUR
    whole = hours_since(0, created, until)
    assert whole == max(1, lasts)
    before = sum(created + hour * HOUR < START for hour in range(whole))
    assert hours_since(START, created, until) == whole - before


def test_running_sessions_count_what_they_cost_so_far_and_promise_their_leases() -> None:
    rows = [
        vm("one", NOW - 90 * 60, NOW + 3 * HOUR, 2.0),  # 2 hours so far, 5 in all
        vm("old", START - 10 * HOUR, NOW + HOUR, 0.5),  # its hours of this month
        vm("going", NOW - 30 * 60, NOW + 9 * HOUR, 1.0, status="deleting"),
        {**vm("foreign", NOW - 90 * HOUR, NOW, 9.0), "tags": ["theirs"]},
    ]
    seen = spending(NOW, rows, [], ACCOUNT)
    month = hours_since(START, START - 10 * HOUR, NOW)
    assert seen.spent == 2 * 2.0 + month * 0.5 + 1.0
    assert seen.committed == 3 * 2.0 + 0.5
    assert (seen.hourly, seen.uninvoiced, seen.unseen, seen.since) == (3.5, 33.5, (), "2026-11-01")


def test_what_others_deleted_counts_by_events_and_its_price_is_said_to_be_a_guess() -> None:
    events = [
        event("linode_create", 5, "lc-gone-1", NOW - 10 * HOUR),
        event("linode_delete", 5, "lc-gone-1", NOW - 7 * HOUR - 60),
        event("linode_delete", 6, "lc-before-2", START + 2 * HOUR),  # made last month: two hours of this one
        event("linode_delete", 7, "lc-kept-1", NOW - HOUR, status="failed"),
        event("linode_delete", 8, "database", NOW - HOUR),
        event("linode_create", 9, "lc-alive-1", NOW - HOUR),
    ]
    seen = spending(NOW, [], events, ACCOUNT, usual_hourly=0.52)
    assert seen.spent == pytest.approx(5 * 0.52)
    assert len(seen.unseen) == 1 and "taken as $0.52/h (lc-gone-1, 3 h; lc-before-2, 2 h)" in seen.unseen[0]
    dearer = spending(NOW, [vm("one", NOW - 60, NOW, 3.0)], events, ACCOUNT, usual_hourly=0.52)
    assert dearer.spent == pytest.approx(5 * 3.0 + 3.0)
    mine = [record(5, NOW - 10 * HOUR, NOW - 7 * HOUR - 60, 0.1), record(6, START - 99 * HOUR, START + 2 * HOUR, 0.2)]
    exact = spending(NOW, [], events, ACCOUNT, mine, 0.52)
    assert (exact.spent, exact.unseen) == (pytest.approx(3 * 0.1 + 2 * 0.2), ())


def test_records_of_other_accounts_months_and_vms_that_live_are_not_counted() -> None:
    rows = [vm("one", NOW - 60, NOW + 60, 1.0, id=1)]
    records = [
        record(1, NOW - 60, NOW - 30, 1.0),  # taken for gone, and alive
        record(2, NOW - 5 * HOUR, NOW - 3 * HOUR, 1.0),
        record(3, NOW - 5 * HOUR, NOW - 3 * HOUR, 1.0, account="E2"),
        record(4, NOW - 5 * HOUR, NOW - 3 * HOUR, 1.0, account=None),
        record(5, START - 5 * HOUR, START - 3 * HOUR, 1.0),
        record(6, NOW - 5 * HOUR, None, 1.0),
    ]
    assert spending(NOW, rows, [], ACCOUNT, records).spent == 1.0 + 2.0


def test_what_cannot_be_seen_is_said() -> None:
    rows = [vm("one", NOW - 60, NOW + 60, 1.0)]
    bare = {**rows[0], "tags": ["Linode-Coder", "lc:session:one"]}
    seen = spending(NOW, [bare], [], ACCOUNT)
    assert "what it costs, so it is not counted" in seen.unseen[0] and "when it ends" in seen.unseen[1]
    guessed = spending(NOW, [bare], [], ACCOUNT, usual_hourly=0.7)
    assert (guessed.spent, "taken as $0.70/h" in guessed.unseen[0]) == (0.7, True)
    blind = spending(NOW, rows, None, ACCOUNT)
    assert (blind.spent, "all $33.50" in blind.unseen[0]) == (33.5, True)
    blinder = spending(NOW, rows, None, None)
    assert (blinder.spent, "is not counted" in blinder.unseen[0]) == (1.0, True)
    assert spending(NOW, rows, [], None).unseen == ()


@pytest.mark.parametrize(
    ("budget", "adds", "allowed"),
    [(10.0, 4.0, True), (10.0, 4.01, False), (4.0, 0.0, False), (4.01, 0.0, True), (4.01, 0.1, False)],
)
def test_what_goes_beyond_is_refused(budget: float, adds: float, allowed: bool) -> None:
    seen = spending(NOW, [vm("one", NOW - 90 * 60, NOW + 90 * 60, 2.0)], [], ACCOUNT)
    assert (seen.spent, seen.committed, left(seen, 10.0)) == (4.0, 2.0, 4.0)
    if allowed:
        refuse_beyond(seen, budget, adds, 0.5, "this")
        return
    with pytest.raises(Failure) as caught:
        refuse_beyond(seen, budget, adds, 0.5, "this")
    failure = caught.value
    assert (failure.kind, failure.exit_code, failure.field) == ("refused", 3, "budget")
    for part in (f"${budget:.2f}", "$4.00 are spent since 2026-11-01", "$2.00 more are promised", f"add ${adds:.2f}"):
        assert part in failure.message
    assert "linode-coder list" in str(failure.remedy) and "LINODE_CODER_BUDGET" in str(failure.remedy)


def test_the_remedy_says_what_would_go() -> None:
    with pytest.raises(Failure, match="would add") as caught:
        refuse_beyond(spending(NOW, [], [], ACCOUNT), 2.0, 3.0, 0.5, "this")
    assert "at most 4 h more" in str(caught.value.remedy)


@pytest.mark.parametrize("budget", [0, -1, float("inf"), float("nan")])
def test_a_budget_is_a_number_of_dollars(budget: float) -> None:
    with pytest.raises(Failure) as caught:
        check_budget(budget)
    assert (caught.value.exit_code, caught.value.field) == (2, "budget")


def test_what_an_extension_and_a_replacement_add() -> None:
    created = parse_time("2026-11-29T10:00:00")
    view = {"created": format_time(created), "lease_end": format_time(created + 4 * HOUR), "hourly": 0.5}
    assert extension_adds(view, format_time(created + 6 * HOUR + 1)) == pytest.approx(3 * 0.5)
    assert extension_adds(view, format_time(created + 2 * HOUR)) == 0.0
    # The new VM's hours to the end of the lease, and the old one's of the overlap, instead of the old one's to its end.
    assert replacement_adds(NOW, created, created + 9 * HOUR, 1.0, 1.0) == pytest.approx(7.0 + 4.0 - 9.0)
    assert 0 <= replacement_adds(NOW, created, NOW - 60, 1.0, 1.0) <= 1.0
    assert OVERLAP_S == HOUR


def test_the_first_hour_that_is_not_paid() -> None:
    one = vm("one", NOW - 30 * 60, NOW + 9 * HOUR, 1.0)  # its hours begin at :00
    two = vm("two", NOW - 20 * 60, NOW + 9 * HOUR, 2.0)  # at :10
    seen = spending(NOW, [one, two], [], ACCOUNT)
    assert first_unpaid(seen, 999.0) == {}
    # 3 are spent; 13:00 makes 4, 13:10 makes 6, 14:00 makes 7, and 14:10 does not go.
    assert first_unpaid(seen, 8.0) == {"lc-two-1": NOW + 100 * 60, "lc-one-1": NOW + 150 * 60}
    assert first_unpaid(seen, 3.0) == {"lc-one-1": NOW + 30 * 60, "lc-two-1": NOW + 40 * 60}
    ending = spending(NOW, [vm("one", NOW - 30 * 60, NOW + 20 * 60, 1.0)], [], ACCOUNT)
    assert first_unpaid(ending, 1.0) == {}
    # The next month has a budget of its own.
    long = spending(NOW, [vm("one", NOW - 30 * 60, NOW + 99 * HOUR, 1.0)], [], ACCOUNT)
    to_the_first = (parse_time("2026-12-01T00:00:00") - NOW) / HOUR
    assert first_unpaid(long, 1.0 + to_the_first) == {} and first_unpaid(long, to_the_first) != {}
    assert month_start(NOW) == START


@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(0, 30), st.sampled_from([0.5, 1.0, 3.5])), max_size=4),
    st.integers(1, 60),
)
def test_who_goes_when_told_never_costs_more_than_the_budget(rows: list[tuple[int, int, float]], budget: int) -> None:
    vms = [vm(f"s{n}", NOW - a * HOUR - n * 60, NOW + b * HOUR, price) for n, (a, b, price) in enumerate(rows)]
    seen = spending(NOW, vms, [], ACCOUNT)
    ends = first_unpaid(seen, float(budget))
    cut = [
        hours_since(START, one.created, min(ends.get(one.label, 10**11) - 1, max(NOW, one.lease_end or 0)))
        * (one.hourly or 0)
        for one in seen.running
    ]
    assert sum(cut) <= max(budget, seen.spent) + 1e-6
    assert not ends or seen.spent + seen.committed > budget


@pytest.mark.parametrize(
    ("budget", "state", "ends"),
    [(999.0, "within", set()), (3.0, "foreseen", {"lc-one-1"}), (1.0, "reached", {"lc-one-1"})],
)
def test_what_a_watcher_makes_of_it(budget: float, state: str, ends: set[str]) -> None:
    seen = spending(NOW, [vm("one", NOW - 30 * 60, NOW + 9 * HOUR, 1.0)], [], ACCOUNT)
    warned, ended = watched(seen, budget, "warn"), watched(seen, budget, "end")
    assert (warned.state, dict(warned.ends)) == (state, {})
    assert (ended.state, set(ended.ends)) == (state, ends)
    assert f"of this month's ${budget:.2f}" in warned.sentence
    if state != "within":
        assert "Nothing is ended" in warned.sentence and "are ended before" in ended.sentence
    assert watched(spending(NOW, [], [], ACCOUNT), 0.5, "end").state == "within"
