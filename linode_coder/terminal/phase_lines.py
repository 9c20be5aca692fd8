"""How the phases of a long command look: one line for each that is drawn again and again, and a single one in a small window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from . import line
from .escapes import cut, one_line, width
from .line import Line, Span

State = Literal["waiting", "running", "done", "unchanged", "failed", "interrupted"]

# Below this the lines would be all dots; and two lines have to stay for what stands before and after.
_COLUMNS, _ROWS_LEFT = 30, 2
_FRAMES = "|/-\\"
# No state is told by colour alone: each has its own mark, and those that could be mistaken a word.
_MARKS = {"waiting": ".", "done": "✓", "unchanged": "=", "failed": "x", "interrupted": "!"}
_WORDS = {"unchanged": "nothing to change", "failed": "failed", "interrupted": "interrupted"}
_COLOURS: dict[str, line.State] = {"done": "good", "failed": "bad", "interrupted": "warn"}


@dataclass(frozen=True)
class Row:
    """A phase as it is now. ``parts`` say how far it is, the most important first; ``waits_for`` are titles."""

    title: str
    state: State
    seconds: float | None = None
    parts: tuple[str, ...] = ()
    waits_for: tuple[str, ...] = ()


def took(seconds: float) -> str:
    """A time that has passed or is left: ``9 s``, ``2 min 05 s``."""
    whole = max(0, round(seconds))
    return f"{whole} s" if whole < 100 else f"{whole // 60} min {whole % 60:02} s"


def about(seconds: float) -> str:
    """A time that nobody knows to the second."""
    return took(seconds) if seconds < 100 else f"{round(seconds / 60)} min"


def _fitting(parts: Sequence[str], columns: int) -> str:
    """As many of the parts as find room, the first one in any case."""
    text = ""
    for part in parts:
        longer = f"{text}, {part}" if text else part
        if text and width(longer) > columns:
            break
        text = longer
    return text


def _said(row: Row, columns: int) -> str:
    if row.state == "waiting":
        for text in (f"waits for {', '.join(row.waits_for)}", f"waits for {len(row.waits_for)} others"):
            if row.waits_for and width(text) <= columns:
                return text
        return "comes next"
    parts = row.parts if row.state == "running" else (_WORDS[row.state],) if row.state in _WORDS else ()
    return _fitting([one_line(part) for part in parts], columns)


def fits(count: int, columns: int, rows: int) -> bool:
    """Whether ``count`` lines can be drawn over in a window of this size."""
    return columns >= _COLUMNS and rows >= count + _ROWS_LEFT


def _mark(row: Row, frame: int) -> str:
    return _FRAMES[frame % len(_FRAMES)] if row.state == "running" else _MARKS[row.state]


def lines(rows: Sequence[Row], total: str, columns: int, height: int, frame: int) -> list[Line]:
    """What is drawn now; ``total`` is the text of the last line. None is wider than ``columns`` - 1."""
    if not fits(len(rows) + 1, columns, height):
        return [short_line(rows, columns, frame)]
    titles = max(len(row.title) for row in rows)
    drawn = []
    for row in rows:
        seconds = "" if row.seconds is None else took(row.seconds)
        head = f"{row.title:{titles}}  {seconds:>11}  " if columns >= 60 else f"{row.title:{titles}} {seconds:>8} "
        # Whoever waits has no time: what it waits for may stand there.
        if row.state == "waiting":
            head = f"{row.title:{titles}}  " + (" " * 13 if columns >= 60 else "")
        text = cut(head + _said(row, columns - 3 - width(head)), columns - 3)
        drawn.append((Span(_mark(row, frame), _COLOURS.get(row.state)), Span(f" {text.rstrip()}")))
    return [*drawn, (Span(f"  {cut(one_line(total), columns - 3)}"),)]


def short_line(rows: Sequence[Row], columns: int, frame: int) -> Line:
    """All of it in one line: what runs, or what ended last."""
    row = next((row for row in rows if row.state == "running"), None)
    row = row or next((row for row in reversed(rows) if row.state != "waiting"), rows[0])
    seconds = "" if row.seconds is None else f" {took(row.seconds)}"
    said = _said(row, columns)
    text = cut(f"{row.title}{seconds}{': ' + said if said else ''}", max(1, columns - 3))
    return (Span(_mark(row, frame)), Span(f" {text}"))
