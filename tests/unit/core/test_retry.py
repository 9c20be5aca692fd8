# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a request that failed is let rest: the scale is for our own pauses, never for what the API asks for."""

from __future__ import annotations

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.retry import VARIABLE, pause_s
from ansible_collections.linode_coder.gpu.plugins.module_utils.linode.reader import read_pause

ASKED = Failure("rate_limited", "Too many requests.", retry_after=12)
LONG = Failure("rate_limited", "Too many requests.", retry_after=900)
SILENT = Failure("transient", "The API answered 503.")


def test_without_a_scale_it_is_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert [read_pause(attempt, SILENT) for attempt in range(3)] == [0.25, 0.5, 1.0]
    assert pause_s(5.0) == 5.0


def test_a_scale_is_for_our_own_pauses_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "0.1")
    assert pause_s(5.0, SILENT) == pytest.approx(0.5)
    assert (pause_s(5.0, ASKED), read_pause(0, ASKED)) == (12, 12)
    assert (pause_s(5.0, LONG), pause_s(5.0, LONG, at_most=15.0)) == (30.0, 15.0)
    assert pause_s(5.0, Failure("rate_limited", "x", retry_after=0)) == 0


@pytest.mark.parametrize("text", ["fast", "-1", "0", "nan", "inf", "101"])
def test_what_is_no_scale_is_one_sentence(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(Failure) as caught:
        pause_s(1.0)
    assert (caught.value.kind, caught.value.field) == ("config", "retry_scale")
    assert text in caught.value.message and caught.value.remedy
