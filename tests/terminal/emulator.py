# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be seen on a terminal of so many columns after a program wrote to it, and what has to hold of that.

A *broken word* is one that is not said where there is room for everything: the same command on a terminal without an end gives the
words, in which digits are all alike, and on a narrow one each word has to be one of them or has to end in an ellipsis.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

import pexpect
import pyte

COLUMNS = (40, 80, 120)
# Where nothing is wrapped or left out.
WIDE = 2000
SCREENS = Path(__file__).parent / "screens"
_FRAMES = re.compile(r"[─-╿▁-█]+")


def drawn(text: str, columns: int = WIDE, rows: int | None = None) -> list[str]:
    """The lines on a screen of that size, without the empty ones at its end. On a wide one no line is wrapped by the terminal."""
    screen = pyte.Screen(columns, rows or text.count("\n") + 5)
    pyte.Stream(screen).feed(text)
    # Only what was written to: a screen without an end is mostly empty.
    lines = []
    for number in range(screen.lines):
        row = screen.buffer[number]
        lines.append("".join(row[place].data for place in range(max(row, default=-1) + 1)).rstrip())
    while lines and not lines[-1]:
        lines.pop()
    return lines


def words(lines: Iterable[str]) -> set[str]:
    """Its words without frames, and with every number alike."""
    found = " ".join(_FRAMES.sub(" ", line) for line in lines).split()
    return {re.sub(r"\d+", "0", word) for word in found}


def with_note(everything: set[str]) -> set[str]:
    """The same, with those of the line that names the columns which were left out."""
    return everything | {"…", "and", "--wide", "--json"} | {f"{word}{mark}" for word in everything for mark in ",:"}


def faults(lines: list[str], columns: int, everything: set[str]) -> list[str]:
    """What is wrong with the lines of a terminal of so many columns; ``everything`` are the words of the wide one."""
    found = []
    for line in lines:
        # A path or an address that fits on no line is the only thing that may be wider, and stands alone.
        if len(line) > columns and len(line.split()) > 1:
            found.append(f"{len(line)} columns: {line}")
        for word in words([line]) - everything:
            start = word.removesuffix("…")
            if start == word or not any(whole.startswith(start) for whole in everything):
                found.append(f"broken word {word!r}: {line}")
    return found


def compare(name: str, columns: int, lines: list[str]) -> None:
    """With the screen that was kept under this name. ``UPDATE_SCREENS=1`` writes it instead: look at the difference in git."""
    path = SCREENS / f"{name}-{columns}.txt"
    text = "".join(f"{line}\n" for line in lines)
    if os.environ.get("UPDATE_SCREENS"):
        path.write_text(text)
    assert path.is_file(), f"{path.name} is missing: UPDATE_SCREENS=1 writes it"
    assert path.read_text() == text, (
        f"{path.name} is another screen now; when that is meant, UPDATE_SCREENS=1 writes it"
    )


def said(
    program: str, arguments: Iterable[str], environment: dict[str, str], columns: int, answer: str | None = None
) -> str:
    """All that a program writes to a terminal of so many columns until it ends; ``answer`` is that to its question."""
    environment = {**environment, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
    environment.pop("COLUMNS", None)
    child = pexpect.spawn(
        program,
        list(arguments),
        env=environment,  # type: ignore[arg-type]
        cwd="/",
        encoding="utf-8",
        timeout=120,
        dimensions=(60, columns),
    )
    text = ""
    if answer is not None:
        child.expect(r"\[y/N\] ")
        text = f"{child.before}{child.after}"
        child.sendline(answer)
    child.expect(pexpect.EOF)
    child.close()
    return text + str(child.before)
