"""The terminal's second screen, for what is drawn again and again: the first one comes back as it was."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from .escapes import cut, one_line
from .streams import control


def possible() -> bool:
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


class Screen:
    def __enter__(self) -> Self:
        self._write("\x1b[?1049h\x1b[?25l")
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._write("\x1b[?25h\x1b[?1049l")

    def show(self, lines: Sequence[str]) -> None:
        """Draw over what was there, without a moment in which the screen is empty."""
        size = shutil.get_terminal_size()
        shown = [cut(one_line(line), size.columns) + "\x1b[K" for line in lines[: size.lines]]
        self._write("\x1b[H" + "\r\n".join(shown) + "\x1b[J")

    @staticmethod
    def _write(text: str) -> None:
        control(sys.stdout, text)
