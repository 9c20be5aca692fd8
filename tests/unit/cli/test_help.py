# SPDX-License-Identifier: GPL-3.0-or-later
"""What `--help` says: every command in one group, one notation, and examples that can be typed."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import typer

from linode_coder.cli.app import COMMANDS, app
from linode_coder.cli.help import EXAMPLES, PANELS

ROOT: Any = typer.main.get_command(app)
CONTEXT = typer.Context(ROOT, info_name="linode-coder")


def test_every_command_is_in_one_group() -> None:
    assert sorted(name for names in PANELS.values() for name in names) == sorted(COMMANDS)


def commands() -> list[tuple[str, Any]]:
    """All of them by their paths, those below others too."""
    found = []
    for name in COMMANDS:
        command = ROOT.get_command(CONTEXT, name)
        found.append((name, command))
        for below, inner in getattr(command, "commands", {}).items():
            found.append((f"{name} {below}", inner))
            found += [(f"{name} {below} {last}", leaf) for last, leaf in getattr(inner, "commands", {}).items()]
    return found


def help_of(path: str, command: Any, width: int) -> str:
    context = typer.Context(command, info_name=path.rpartition(" ")[2], parent=CONTEXT, terminal_width=width)
    return str(command.get_help(context))


@pytest.mark.parametrize("name", COMMANDS)
def test_three_examples_that_can_be_typed(name: str) -> None:
    assert len(EXAMPLES.get(name, ())) >= 3
    for example in EXAMPLES[name]:
        words = shlex.split(example.partition("  #")[0].partition(" < ")[0])
        while words[0].startswith("-"):
            assert words.pop(0) in ("-q", "-v")
        command: Any = ROOT
        context: Any = CONTEXT
        assert words[0] == name
        while getattr(command, "commands", None) is not None or command is ROOT:
            below = command.get_command(context, words[0]) if words and not words[0].startswith("-") else None
            if below is None:
                break
            command, words = below, words[1:]
            context = typer.Context(command, info_name=name, parent=CONTEXT)
        # UsageError for an option that there is not, or a value that is none.
        command.parse_args(typer.Context(command, info_name=name, parent=CONTEXT), list(words))


def test_one_notation_for_values() -> None:
    for path, command in commands():
        text = help_of(path, command, 100)
        assert not re.search(r"<\w+( range)?>|\{\w+\}", text.replace("{id}", "")), path
    assert help_of("down", ROOT.get_command(CONTEXT, "down"), 80).startswith(
        "Usage: linode-coder down [OPTIONS] [NAME]\n"
    )
    switch = help_of("switch-model", ROOT.get_command(CONTEXT, "switch-model"), 80)
    assert switch.startswith("Usage: linode-coder switch-model [OPTIONS] [NAME] MODEL\n")


@pytest.mark.parametrize("width", [40, 80, 120])
def test_it_fits_the_terminal(width: int) -> None:
    for path, command in commands():
        lines = help_of(path, command, width).partition("\nExamples:")[0].splitlines()
        # A word is not cut, a command neither.
        long = [line for line in lines if len(line) > width and "linode-coder" not in line and " " in line.strip()]
        assert [line for line in long if len(line) > width + 30] == [], path


def test_examples_are_shown() -> None:
    assert "Examples:\n    linode-coder up demo --lease 4h\n" in help_of("up", ROOT.get_command(CONTEXT, "up"), 80)


# What changes something elsewhere than on this machine. `ssh`, `ask` and `chat` do what they are told there.
CHANGING = ("up", "down", "extend", "pause", "switch-model", "heal", "cleanup", "watchdog")


@pytest.mark.parametrize("name", CHANGING)
def test_what_spends_deletes_or_changes_can_be_rehearsed(name: str) -> None:
    command: Any = ROOT.get_command(CONTEXT, name)
    assert any("--dry-run" in parameter.opts for parameter in command.params)
