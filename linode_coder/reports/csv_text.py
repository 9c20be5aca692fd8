"""A table as CSV, of which a spreadsheet computes nothing."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from ..terminal.escapes import one_line

# What begins a formula somewhere; a cell of text that begins so gets an apostrophe before it.
_FORMULA = ("=", "+", "-", "@")


def cell(value: object) -> object:
    """Numbers as they are, nothing for None, and of texts one line each that is no formula."""
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    text = one_line(str(value))
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


def csv_text(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    kept = io.StringIO()
    writer = csv.writer(kept, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows([cell(value) for value in row] for row in rows)
    return kept.getvalue()
