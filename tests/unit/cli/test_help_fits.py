# SPDX-License-Identifier: GPL-3.0-or-later
"""Help of every command at three widths: no line is wider, and no word is broken, not at a hyphen either."""

from __future__ import annotations

import re
import sys

import pytest

from linode_coder.cli.app import COMMANDS
from tests.terminal.emulator import COLUMNS, WIDE, compare, drawn, faults, words
from tests.unit.cli.terminal import at_terminal


def help_at(monkeypatch: pytest.MonkeyPatch, columns: int, *command: str) -> list[str]:
    monkeypatch.setattr(sys, "argv", ["linode-coder"])
    said = at_terminal(monkeypatch, *command, "--help", columns=columns)
    assert said.code == 0, said.err
    return drawn(said.out.replace("\n", "\r\n"))


@pytest.mark.parametrize(
    "command", ["", *COMMANDS, "sandbox start", "sandbox fault add", "config show", "watchdog install"]
)
def test_it_fits(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = words(help_at(monkeypatch, WIDE, *command.split()))
    # Of a hyphen at the end of a line the rest would be on the next one.
    assert not {word for word in everything if re.search(r"\w-$", word)}
    found = []
    for columns in COLUMNS:
        lines = help_at(monkeypatch, columns, *command.split())
        found += [f"at {columns}: {fault}" for fault in faults(lines, columns, everything)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("columns", COLUMNS)
def test_it_looks_as_it_did(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = help_at(monkeypatch, columns, "pause")
    compare("help", columns, lines)
