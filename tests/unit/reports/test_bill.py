# SPDX-License-Identifier: GPL-3.0-or-later
"""What is counted for a month, from which source, and what is said of the rest."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import parse_time
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure

from linode_coder.local.token_history import Seen
from linode_coder.reports.bill import Bill, differences, invoiced, make_bill, parse_month
from linode_coder.reports.csv_text import csv_text
from tests.unit.reports.figures import NOW, record

NOVEMBER = parse_month("2026-11", NOW)


def bill(**given: Any) -> Bill:
    return make_bill(**{"month": NOVEMBER, "now": NOW, "views": [], "account": "E", **given})


def view(name: str, created: str, hourly: float | None = 0.52) -> dict[str, Any]:
    return {
        **{"name": name, "label": f"lc-{name}-1", "linode_id": 7, "owner": "eve", "model": "m", "plan": "p"},
        **{"region": "r", "created": created, "hourly": hourly},
    }


def event(action: str, number: int, at: str, label: str = "lc-theirs-1") -> dict[str, Any]:
    return {
        "action": action,
        "status": "finished",
        "created": at,
        "entity": {"type": "linode", "id": number, "label": label},
    }


def test_what_exists_counts_up_to_now() -> None:
    (row,) = bill(views=[view("demo", "2026-11-20T08:30:00Z")], idle={7: 2 * 3600}).rows
    assert (row.hours, row.cost, row.ended, row.saved, row.known_from) == (4, 2.08, None, None, "tags")
    # The last token came at 10:00, in the second hour: the third and the fourth were for nothing.
    assert row.idle_hours == 2


def test_tokens_have_a_price_with_all_hours_or_are_unknown() -> None:
    end = parse_time("2026-11-10T14:30:00Z")
    tokens = {1: Seen(9_000_000, 1_300_000, end - 30, 1), 2: Seen(5, 0, end, 1), 3: Seen(5, 2_600_000, end - 600, 1)}
    records = [record(f"s{number}", number) for number in range(1, 5)]
    found = bill(records=records, tokens=tokens)
    rows = {row.name: row for row in found.rows}
    assert (rows["s1"].generated_tokens, rows["s1"].dollars_per_million, rows["s1"].tokens_at_least) == (
        1_300_000,
        2.0,
        False,
    )
    # Nothing was made, which has no price; of the last nothing is known, which is not nothing.
    assert (rows["s2"].generated_tokens, rows["s2"].dollars_per_million) == (0, None)
    assert rows["s3"].tokens_at_least is True and rows["s3"].dollars_per_million == 1.0
    assert (rows["s4"].generated_tokens, rows["s4"].dollars_per_million, rows["s4"].tokens_at) == (None, None, None)
    use = found.use
    assert use is not None and (use.generated, use.dollars, use.unknown) == (3_900_000, 7.8, 1)
    assert use.sentence() == "3.9 million tokens generated at least, $2.00 a million at most; of 1 VM(s) it is unknown"
    assert bill(records=records).use is None
    idle = bill(records=records[1:2], tokens=tokens).use
    assert idle is not None and idle.sentence() == "0 tokens generated for $2.60"
    # Several starts: what the first one made at its end, nobody saw.
    several = bill(records=records[:1], tokens={1: Seen(1, 1_000_000, end, 2)}).rows[0]
    assert several.tokens_at_least is True


def test_an_hour_is_of_the_month_in_which_it_began() -> None:
    across = record("demo", 1, created="2026-10-31T22:30:00Z", ended="2026-11-01T01:10:00Z")
    (november,) = bill(records=[across]).rows
    (october,) = bill(records=[across], month=parse_month("2026-10", NOW)).rows
    assert (october.hours, november.hours) == (2, 1)
    assert bill(records=[across], month=parse_month("2026-09", NOW)).rows == ()
    assert bill(records=[record("later", 1)], month=parse_month("2026-10", NOW)).rows == ()


def test_deletion_saved_what_would_have_run_on_until_now() -> None:
    found = bill(records=[record("demo", 1, idle_s=7200.0)])
    # 242 hours lie between the beginning and now; 5 of them are paid.
    assert (found.total, found.saved) == (2.6, round((242 - 5) * 0.52, 4))
    assert found.rows[0].idle_hours == 2 and found.idle_hours == 2
    assert bill(records=[record("demo", 1)]).idle_hours is None
    past = make_bill(NOVEMBER, parse_time("2027-01-05T00:00:00Z"), [], [record("demo", 1)], [], "E")
    assert past.saved == round((20 * 24 + 14 - 5) * 0.52, 4), "to the end of the month and no further"


def test_the_events_say_when_it_ended_and_the_difference_is_named() -> None:
    found = bill(records=[record("demo", 1)], events=[event("linode_delete", 1, "2026-11-10T16:10:00")])
    assert (found.rows[0].hours, found.rows[0].cost) == (7, 3.64)
    assert "7 h count, not 5 h" in found.doubts[0]
    same = bill(records=[record("demo", 1)], events=[event("linode_delete", 1, "2026-11-10T14:31:00")])
    assert same.doubts == ()


def test_what_is_not_known_is_said_and_not_guessed() -> None:
    events = [event("linode_create", 9, "2026-11-02T10:00:00"), event("linode_delete", 9, "2026-11-02T12:30:00")]
    found = bill(events=[*events, event("linode_delete", 8, "2026-11-03T00:00:00", "lc-old-2")])
    (row,) = found.rows
    assert (row.name, row.hours, row.cost, row.owner, row.known_from, found.total) == (
        "theirs",
        3,
        None,
        None,
        "events",
        0,
    )
    assert "its price is unknown" in found.doubts[0] and "lc-old-2" in found.doubts[1]
    lost = bill(records=[record("demo", 1, ended=None)])
    assert lost.rows == () and "nobody knows since when" in lost.doubts[0]
    unpriced = bill(views=[view("demo", "2026-11-20T08:30:00Z", None)])
    assert unpriced.rows[0].cost is None and "not in the total" in unpriced.doubts[0]


def test_another_account_is_another_bill() -> None:
    records = [record("mine", 1), record("theirs", 2, account="F"), record("seen", 3, account=None)]
    assert {row.name for row in bill(records=records).rows} == {"mine", "seen"}
    assert len(bill(records=records, account=None).rows) == 3
    # What exists is counted by its tags, whatever is remembered of it.
    assert len(bill(records=[record("demo", 7)], views=[view("demo", "2026-11-20T08:30:00Z")]).rows) == 1


def test_the_invoice_is_compared_by_session() -> None:
    ours = bill(records=[record("demo", 1), record("demo", 2), record("gone", 3), record("cheap", 4)])
    items = [
        {"label": "Dedicated GPU - lc-demo-1 (1)", "quantity": 5, "amount": 2.6},
        {"label": "Dedicated GPU - lc-demo-2 (2)", "quantity": 6, "amount": 3.12},
        {"label": "Dedicated GPU - lc-cheap-1 (4)", "quantity": 5, "amount": 2.604},
        {"label": "lc-else-1", "quantity": 1, "amount": 0.52},
        {"label": "Nanode 1GB - lc- web (5)", "quantity": 700, "amount": 5.0},
        {"label": None, "quantity": None, "amount": None},
    ]
    billed = invoiced(items)
    assert billed == {"demo": (11, 5.72), "cheap": (5, 2.604), "else": (1, 0.52)}
    assert differences(ours, billed) == [
        "demo: the invoice has 11 h for $5.72, 10 h for $5.20 here: $0.52 more on the invoice.",
        "gone: 5 h, $2.60 here, and nothing on the invoice.",
        "else: 1 h for $0.52 on the invoice, and unknown here.",
    ]


@pytest.mark.parametrize("text", ["2026-13", "2026-1", "november", "2026-11-01", "", "２０２６-11", "2026-12"])
def test_a_month_is_a_month_that_has_begun(text: str) -> None:
    with pytest.raises(Failure) as caught:
        parse_month(text, NOW)
    assert (caught.value.kind, caught.value.field) == ("usage", "month") and "--month 2026-11" in str(
        caught.value.remedy
    )


def test_a_spreadsheet_computes_nothing() -> None:
    hostile = ["=1+1", "+1", "-1", "@x", " =1", "a\nb", 'c,"d', "\x1b[31m", "plain"]
    lines = csv_text(["a"], [[each] for each in hostile]).splitlines()
    assert lines[1:6] == ["'=1+1", "'+1", "'-1", "'@x", "' =1"]
    assert len(lines) == 1 + len(hostile) and "\x1b" not in "".join(lines) and lines[-1] == "plain"
    assert csv_text(["a", "b", "c"], [[None, -1.5, 3]]) == "a,b,c\n,-1.5,3\n"
