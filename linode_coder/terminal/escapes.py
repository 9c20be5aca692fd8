"""How a text looks on a terminal: what would steer it, hide or turn its letters around is shown as the escape it is.

Texts come from the API, VMs, the hub and files. The streams pass all that is written through `visible`; whoever puts a text
into a line or a cell of a table calls `one_line` before, since only the writer knows which line breaks are meant.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.visible import one_line, visible

from .width import ellipsis

__all__ = ["cells", "cut", "full_line", "last_line", "one_line", "paragraph", "visible", "width"]

# A longer cell would push the columns after it off every screen; after the last one are none.
CELL, LAST_CELL = 100, 300
# Of a longer line, and of an error of more lines, the rest is in the JSON and in the log.
_LINE, _LINES = 2000, 20


def width(text: str) -> int:
    """Columns that a visible text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.category(char) in ("Mn", "Me") else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def cut(text: str, columns: int) -> str:
    """As much of a visible text as fits, with its end marked when there is more."""
    # Marks that take no column are no way to be endless.
    if len(text) <= 2 * columns and width(text) <= columns:
        return text
    end = ellipsis()
    kept, used = [], 0
    for char in text[: 2 * columns]:
        used += width(char)
        if used > columns - len(end):
            break
        kept.append(char)
    return "".join(kept) + end


def full_line(text: str) -> str:
    """One line of a result or of progress."""
    return cut(one_line(text), _LINE)


def cells(row: Sequence[str]) -> list[str]:
    """A row of a table: one line each, and of a length that leaves room for the others."""
    last = len(row) - 1
    return [cut(one_line(cell), CELL if place < last else LAST_CELL) for place, cell in enumerate(row)]


def last_line(text: str) -> str:
    """The last line with something in it, which is where programs say why they failed."""
    return next((part.strip() for part in reversed(text.splitlines()) if part.strip()), "")


def paragraph(text: str) -> str:
    """A text of several lines in which no line can be taken for one of ours: those after the first are indented."""
    parts = text.strip("\r\n").split("\n")
    more = [f"{ellipsis()} ({len(parts) - _LINES} more lines)"] if len(parts) > _LINES else []
    return "\n  ".join([*(full_line(part.rstrip("\r")) for part in parts[:_LINES]), *more])
