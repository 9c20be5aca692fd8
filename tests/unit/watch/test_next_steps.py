# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pass of the watchdog makes of what it saw."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.watch.next_steps import (
    ailing,
    healthy,
    look_again,
    report_of,
)

CLOCK = {"clock": {"schema": 1}}
WELL = {**CLOCK, "health": {"severity": "pass"}}


def view(label: str, action: str = "keep", settled: bool = True) -> dict[str, Any]:
    return {"label": label, "decision": {"action": action}, "settled": settled}


def test_what_is_due_or_has_something_to_tell_is_looked_at_again() -> None:
    looks = {label: CLOCK for label in ("due", "marked", "saved", "other")}
    again = look_again(["due", "stopped"], {"marked": "It goes.", "unseen": "It goes."}, {"saved": "It stays."}, looks)
    assert again == [
        {"label": "due", "notice": None},
        {"label": "marked", "notice": "It goes."},
        {"label": "saved", "notice": ""},
    ]
    assert look_again(["due"], {"due": "It goes."}, {}, looks) == [{"label": "due", "notice": "It goes."}]
    assert look_again([], {}, {}, looks) == []


@pytest.mark.parametrize(
    "look",
    [
        None,
        {"unreachable": True, "msg": "timed out"},
        {"failed": True},
        CLOCK,
        {**CLOCK, "health": None},
        {**CLOCK, "health": {"severity": "warn"}},
        {**CLOCK, "health": {"severity": "unknown"}},
    ],
)
def test_only_what_was_seen_to_be_well_is_not_healed(look: dict[str, Any] | None) -> None:
    looks = {"well": WELL} if look is None else {"well": WELL, "other": look}
    sessions = [view("well"), view("other")]
    assert (ailing(sessions, looks), healthy(sessions, looks)) == (["other"], ["well"])


@pytest.mark.parametrize("action", ["mark", "unmark", "wait", "delete", "blocked", "refused"])
def test_what_is_about_to_go_or_still_comes_up_is_not_healed(action: str) -> None:
    sessions = [view("going", action), view("coming", settled=False)]
    assert ailing(sessions, {}) == healthy(sessions, {"going": WELL, "coming": WELL}) == []


def test_the_report_joins_both_looks_at_the_account() -> None:
    sessions = [view("well"), view("gone", "delete"), view("blind")]
    decided = {
        "sessions": sessions,
        "marked": {"a": "It goes."},
        "unmarked": {"b": "It stays."},
        "blocked": {"c": "It is locked."},
        "restored": {"d": "first", "e": "first"},
        "deleted": [],
        "deferred": [],
        "failures": {"f": {"kind": "first"}, "g": {"kind": "first"}},
        "skew": 0.5,
        "budget": {"state": "within"},
        "account": "E1",
        "due": ["gone"],
    }
    deleted = {
        "deleted": [{"label": "gone"}],
        "deferred": ["h"],
        "restored": {"e": "second"},
        "failures": {"g": {"kind": "second"}},
    }
    looks = {"well": WELL, "blind": {"unreachable": True, "msg": "timed out"}, "mute": {}}
    failures = {"f": {"kind": "healing"}, "i": {"kind": "healing"}}
    assert report_of(decided, deleted, looks, {"blind": {"step": None}}, failures) == {
        "sessions": sessions,
        "unobserved": {"blind": "timed out", "mute": "no reason given"},
        "marked": {"a": "It goes."},
        "unmarked": {"b": "It stays."},
        "blocked": {"c": "It is locked."},
        "restored": {"d": "first", "e": "second"},
        "deferred": ["h"],
        "deleted": [{"label": "gone"}],
        "healing": {"blind": {"step": None}},
        "healthy": ["well"],
        "health": {"well": {"severity": "pass", "at": None, "findings": {"warn": 0, "unknown": 0, "fail": 0}}},
        "failures": {"f": {"kind": "first"}, "g": {"kind": "second"}, "i": {"kind": "healing"}},
        "skew": 0.5,
        "budget": {"state": "within"},
        "account": "E1",
    }


def test_the_report_of_a_pass_that_saw_nothing() -> None:
    report = report_of({}, {}, {}, {}, {"account": {"kind": "auth"}})
    assert report.pop("failures") == {"account": {"kind": "auth"}}
    assert not any(report.values())


def test_findings_are_counted_by_severity_where_health_was_looked_at() -> None:
    findings = [{"severity": severity} for severity in ("fail", "pass", "fail", "warn")]
    looks = {
        "sick": {"clock": {}, "health": {"severity": "fail", "at": 7, "findings": findings}},
        "coming": {"clock": {}, "health": None},
        "blind": {"msg": "timed out"},
    }
    assert report_of({}, {}, looks, {}, {})["health"] == {
        "sick": {"severity": "fail", "at": 7, "findings": {"warn": 1, "unknown": 0, "fail": 2}}
    }
