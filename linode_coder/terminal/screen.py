"""The terminal's second screen, for what is drawn again and again: the first one comes back as it was."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from types import FrameType, TracebackType
from typing import Any, Self

from .escapes import cut, one_line, width
from .line import Line, Span, plain
from .streams import control, paint
from .width import columns, ellipsis

# What draws a picture for so many columns.
Draw = Callable[[int], Sequence[Line]]


def possible() -> bool:
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


class Screen:
    def __init__(self) -> None:
        self._draw: Draw = lambda _columns: []
        self._warning = ""
        self._resized = False
        self._before: Any = None

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGWINCH, self._resize)
        self._write("\x1b[?1049h\x1b[?25l")
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGWINCH, self._before)
        self._write("\x1b[?25h\x1b[?1049l")

    def _resize(self, _number: int, _frame: FrameType | None) -> None:
        self._resized = True

    def show(self, draw: Draw) -> None:
        """A new picture."""
        self._draw, self._warning = draw, ""
        self._paint()

    def warn(self, text: str) -> None:
        """Below the picture that is there."""
        self._warning = text
        self._paint()

    def wait(self, seconds: float) -> None:
        """Until the next picture; one that the window changed under is drawn again at once."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))
            if self._resized:
                self._paint()

    def _paint(self) -> None:
        """Draw over what was there, without a moment in which the screen is empty."""
        self._resized = False
        # Only as much as there is, be it less than any layout is made for.
        size = shutil.get_terminal_size()
        try:
            size = os.get_terminal_size(sys.stdout.fileno())
        except (OSError, ValueError):
            pass
        lines = list(self._draw(columns(sys.stdout) or size.columns))
        if self._warning:
            lines.append((Span(self._warning, "warn"),))
        if len(lines) > size.lines:
            hidden = len(lines) - size.lines + 1
            lines = [*lines[: size.lines - 1], (Span(f"{ellipsis()} {hidden} more lines"),)]
        self._write("\x1b[H", flush=False)
        for number, line in enumerate(lines):
            if number:
                self._write("\r\n", flush=False)
            room = size.columns
            for span in line:
                text = cut(one_line(span.text), room) if room > 0 else ""
                paint(sys.stdout, text, span.state)
                room -= width(text)
            # At the last column there is nothing to clear, and some terminals would clear what was just written.
            if room > 0 or not plain(line):
                self._write("\x1b[K", flush=False)
        self._write("\x1b[J")

    @staticmethod
    def _write(text: str, flush: bool = True) -> None:
        control(sys.stdout, text, flush)
