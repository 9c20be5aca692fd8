# SPDX-License-Identifier: GPL-3.0-or-later
"""A name that is not known is answered with what it may have been meant to be."""

from __future__ import annotations

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.did_you_mean import did_you_mean, nearest

KNOWN = {"status": 1, "stats": 2, "state": 3, "static": 4, "down": 5}


def test_the_likeliest_comes_first_and_no_more_than_asked_for() -> None:
    assert nearest("status", KNOWN)[0] == "status"
    assert [len(nearest("statu", KNOWN, at_most=number)) for number in (1, 2, 3)] == [1, 2, 3]
    assert nearest("statu", KNOWN, at_most=1) == ["status"]


def test_what_is_not_much_alike_is_not_meant() -> None:
    assert nearest("wizard", KNOWN) == []
    assert nearest("stat", KNOWN, cutoff=1.0) == []
    assert nearest("", KNOWN) == [] and nearest("status", []) == []


@pytest.mark.parametrize(
    ("likely", "sentence"),
    [
        ([], "See them all."),
        (["a"], "Did you mean a?"),
        (["a", "b"], "Did you mean a or b?"),
        (["a", "b", "c"], "Did you mean a, b or c?"),
    ],
)
def test_the_question_is_one_sentence(likely: list[str], sentence: str) -> None:
    assert did_you_mean(likely, "See them all.") == sentence
