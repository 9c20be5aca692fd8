"""Our own pages as plain lines for a terminal. They are Markdown of the few forms that the pages have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby, pairwise

from .escapes import CELL, width
from .line import plain as seen
from .table import Column, table
from .wrap import wrap

_LINK = re.compile(r"!?\[([^\]\[]*)\]\(([^()\s]+)\)")
_STRONG = re.compile(r"\*\*(.+?)\*\*")
_UNSHOWN = re.compile(r"<a id=\"[^\"]*\"></a>|<!--(?:(?!<!--|-->).)*-->", re.DOTALL)
_ITEM = re.compile(r"(\s*)([*-]|\d+\.) ")


def _link(found: re.Match[str]) -> str:
    text, target = found[1], found[2]
    return f"{text} ({target})" if "://" in target and target not in text else text


def _inline(text: str) -> str:
    return _STRONG.sub(r"\1", _LINK.sub(_link, text))


def _wrapped(text: str, columns: int, first: str = "", rest: str = "") -> list[str]:
    return wrap(first + _inline(" ".join(text.split())), max(columns, 20), len(rest))


def _cells(line: str) -> list[str]:
    parts = re.split(r"(?<!\\)\|", line.strip().strip("|"))
    return [_inline(part.strip().replace("\\|", "|")) for part in parts]


def _table(lines: list[str], columns: int) -> list[str]:
    """As a table where it fits; otherwise each row as a block that names its cells."""
    header, *rows = [_cells(line) for line in lines if not re.fullmatch(r"[\s|:-]+", line)]
    drawn = [seen(line) for line in table([Column(name) for name in header], rows, None).lines]
    cut = any(width(cell) > CELL for row in rows for cell in row)
    if not cut and max(map(width, drawn)) <= columns:
        return drawn
    shown: list[str] = []
    for first, *cells in rows:
        shown += _wrapped(first, columns)
        for name, cell in zip(header[1:], cells, strict=False):
            if cell:
                shown += _wrapped(f"{name}: {cell}", columns, "  ", "    ")
    return shown


def _blocks(text: str) -> Iterator[list[str]]:
    """Parts of the page between empty lines; a block of commands may hold some and stays whole."""
    parts = [list(group) for empty, group in groupby(text.splitlines(), lambda line: not line.strip()) if not empty]
    whole: list[str] = []
    for part in parts:
        if whole and whole[0].startswith("    ") and part[0].startswith("    "):
            whole += ["", *part]
            continue
        if whole:
            yield whole
        whole = part
    if whole:
        yield whole


def _block(lines: list[str], columns: int) -> list[str]:
    head = re.match(r"(#+) (.*)", lines[0])
    if head:
        title = _inline(head[2])
        under = [("=" if head[1] == "#" else "-") * width(title)] if len(head[1]) < 3 else []
        return [title, *under, *(["", *_block(lines[1:], columns)] if lines[1:] else [])]
    if lines[0].startswith("    "):
        return lines
    if lines[0].startswith("|"):
        return _table(lines, columns)
    shown: list[str] = []
    # A paragraph, and the items of a list, which begin with their mark and go on in the lines after it.
    starts = [0, *(place for place, line in enumerate(lines) if place and _ITEM.match(line)), len(lines)]
    for begin, end in pairwise(starts):
        item = _ITEM.match(lines[begin])
        mark = item[0] if item else ""
        shown += _wrapped(" ".join(lines[begin:end])[len(mark) :], columns, mark, " " * len(mark))
    return shown


def plain(text: str, columns: int) -> list[str]:
    """Lines of at most ``columns``, but for commands and words that are longer."""
    shown: list[str] = []
    for block in _blocks(_UNSHOWN.sub("", text)):
        shown += ["", *_block(block, columns)] if shown else _block(block, columns)
    return shown


def links(text: str) -> list[str]:
    """Targets of its links, each once."""
    return list(dict.fromkeys(target for _text, target in _LINK.findall(text)))


def slug(heading: str) -> str:
    """The anchor of a heading, as code hosts make it."""
    return re.sub(r"[^\w\- ]", "", _inline(heading).strip().lower()).replace(" ", "-")
