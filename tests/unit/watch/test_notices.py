# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told once, what waits until it can be told, and what a report has to say at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.watch.notices import (
    SAME_S,
    WAIT_S,
    Notice,
    Told,
    body_of,
    notices_of,
)
from hypothesis import given
from hypothesis import strategies as st

NOW = 1_800_000_000
LOCK = Notice("blocked:a", "blocked", "a", "a is locked.", lasting=True)
MARK = Notice("marked:a:1", "marked", "a", "a will go.")


def passes(*steps: tuple[list[Notice], bool], every: int = 300) -> list[list[str]]:
    """What is due in each of these passes: what it found, and whether the webhook answers."""
    told, said = Told(), []
    for number, (found, reached) in enumerate(steps):
        said.append([one.key for one in told.due(found)])
        told = Told.from_dict(json.loads(json.dumps(told.after(found, reached, NOW + number * every).as_dict())))
    return said


def test_what_lasts_is_told_once_and_again_only_when_it_came_back_after_an_hour() -> None:
    assert passes(*[([LOCK], True)] * 40) == [["blocked:a"], *[[]] * 39]
    flapping = [([LOCK], True), ([], True)] * 20
    assert [row for row in passes(*flapping) if row] == [["blocked:a"]]
    gone = [([LOCK], True), *[([], True)] * (SAME_S // 300 + 1), ([LOCK], True)]
    assert [row for row in passes(*gone) if row] == [["blocked:a"]] * 2


def test_an_event_waits_until_it_is_told_and_what_lasts_is_told_only_while_it_does() -> None:
    down = [([MARK, LOCK], False), ([LOCK], False), ([], True), ([], True)]
    assert passes(*down) == [["marked:a:1", "blocked:a"], ["marked:a:1", "blocked:a"], ["marked:a:1"], []]


def test_nobody_is_told_yesterdays_news() -> None:
    steps = [([MARK], False), *[([], False)] * (WAIT_S // 3600), ([], True)]
    assert passes(*steps, every=3600)[-1] == []
    assert passes(*steps[:-2], ([], True), every=3600)[-1] == ["marked:a:1"]


@given(st.lists(st.tuples(st.lists(st.sampled_from([LOCK, MARK]), max_size=3), st.booleans()), max_size=12))
def test_an_incident_is_never_told_twice_within_the_hour(steps: list[tuple[list[Notice], bool]]) -> None:
    due = passes(*steps, every=60)
    told = [key for keys, (_found, reached) in zip(due, steps, strict=True) for key in keys if reached]
    assert len(told) == len(set(told))


@pytest.mark.parametrize(
    "text",
    ["[]", "{}", '{"keys": {"a": "b"}, "waiting": []}', '{"keys": {}, "waiting": [{"at": 1, "notice": {"x": 1}}]}'],
)
def test_a_record_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"told|invalid literal"):
        Told.from_dict(json.loads(text))


def stop(reason: str, needs_person: bool, **more: Any) -> dict[str, Any]:
    said = {"reason": reason, "message": "The engine does not start.", "remedy": "Look.", "fingerprint": "f"}
    return {"stop": {**said, "needs_person": needs_person, "trips": False, **more}, "attempt": None, "outcome": None}


def test_a_report_says_what_people_have_to_know() -> None:
    tried = {"attempt": {"id": "reboot:1:2", "rung": "reboot"}, "step": {"reason": "The GPU is lost."}, "stop": None}
    report = {
        "sessions": [{"label": "a", "decision": {"doom": 7}}, {"label": "b", "decision": {"doom": None}}],
        "marked": {"a": "a will be deleted."},
        "unmarked": {"b": "b stays."},
        "blocked": {"l": "l is locked."},
        "restored": {"r": "r: its lease had been written over, and is put back."},
        "failures": {"account": {"kind": "auth", "message": "The token is refused.", "billing": ["x bills"]}},
        "deleted": [{"linode_id": 5, "label": "d", "sentence": "d is deleted: 1 hour, $0.52."}],
        "healing": {
            "healed": {**tried, "outcome": "healed", "message": None, "breaker": None},
            "next rung": {**tried, "outcome": "failed", "message": None, "breaker": None},
            "fine": {**stop("nothing", False), "breaker": None},
            "busy": {**stop("busy", False), "breaker": None},
            "config": {**stop("config_error", True), "breaker": None},
            "gave up": {**stop("needs_human", True, trips=True), "breaker": "it was just opened"},
            "in vain": {**stop("start_error", True, failure="k1", tells=True), "breaker": None},
            "told before": {**stop("start_error", True, failure="k1", tells=False), "breaker": None},
            "given up": {**stop("needs_human", True, fingerprint=None), "breaker": "opened before"},
        },
    }
    found = {(one.kind, one.label): one for one in notices_of(report)}
    assert set(found) == {
        ("marked", "a"),
        ("blocked", "l"),
        ("restored", "r"),
        ("failed", "account"),
        ("deleted", "d"),
        ("healed", "healed"),
        ("needs_person", "config"),
        ("needs_person", "gave up"),
        ("needs_person", "in vain"),
    }
    # What the VM remembers is seen by no later pass, so it waits until it can be told; what it does not is seen again.
    lasting = {label: one.lasting for (kind, label), one in found.items() if kind == "needs_person"}
    assert lasting == {"config": True, "gave up": False, "in vain": False}
    assert found["needs_person", "in vain"].key == "person:in vain:k1"
    assert found["marked", "a"].key == "marked:a:7"
    assert "x bills" in found["failed", "account"].text
    assert "reboot helped: The GPU is lost." in found["healed", "healed"].text
    assert notices_of({"healing": {}}) == []


def test_a_message_is_text_for_people_and_a_list_for_programs() -> None:
    body = body_of([LOCK, MARK])
    assert body["text"] == body["content"] == "a is locked.\na will go."
    assert [row["kind"] for row in body["notices"]] == ["blocked", "marked"]
    assert len(body_of([Notice("k", "failed", "a", "x" * 3000)])["content"]) < 2000
