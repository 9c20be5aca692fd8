"""A line that is laid out: pieces of text, each with the state that its colour shows beside the word for it."""

from __future__ import annotations

from typing import Literal, NamedTuple

State = Literal["good", "warn", "bad"]


class Span(NamedTuple):
    """``text`` is what is seen of it; a colour is never the only sign of the state."""

    text: str
    state: State | None = None


Line = tuple[Span, ...]
# How the severities of findings are coloured.
STATES: dict[str, State] = {"pass": "good", "warn": "warn", "unknown": "warn", "fail": "bad"}


def plain(line: Line) -> str:
    return "".join(span.text for span in line)
