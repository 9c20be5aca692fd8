"""Tables that fit the terminal: what matters least is left out first, long texts go on below, and what is cut says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import escapes
from .line import Line, Span, State
from .wrap import wrap

_GAP = "  "
# Less room than this for a text of several words, and it goes below its row.
_NARROW = 24
_BELOW = 4
# A cell that is cut to less says nothing.
_STUMP = 8


@dataclass(frozen=True)
class Column:
    """``drop``: the highest is left out first where there is no room, 0 never. ``text``: words, which go on in further lines
    or below the row; one for each table, the last."""

    heading: str
    drop: int = 0
    text: bool = False


@dataclass(frozen=True)
class Table:
    lines: list[Line]
    dropped: list[str]


def _pad(text: str, room: int) -> str:
    return text + " " * (room - escapes.width(text))


def _longest_word(texts: Sequence[str]) -> int:
    return max((escapes.width(word) for text in texts for word in text.split(" ")), default=0)


def table(columns: Sequence[Column], rows: Sequence[Sequence[str | Span]], room: int | None) -> Table:
    """Left-aligned columns below their headings, two spaces apart. ``room`` is that of a line, None without an end."""
    spans = [[cell if isinstance(cell, Span) else Span(cell) for cell in row] for row in rows]
    heading = [column.heading for column in columns]
    texts = [escapes.cells(row) for row in [heading, *([span.text for span in row] for row in spans)]]
    states: list[list[State | None]] = [[None] * len(columns), *([span.state for span in row] for row in spans)]
    widths = [max(escapes.width(row[place]) for row in texts) for place in range(len(columns))]
    shown = list(range(len(columns)))
    below: int | None = None

    def taken() -> int:
        return sum(widths[place] for place in shown) + len(_GAP) * (len(shown) - 1)

    if room is not None:
        last = shown[-1]
        if columns[last].text and taken() > room:
            rest = taken() - widths[last]
            if room - rest >= max(_NARROW, _longest_word([row[last] for row in texts])):
                widths[last] = room - rest
            else:
                below = last
                shown.remove(last)
        if taken() > room:
            wanted = sorted((place for place in shown if columns[place].drop), key=lambda place: columns[place].drop)
            shown = [place for place in shown if place not in wanted]
            # What matters more first; what matters less may still have room where that had none.
            for place in wanted:
                shown = sorted([*shown, place])
                if taken() > room:
                    shown.remove(place)
        while taken() > room:
            widest = max(shown, key=lambda place: widths[place])
            if widths[widest] <= _STUMP:
                break
            widths[widest] = max(_STUMP, widths[widest] - (taken() - room))
    lines: list[Line] = []
    for number, (row, state) in enumerate(zip(texts, states, strict=True)):
        lines += _row(row, state, shown, widths, room)
        if below is not None and number and row[below] not in ("", "-"):
            parts = wrap(" " * _BELOW + row[below], room, _BELOW)
            lines += [(Span(part, state[below]),) for part in parts]
    return Table(lines, [heading[place] for place in range(len(columns)) if place not in shown and place != below])


def _row(
    row: Sequence[str], state: Sequence[State | None], shown: Sequence[int], widths: Sequence[int], room: int | None
) -> list[Line]:
    """One row, and what of its last cell goes on below that."""
    first: list[Span] = []
    start = 0
    more: list[str] = []
    for place in shown:
        text = row[place]
        if place == shown[-1] and room is not None and escapes.width(text) > widths[place]:
            text, *more = wrap(text, max(_STUMP, widths[place]), 0)
        if escapes.width(text) > widths[place]:
            text = escapes.cut(text, widths[place])
        end = place == shown[-1]
        first.append(Span(text, state[place]))
        if not end:
            first.append(Span(_pad(text, widths[place])[len(text) :] + _GAP))
            start += widths[place] + len(_GAP)
    while first and not first[-1].text.strip():
        first.pop()
    last = state[shown[-1]]
    return [tuple(first), *((Span(" " * start), Span(part, last)) for part in more)]
