# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.env_file import env_line

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


@pytest.mark.parametrize("name", ["", "A=B", "A\nB", "1A", "A B", "#A", "export A"])
def test_a_name_is_a_name(name: str) -> None:
    with pytest.raises(Failure, match="environment of a container"):
        env_line(name, "x")
