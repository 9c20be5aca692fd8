# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal.attempts import (
    SCHEMA,
    Attempt,
    Record,
    attempt_line,
    bad_gpu_tags,
    bad_gpus,
    from_tags,
    is_attempt_tag,
    is_healing_tag,
    key_of,
    line,
    parse,
    to_tag,
    whole_lines,
)
from hypothesis import given
from hypothesis import strategies as st

KEY = key_of("vllm.health|engine|")
FIRST = Attempt(
    "restart_container", KEY, 1000, "", "vllm.health|engine|", 1, "connection refused", "ada@laptop", "boot-1"
)
CHANGED = Attempt("change_parameters", KEY, 2000, number=2, change={"flag": "max-num-seqs", "old": None, "new": 32})
REBOOT = Attempt("reboot", KEY, 3000, "a1b2")


def test_a_record_is_read_back() -> None:
    text = (
        attempt_line(FIRST)
        + line("acted", 1001, id=FIRST.id)
        + line("outcome", 1100, id=FIRST.id, outcome="failed")
        + attempt_line(CHANGED)
        + line("resumed", 2500, id=CHANGED.id)
    )
    record = parse(text)
    first, second = record.attempts
    assert (first.outcome, first.acted, first.ended, first.evidence) == ("failed", True, 1100, "connection refused")
    assert (second.outcome, second.acted, second.resumed, second.change) == ("pending", False, 1, CHANGED.change)
    assert record.pending() == (second,)
    assert parse(line("breaker", 5, reason="budget")).breaker == "budget"
    after = parse(text + line("breaker", 5, reason="x") + line("ack", 3000) + attempt_line(REBOOT))
    assert (after.acknowledged, after.breaker, after.pending(), after.since(0)) == (3000, None, (REBOOT,), (REBOOT,))
    assert [one.acknowledged for one in after.attempts] == [True, True, False]


def test_the_first_judgement_counts() -> None:
    text = attempt_line(FIRST) + "".join(line("outcome", 9, id=FIRST.id, outcome=one) for one in ("healed", "failed"))
    assert parse(text).attempts[0].outcome == "healed"


def test_a_line_that_was_cut_off_announced_nothing_that_was_done() -> None:
    text = attempt_line(FIRST)
    for length in range(len(text)):
        assert parse(text[:length]) == Record()
        assert whole_lines(text + text[:length]) == text
    assert parse(text).attempts == (FIRST,)


@pytest.mark.parametrize(
    "bad",
    [
        "nonsense\n",
        "{}\n",
        "[]\n",
        "\n",
        line("outcome", 1, id="never:made:1", outcome="healed"),
        line("party", 1),
        attempt_line(FIRST) + line("outcome", 1, id=FIRST.id, outcome="better"),
        json.dumps({"schema": SCHEMA + 1, "event": "ack", "at": 1}) + "\n",
        json.dumps({"schema": 1, "event": "attempt", "at": 1, "rung": "reboot"}) + "\n",
        json.dumps({"schema": 1, "event": "attempt", "at": 1, "rung": "reboot", "key": "x", "new": 1}) + "\n",
        json.dumps({"schema": 1, "event": "attempt", "at": 1, "rung": "pray", "key": "x"}) + "\n",
    ],
)
def test_what_makes_no_sense_is_no_empty_record(bad: str) -> None:
    with pytest.raises(Failure) as caught:
        parse(bad)
    assert caught.value.exit_code == 6 and "attempts.jsonl" in str(caught.value.remedy)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        record = parse(text)
    except Failure as failure:
        assert failure.remedy
    else:
        assert record == Record() or whole_lines(text)


def test_tags_remember_what_the_vm_may_not_survive() -> None:
    tags = [
        "linode-coder",
        "lc:gen:1",
        to_tag(REBOOT).upper(),
        *bad_gpu_tags(["GPU-5f0e7d3a-0000-1111-2222-333344445555"]),
    ]
    assert all(3 <= len(tag) <= 50 for tag in tags)
    assert [tag for tag in tags if is_healing_tag(tag)] == tags[2:]
    assert from_tags(tags) == (REBOOT,)
    assert bad_gpus(tags) == {"gpu-5f0e7d3a-0000-1111-2222-333344445555"}
    both = parse(attempt_line(REBOOT) + attempt_line(FIRST)).with_tags(tags)
    assert both.attempts == (FIRST, REBOOT)
    assert parse(attempt_line(FIRST)).with_tags(tags).attempts == (FIRST, REBOOT)
    assert parse(line("ack", 4000)).with_tags(tags).attempts == ()
    assert parse("").with_tags(["lc-breaker:open"]).breaker
    assert parse("").with_tags(["LC-Breaker:Open"]).breaker
    assert parse("").with_tags(tags).breaker is None
    assert parse(line("breaker", 5, reason="budget")).with_tags(["lc-breaker:open"]).breaker == "budget"


def test_the_short_form_of_a_fingerprint_stays_what_it_is() -> None:
    """It lies in tags and files of sessions that other versions made."""
    assert key_of("vllm.health|engine|") == "2f64ba5a"
    assert REBOOT.id == "reboot:2f64ba5a:3000:a1b2"
    assert REBOOT.as_dict()["id"] == REBOOT.id and REBOOT.as_dict()["rung"] == "reboot"


@pytest.mark.parametrize(
    "tag",
    [
        "linode-coder",
        REBOOT.id,  # without what makes it ours
        "xx-heal:" + REBOOT.id,
        "lc-heal:reboot",
        "lc-heal:reboot:0:3000:",
        "lc-heal:" + REBOOT.id + ":more",
    ],
)
def test_other_tags_are_no_attempts(tag: str) -> None:
    assert from_tags([tag]) == ()


@pytest.mark.parametrize(
    ("tag", "attempt", "healing"),
    [
        (to_tag(REBOOT), True, True),
        ("LC-HEAL:anything", True, True),
        ("lc-breaker:open", True, True),
        ("lc-bad:gpu-1", False, True),
        ("LC-Bad:gpu-1", False, True),
        ("lc:gen:1", False, False),
        ("linode-coder", False, False),
    ],
)
def test_what_an_acknowledgement_forgets(tag: str, attempt: bool, healing: bool) -> None:
    assert (is_attempt_tag(tag), is_healing_tag(tag)) == (attempt, healing)


def test_cards_that_were_given_up_for_survive_a_second_replacement() -> None:
    assert bad_gpu_tags(["GPU-B", "gpu-a"]) == ["lc-bad:gpu-b", "lc-bad:gpu-a"]
    assert bad_gpus(["LC-BAD:GPU-b", "lc-bad:gpu-a", "lc-heal:x", "gpu-c"]) == {"gpu-a", "gpu-b"}


def test_what_counts_and_since_when() -> None:
    record = Record((FIRST, CHANGED, REBOOT))
    assert record.since(1000) == (FIRST, CHANGED, REBOOT)
    assert record.since(1001) == (CHANGED, REBOOT)
    for changes in ({"outcome": "cancelled"}, {"acknowledged": True}):
        assert Record((replace(FIRST, **changes), REBOOT)).since(0) == (REBOOT,)  # type: ignore[arg-type]
        assert Record((replace(FIRST, **changes), REBOOT)).pending() == (REBOOT,)  # type: ignore[arg-type]
    assert (
        Record((replace(FIRST, outcome="failed"),)).since(0)
        and not Record((replace(FIRST, outcome="failed"),)).pending()
    )


def test_what_was_acknowledged_in_the_same_second_is_forgotten() -> None:
    tags = [to_tag(REBOOT)]
    assert [len(parse(line("ack", at)).with_tags(tags).attempts) for at in (2999, 3000, 3001)] == [1, 0, 0]


def test_when_an_attempt_was_begun_is_when_somebody_last_set_about_it() -> None:
    assert (FIRST.began, replace(FIRST, resumed_at=1500).began, replace(FIRST, resumed_at=0).began) == (1000, 1500, 0)
    text = attempt_line(FIRST) + line("resumed", 1500, id=FIRST.id) + line("resumed", 1600, id=FIRST.id)
    (twice,) = parse(text + line("acted", 1650, id=FIRST.id)).attempts
    assert (twice.resumed, twice.resumed_at, twice.acted_at, twice.began) == (2, 1600, 1650, 1600)


def test_the_line_that_cannot_be_read_is_named() -> None:
    with pytest.raises(Failure, match="Line 2 of"):
        parse(attempt_line(FIRST) + "nonsense\n")
    with pytest.raises(Failure, match="a newer version wrote it"):
        parse(json.dumps({"schema": SCHEMA + 1, "event": "ack", "at": 1}) + "\n")


def test_a_rung_of_another_version_in_a_tag_is_no_attempt() -> None:
    assert Attempt.from_id("pray:1a2b3c4d:1800000000:9f3c") is None
    assert Record().with_tags(["lc-heal:pray:1a2b3c4d:1800000000:9f3c"]) == Record()
