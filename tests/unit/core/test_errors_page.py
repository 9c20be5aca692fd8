# SPDX-License-Identifier: GPL-3.0-or-later
"""The page about errors has every kind, under the anchor that messages name, with its exit code and what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import EXIT_CODES, Failure

PAGE = (Path(__file__).parents[3] / "collections/ansible_collections/linode_coder/gpu/docs/errors.md").read_text()


@pytest.mark.parametrize("kind", EXIT_CODES)
def test_every_kind_has_its_section(kind: str) -> None:
    anchor = Failure(kind, "x").anchor
    _before, _, section = PAGE.partition(f'<a id="{anchor}"></a>\n')
    section = section.partition("<a id=")[0]
    assert section.startswith(f"## {kind}\n\nExit code {EXIT_CODES[kind]}. ")
    assert "\nDo: " in section
    assert re.search(rf"^\| {EXIT_CODES[kind]} \|.*\[{kind}\]\(#{anchor}\)", PAGE, re.MULTILINE)


def test_no_section_is_left_over() -> None:
    assert re.findall(r"^## (\w+)$", PAGE, re.MULTILINE) == list(EXIT_CODES)
