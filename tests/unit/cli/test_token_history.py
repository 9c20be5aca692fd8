# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens of a month are the most that was seen of each start of an engine, and what nobody saw is unknown."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from linode_coder.local import history, token_history, unrecorded
from linode_coder.local.token_history import Seen


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LINODE_CODER_HOME", str(tmp_path))
    monkeypatch.setattr(unrecorded, "_noted", set())
    monkeypatch.setattr(history, "_locked", False)
    return tmp_path / "state"


# 2026-11-20 12:00 UTC, and ten minutes before November.
NOVEMBER, OCTOBER = 1795176000, 1793490600


def use(generated: Any, prompt: Any = 10, start: Any = 1795170000.25) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "generation_tokens": generated, "process_start": start}


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOVEMBER + 3600.0)


def test_the_most_of_each_start_counts() -> None:
    for generated, start, at in ((100, 1.0, 0), (300, 1.0, 60), (250, 1.0, 30), (40, 2.0, 120), (70, 2.0, 180)):
        token_history.looked(1, use(generated, generated * 2, start), NOVEMBER + at)
    assert token_history.of_month("2026-11") == {1: Seen(2 * 370, 370, NOVEMBER + 180, 2)}
    assert token_history.of_month("2026-10") == {}


def test_what_was_counted_before_the_month_is_not_of_it() -> None:
    token_history.looked(1, use(1000, start=OCTOBER - 100), OCTOBER)
    token_history.looked(1, use(1500, start=OCTOBER - 100), NOVEMBER)
    assert token_history.of_month("2026-10")[1].generated == 1000
    assert token_history.of_month("2026-11")[1].generated == 500


def test_an_engine_that_made_nothing_is_known_to_have_made_nothing() -> None:
    token_history.looked(1, use(0, 0), NOVEMBER)
    assert token_history.of_month("2026-11") == {1: Seen(0, 0, NOVEMBER, 1)}


@pytest.mark.parametrize(
    "said",
    [
        None,
        {},
        use(None),
        use(-1),
        use(True),
        use(float("nan")),
        use(float("inf")),
        use(10**16),
        use("7"),
        {"generation_tokens": 5},
    ],
)
def test_what_is_no_count_is_left_out(said: dict[str, Any] | None) -> None:
    token_history.looked(1, said, NOVEMBER)
    assert token_history.of_month("2026-11") == {}


@pytest.mark.parametrize("at", [0, -5, NOVEMBER + 3 * 86400])
def test_a_look_is_of_its_time(at: int) -> None:
    token_history.looked(1, use(5), at)
    assert token_history.of_month("2026-11") == token_history.of_month("2026-12") == {}


@pytest.mark.parametrize("start", [None, float("nan"), "x", -1.0])
def test_an_engine_without_a_beginning_is_one(start: Any) -> None:
    token_history.looked(1, use(50, start=start), NOVEMBER)
    token_history.looked(1, use(20, start=start))
    assert token_history.of_month("2026-11") == {1: Seen(10, 50, NOVEMBER + 3600, 1)}


def test_a_history_that_cannot_be_written_is_in_nobodys_way(home: Path) -> None:
    home.write_text("in the way")
    token_history.looked(1, use(50), NOVEMBER)
    assert token_history.of_month("2026-11") == {}
