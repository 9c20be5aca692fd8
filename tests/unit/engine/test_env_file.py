# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.env_file import env_line, value_in

from tests.hostile import CORPUS, canary


@pytest.mark.parametrize("text", [*CORPUS.values(), *canary("x").values()])
def test_a_value_is_one_line_or_refused(text: str) -> None:
    """A second line would be one more variable of the container, such as where its packages come from."""
    try:
        line = env_line("MODEL", text)
    except Failure as failure:
        assert failure.kind == "usage"
        assert not text.isprintable()
    else:
        assert line == f"MODEL={text}\n"
        assert line.splitlines() == [f"MODEL={text}"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("B=2\nA=1\n", "1"),
        ("# A=0\nA = no\nA=  1 \r\nA=2", "1"),
        ("A=", ""),
        ("A=1=2==", "1=2=="),
        ("AA=1\n=1\nA\n", None),
        ("", None),
    ],
)
def test_the_value_of_a_variable(text: str, value: str | None) -> None:
    assert value_in(text, "A") == value


def test_the_first_variable_that_there_is() -> None:
    assert value_in("# the key\n\nB=2\nA=1\n") == "2"
    assert value_in("nothing of the kind") is None


@pytest.mark.parametrize("text", CORPUS.values())
def test_what_was_written_is_read_again(text: str) -> None:
    if text.isprintable():
        assert value_in(env_line("A", text), "A") == text.strip()


@pytest.mark.parametrize("name", ["", "A=B", "A\nB", "1A", "A B", "#A", "export A"])
def test_a_name_is_a_name(name: str) -> None:
    with pytest.raises(Failure, match="environment of a container"):
        env_line(name, "x")
