"""Help that fits the terminal from 40 columns on, and breaks no word: Typer's own is never narrower than 50, and breaks at hyphens."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from typer._click import HelpFormatter
from typer._click.core import Command, Context

from ..terminal.escapes import width
from ..terminal.width import columns
from ..terminal.wrap import wrap

# Longer lines are hard to read.
_MOST = 80


class FittingHelp(HelpFormatter):
    def __init__(self, indent_increment: int = 2, width: int | None = None, max_width: int | None = None) -> None:
        room = min(columns(sys.stdout) or _MOST, max_width or _MOST)
        super().__init__(indent_increment, width or room, max_width)

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        begin = "Usage: " if prefix is None else prefix
        self._lines(wrap(f"{begin}{prog} {args}".rstrip(), self.width, len(begin)))

    def write_text(self, text: str) -> None:
        indent = " " * self.current_indent
        for number, part in enumerate(re.split(r"\n[ \t]*\n", text.strip("\n"))):
            if number:
                self.write("\n")
            lines = part.splitlines()
            # Click's mark of what is laid out already.
            if lines and lines[0].strip() == "\b":
                paragraphs = [indent + line.rstrip() for line in lines[1:]]
            else:
                paragraphs = [indent + " ".join(part.split())]
            for paragraph in paragraphs:
                begins = len(paragraph) - len(paragraph.lstrip())
                self._lines(wrap(paragraph, self.width, begins))

    def write_dl(self, rows: Sequence[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        rows = list(rows)
        longest = max((width(first) for first, _second in rows), default=0)
        begins = self.current_indent + min(longest, col_max) + col_spacing
        if begins > self.width // 2:
            begins = self.current_indent + 4
        for first, second in rows:
            lines = wrap(" " * self.current_indent + first, self.width, self.current_indent + 2)
            parts = wrap(" ".join(second.split()), self.width - begins, 0) if second else []
            if parts and len(lines) == 1 and width(lines[0]) + col_spacing <= begins:
                lines[0] += " " * (begins - width(lines[0])) + parts.pop(0)
            self._lines([*lines, *(" " * begins + part for part in parts)])

    def _lines(self, lines: Sequence[str]) -> None:
        self.write("".join(f"{line}\n" for line in lines))


def _whole_sentence(command: Command, limit: int = 0) -> str:
    """What a list of commands says of one: not cut to what fits on a line, since it goes on in the next."""
    return _short_help(command, 1000)


_short_help = Command.get_short_help_str


def install() -> None:
    """For every command: Typer asks its contexts for what formats their help."""
    Context.formatter_class = FittingHelp
    Command.get_short_help_str = _whole_sentence  # type: ignore[method-assign, assignment]
