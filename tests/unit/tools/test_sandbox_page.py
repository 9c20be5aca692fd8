# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of stand-ins and their judges: a row for each stand-in, and commands and tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "collections/ansible_collections/linode_coder/gpu/docs/sandbox.md"
SANDBOX = ROOT / "linode_coder/sandbox"
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.read_text().splitlines()
    if line.startswith("|")
][2:]
# A target runs the tests below these.
RUNS = {
    "unit": "tests/unit/",
    "integration": "tests/integration/",
    "test-slow": "tests/slow/",
    "test-docker": "tests/docker_hosts/",
    "test-engine": "tests/engine/",
    "test-foreign": "tools/foreign_sdk.py",
    "test-clients": "tools/clients.py",
}


def test_every_stand_in_has_a_row() -> None:
    named = {path for cells in ROWS for path in re.findall(r"`(linode_coder/sandbox/[\w/.]+)`", cells[0])}
    guest = {path for path in (SANDBOX / "guest").iterdir() if path.is_dir() and path.name != "__pycache__"}
    played = {SANDBOX / "api", *guest, SANDBOX / "hosts/played_repositories.py"}
    assert named == {str(path.relative_to(ROOT)) for path in played}


@pytest.mark.parametrize("cells", ROWS, ids=[f"{cells[0]}, {cells[1]}" for cells in ROWS])
def test_a_row_names_its_judge_its_command_and_what_differs(cells: list[str]) -> None:
    _stand_in, judge, comparison, difference = cells
    assert judge and difference
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    steps = re.findall(r"`make ([\w-]+)`:((?: `[\w/.]+`,?)+)", comparison)
    assert steps
    for target, files in steps:
        assert target in targets
        for file in re.findall(r"`([\w/.]+)`", files):
            assert (ROOT / file).exists() and file.startswith(RUNS[target]), file


def test_files_that_it_names_are_there() -> None:
    text = PAGE.read_text()
    named = re.findall(r"`((?:linode_coder|tests|tools)/[\w/.]+)`", text)
    assert [path for path in named if not (ROOT / path).exists()] == []
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text)]
    assert [link for link in links if not (PAGE.parent / link).exists()] == []
