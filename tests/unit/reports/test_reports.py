# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands on the pages, that all of it is text, and that nothing of them leaves the reader's machine."""

from __future__ import annotations

import errno
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import parse_time
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure

from linode_coder.local.token_history import Seen
from linode_coder.reports import page, plots
from linode_coder.reports.account import Cost
from linode_coder.reports.bill import make_bill, parse_month
from linode_coder.reports.cost import cost_report
from linode_coder.reports.performance import dollars_per_million, ecdf, performance_report
from tests.hostile import CORPUS
from tests.unit.reports.figures import HOSTILE, NOW, cost, hostile_run, level, record, run


class Read(HTMLParser):
    """Elements with their attributes, and all text outside of the style."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self._inside = tag
        self.elements.append((tag, {key: value or "" for key, value in attrs}))

    def handle_data(self, data: str) -> None:
        if self._inside != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def plain() -> str:
    return performance_report(run(), [run(id="before")])


def test_dollars_for_a_million_tokens() -> None:
    # An hour of 100 tokens a second is 360 000 tokens.
    assert dollars_per_million(0.36, 100.0) == pytest.approx(1.0)
    assert dollars_per_million(0.52, 47.0) == pytest.approx(3.0733, abs=1e-4)
    assert [dollars_per_million(*each) for each in ((None, 1.0), (0.5, None), (0.5, 0.0), (0.0, 5.0))] == [None] * 4


def test_a_distribution_is_thinned_out_and_keeps_its_ends() -> None:
    assert ecdf([3.0, 1.0, 2.0, 2.0]) == ([1.0, 2.0, 2.0, 3.0], [0.25, 0.5, 0.75, 1.0])
    values, shares = ecdf([float(n) for n in range(2000)], 100)
    assert (len(values), values[0], values[-1], shares[-1]) == (100, 0.0, 1999.0, 1.0)
    assert ecdf([]) == ([], [])


def test_the_verdict_comes_first_and_every_figure_is_there(plain: str) -> None:
    text = Read(plain).text
    order = [
        text.index(words)
        for words in ("Slower than expected.", "GPU 1 was throttled", "By load", "Other runs", "before")
    ]
    assert order == sorted(order)
    for words in (
        "$3.07",
        "$0.21",
        "max-model-len",
        "32768",
        "vLLM 0.25.1",
        "sw_power_cap) in 1 of 60",
        "through the tunnel",
    ):
        assert words in text
    # The idle hour beside it: 0.52 dollars are 2.52 million tokens at 32 streams.
    assert "2.52 million tokens at that load" in text
    assert "partial" not in text and "sandbox" not in text


def test_the_real_use_of_the_month_stands_beside_the_load() -> None:
    view = {
        **{
            "name": "demo",
            "label": "lc-demo-1",
            "linode_id": 7,
            "owner": "eve",
            "model": "m",
            "plan": "p",
            "region": "r",
        },
        **{"created": "2026-11-20T08:30:00Z", "hourly": 0.52},
    }
    seen = {7: Seen(10, 1_040_000, NOW, 1)}
    month = make_bill(parse_month("2026-11", NOW), NOW, [view], idle={7: 2 * 3600}, tokens=seen)
    html = performance_report(run(), [], month)
    assert (
        "Really used in 2026-11 so far: 1.0 million tokens generated, $2.00 a million, with all 4 started hours."
        in html
    )
    assert "2 of them, $1.04, began after the engine" in html
    unknown = make_bill(parse_month("2026-11", NOW), NOW, [view])
    assert "What its tokens cost in 2026-11 is unknown" in performance_report(run(), [], unknown)


def test_the_cost_report_says_what_tokens_cost() -> None:
    end = parse_time("2026-11-10T14:30:00Z")
    tokens = {1: Seen(9, 1_300_000, end, 1), 2: Seen(9, 2_600_000, end - 3600, 1)}
    bill = make_bill(
        parse_month("2026-11", NOW), NOW, [], [record("a", 1), record("b", 2), record("c", 3)], [], "E", tokens=tokens
    )
    html = cost_report(Cost(bill))
    assert "3.9 million tokens generated at least, $1.33 a million at most; of 1 VM(s) it is unknown" in html
    assert all(f">{cell}<" in html for cell in ("1,300,000", "$2.00", "&gt;= 2,600,000", "&lt;= $1.00"))


def test_what_is_missing_leaves_no_hole() -> None:
    bare = run(
        levels=[],
        gpu_samples=[],
        price_hour=None,
        engine=None,
        flags={},
        sandbox=True,
        complete=False,
        why_partial=None,
    )
    text = Read(performance_report(bare, [])).text
    assert "stand-in" in text and "This run is partial" in text and "price of this VM is not known" in text
    failed = level(
        4,
        None,
        ttft=None,
        itl=None,
        e2e=None,
        stream_tps=None,
        requests_ps=None,
        samples={},
        engine={},
        generator_lag=None,
    )
    assert "unknown" in Read(performance_report(run(levels=[failed]), [])).text


def test_the_same_figures_are_the_same_page(plain: str) -> None:
    assert performance_report(run(), [run(id="before")]) == plain


def test_pictures_share_no_id_and_take_the_colour_of_the_page(plain: str) -> None:
    read = Read(plain)
    ids = [attributes["id"] for _tag, attributes in read.elements if "id" in attributes]
    assert len(ids) > 100 and len(ids) == len(set(ids))
    used = re.findall(r'(?:href="|url\()#([^")]+)', plain)
    assert len(used) > 50 and set(used) <= set(ids)
    assert "currentColor" in plain and "#010203" not in plain and "#000000" not in plain
    assert len([tag for tag, _attributes in read.elements if tag == "svg"]) == 12


@pytest.mark.parametrize(
    "html", [performance_report(hostile_run(), [hostile_run()]), cost_report(cost(HOSTILE), 2.0, True)]
)
def test_hostile_names_are_text_and_nothing_asks_anybody(html: str) -> None:
    read = Read(html)
    tags = {tag for tag, _attributes in read.elements}
    assert not tags & {"script", "img", "link", "iframe", "object", "base", "form", "image", "a", "foreignobject"}
    for _tag, attributes in read.elements:
        assert not [
            key for key in attributes if key.startswith("on") or key in ("src", "srcset", "action", "xmlns", "poster")
        ]
        assert attributes.get("href", "#").startswith("#")
        assert all("#" in part[:2] for value in attributes.values() for part in value.split("url(")[1:])
    assert "@import" not in html and "url(" not in html.partition("<style>")[2].partition("</style>")[0]
    policy = [each["content"] for tag, each in read.elements if each.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    assert "<script>alert(1)</script>" in read.text and not set("\x1b\x00\u202e") & set(html)


@pytest.mark.parametrize("name", CORPUS)
def test_any_text_can_stand_on_a_page(name: str) -> None:
    text = CORPUS[name]
    inside = Read(page.page(text, [page.paragraph(text), page.table((text,), [(text,)]), page.verdict(text, text)]))
    allowed = {
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "h1",
        "p",
        "div",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "strong",
    }
    assert {tag for tag, _attributes in inside.elements} == allowed


def test_any_text_can_stand_in_a_picture() -> None:
    rows = [(text, 1.0) for text in CORPUS.values()]
    svg = Read(str(plots.bars("x", CORPUS["jinja expression"], rows, "dollars")))
    assert {tag for tag, _attributes in svg.elements} <= {
        "svg",
        "g",
        "path",
        "text",
        "defs",
        "use",
        "clippath",
        "rect",
        "tspan",
    }
    assert svg.text.count(plots.label("plain words")) == 0 and "7 * 6" in svg.text


def test_the_money_of_a_month() -> None:
    text = Read(cost_report(cost(), 4.0)).text
    for words in ("over budget", "$5.20 of a budget of $4.00", "A note.", "$0.52 more on the invoice", "Total", "2 h"):
        assert words in text
    assert "sandbox" not in text and "sandbox" in Read(cost_report(cost(), None, True)).text


def test_a_report_goes_to_a_file_or_says_why_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a report.html"
    page.write(path, "<p>one")
    page.write(path, "<p>two")
    assert path.read_text() == "<p>two"
    with pytest.raises(Failure, match="there is no directory"):
        page.write(tmp_path / "none" / "x.html", "")
    with pytest.raises(Failure, match="it is a directory"):
        page.check(tmp_path)

    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Failure, match="No space left") as caught:
        page.write(path, "<p>three")
    assert "Free some space" in str(caught.value.remedy)
    assert path.read_text() == "<p>two" and [each.name for each in tmp_path.iterdir()] == [path.name]


def test_without_matplotlib_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(Failure) as caught:
        performance_report(run(), [])
    assert caught.value.kind == "config" and "pip install 'linode-coder[report]'" in str(caught.value.remedy)
