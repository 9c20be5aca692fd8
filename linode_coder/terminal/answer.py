"""A model's answer as it comes: on stdout, to a program byte for byte, and at a terminal visible like all from outside."""

from __future__ import annotations

from .console import Console
from .streams import program


class Answer:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._thinks = False
        self._last = "\n"

    def part(self, kind: str, text: str) -> None:
        """A part of it. Of reasoning only that it goes on is shown."""
        if kind not in ("content", "text"):
            if not self._thinks:
                self._thinks = True
                if self._console.live:
                    self._console.note("The model thinks; its answer follows.")
            return
        self._last = text[-1]
        if not self._console.as_json:
            program(text)

    def end(self) -> None:
        """What follows begins on a line of its own."""
        if self._last != "\n" and not self._console.as_json:
            program("\n")
