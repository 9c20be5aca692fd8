"""Lines that are too long for a terminal, broken between words.

No word is ever broken or cut. One that is longer than the terminal is wide, such as the path of a log, stands on a line of its own and
is the only thing that may be wider than the terminal, so that it can be copied whole. So can a command of ours as long as it fits on
one line.
"""

from __future__ import annotations

import re

from .escapes import width

# The command with its arguments, up to where the sentence goes on or ends.
_COMMAND = "linode-coder"
_ENDS = (".", ",", ";", ":", ")", '"', "`")
_LABEL = re.compile(r"( *\S[^ ]*(?: [^ ]+)? {2,})\S")


def hanging(line: str) -> int:
    """Where the text begins behind the label of a line such as ``model     name``: what follows goes below it."""
    label = _LABEL.match(line[:40])
    if label and len(label[1]) <= 16:
        return len(label[1])
    return len(line) - len(line.lstrip(" ")) + 2


def _pieces(text: str, room: int) -> list[str]:
    """Words, and commands with their arguments where they fit on a line."""
    pieces: list[str] = []
    command = False
    for word in text.split(" "):
        if command and word and width(pieces[-1]) + 1 + width(word) <= room:
            pieces[-1] += f" {word}"
        else:
            pieces.append(word)
            command = word.lstrip("('\"`") == _COMMAND
        command = command and not word.endswith(_ENDS)
    return pieces


def wrap(text: str, columns: int | None, indent: int | None = None) -> list[str]:
    """One visible line as several that fit; those after the first begin at ``indent``, by itself below the text behind the
    label. None columns: as it is."""
    if columns is None or (len(text) <= columns and width(text) <= columns):
        return [text]
    indent = min(hanging(text) if indent is None else indent, columns // 3)
    bare = text.lstrip(" ")
    line = " " * min(len(text) - len(bare), indent)
    used, begun = len(line), False
    lines: list[str] = []
    for piece in _pieces(bare, columns - indent):
        needs = width(piece)
        gap = 1 if begun else 0
        if begun and used + gap + needs > columns:
            lines.append(line.rstrip())
            # A word that would fit alone has as much of the indent as it leaves.
            used = min(indent, max(2, columns - needs))
            line, begun, gap = " " * used, False, 0
        line += " " * gap + piece
        used += gap + needs
        begun = begun or bool(piece)
    return [*lines, line.rstrip()]
