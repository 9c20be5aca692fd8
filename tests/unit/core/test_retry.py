# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a request that failed is let rest: the scale is for our own pauses, never for what the API asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core import retry
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.retry import VARIABLE, pause_s, repeated

ASKED = Failure("rate_limited", "Too many requests.", retry_after=12)
LONG = Failure("rate_limited", "Too many requests.", retry_after=900)
SILENT = Failure("transient", "The API answered 503.")


def test_without_a_scale_it_is_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert pause_s(5.0) == pause_s(5.0, SILENT) == 5.0


def test_a_scale_is_for_our_own_pauses_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "0.1")
    assert pause_s(5.0, SILENT) == pytest.approx(0.5)
    assert pause_s(5.0, ASKED) == 12
    assert (pause_s(5.0, LONG), pause_s(5.0, LONG, at_most=15.0)) == (30.0, 15.0)
    assert pause_s(5.0, Failure("rate_limited", "x", retry_after=0)) == 0


@pytest.mark.parametrize("text", ["fast", "-1", "0", "nan", "inf", "101"])
def test_what_is_no_scale_is_one_sentence(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(Failure) as caught:
        pause_s(1.0)
    assert (caught.value.kind, caught.value.field) == ("config", "retry_scale")
    assert text in caught.value.message and caught.value.remedy


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(retry.time, "sleep", pauses.append)
    return pauses


def failing(*failures: Failure) -> Callable[[], str]:
    """Fails so, one time each, and then does not."""
    left = iter(failures)

    def action() -> str:
        failure = next(left, None)
        if failure is not None:
            raise failure
        return "done"

    return action


def test_it_is_repeated_as_often_as_there_are_pauses(slept: list[float]) -> None:
    assert repeated(failing(SILENT, ASKED, SILENT), ("transient", "rate_limited"), (1.0, 2.0, 3.0)) == "done"
    assert slept == [1.0, 12, 3.0]
    with pytest.raises(Failure) as caught:
        repeated(failing(SILENT, SILENT, LONG, SILENT), ("transient", "rate_limited"), (1.0, 2.0))
    assert caught.value is LONG and slept[3:] == [1.0, 2.0]


def test_what_the_api_asks_for_has_a_limit(slept: list[float]) -> None:
    assert repeated(failing(LONG), ("rate_limited",), (1.0,), at_most=15.0) == "done"
    assert slept == [15.0]


def test_another_failure_is_raised_at_once_and_takes_no_pause(slept: list[float]) -> None:
    asked: list[float] = []

    def pauses() -> Iterator[float]:
        asked.append(1.0)
        yield 1.0

    refused = Failure("auth", "The token is not valid.")
    with pytest.raises(Failure) as caught:
        repeated(failing(refused), ("transient",), pauses())
    assert (caught.value, slept, asked) == (refused, [], [])
