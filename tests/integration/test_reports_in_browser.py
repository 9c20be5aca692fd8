# SPDX-License-Identifier: GPL-3.0-or-later
"""Both reports as a browser shows them: at the widths of a telephone and of a desk, light and dark, asking nobody for anything."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from linode_coder.reports import page
from linode_coder.reports.cost import cost_report
from linode_coder.reports.performance import performance_report
from tests.programs import program
from tests.unit.reports.figures import cost, hostile_run, run
from tools.site.look import look_at, tab_of

WIDTHS = (400, 1200)


@pytest.fixture
def reports(tmp_path: Path) -> list[Path]:
    made = {
        "performance.html": performance_report(run(), [run(id="20261101T070000Z-0001")]),
        "hostile.html": performance_report(hostile_run(), [hostile_run()]),
        "cost.html": cost_report(cost(), 4.0),
        "wide-cost.html": cost_report(cost("a" * 60), None, True),
    }
    for name, html in made.items():
        page.write(tmp_path / name, html)
    return [tmp_path / name for name in made]


def test_they_fit_and_ask_nobody(reports: list[Path], tmp_path: Path) -> None:
    browser = program("chromium-headless-shell")
    kept = Path(os.environ.get("REPORT_PICTURES") or tmp_path)

    async def look() -> list[str]:
        wrong: list[str] = []
        async with tab_of(browser) as tab:
            for path in reports:
                for width in WIDTHS:
                    for dark in (False, True):
                        origin = f"{path.parent.as_uri()}/"
                        wrong += await look_at(tab, origin, path.name, width, kept, dark=dark, shown=True)
                        asked = [
                            event["params"]["request"]["url"]
                            for event in tab.events
                            if event["method"] == "Network.requestWillBeSent"
                        ]
                        wrong += [f"{path.name} asks for {url}" for url in asked if url != path.as_uri()]
                        assert path.as_uri() in asked, "what is asked for was not seen"
        return wrong

    assert asyncio.run(look()) == []


def test_what_is_too_wide_or_asks_is_seen(tmp_path: Path) -> None:
    browser = program("chromium-headless-shell")
    (tmp_path / "bad.html").write_text('<div style="width:3000px">x</div><img src="http://127.0.0.1:9/x.png">')

    async def look() -> list[str]:
        async with tab_of(browser) as tab:
            return await look_at(tab, f"{tmp_path.as_uri()}/", "bad.html", WIDTHS[0], tmp_path)

    said = "\n".join(asyncio.run(look()))
    assert "pixels too wide" in said and "asks for http://127.0.0.1:9/x.png" in said
