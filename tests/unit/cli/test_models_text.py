# SPDX-License-Identifier: GPL-3.0-or-later
"""What `models` shows is written for people: no value as Python has it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.catalogue import packaged

from linode_coder.cli.models import coding, flag


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (True, "--trust-remote-code"),
        (False, "--no-trust-remote-code"),
        ({"method": "mtp"}, '--trust-remote-code {"method": "mtp"}'),
        (4, "--trust-remote-code 4"),
    ],
)
def test_a_flag_is_as_on_the_command_line(value: Any, shown: str) -> None:
    assert flag("trust-remote-code", value) == shown


def test_a_mark_for_coding_has_a_source_and_says_when_it_is_not_certain() -> None:
    marked = {model.id: coding(model) for model in packaged() if model.coding}
    assert {"devstral-small-2-24b", "qwen3-coder-30b-a3b", "gpt-oss-20b"} <= set(marked)
    for model in packaged():
        assert (model.coding is None) == ("coding" not in model.sources)
        assert coding(model).endswith("?") == ("coding" in model.uncertain)
