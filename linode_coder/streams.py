"""stdout and stderr that a command outlives: a reader that goes away, or a disk that is full, stops no work half way."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any, TextIO

_lost: list[OSError] = []


class _Outlived(io.FileIO):
    """A descriptor that goes nowhere from its first failed write on."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            _lost.append(error)
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), self.fileno())
            return memoryview(data).nbytes


def _outlived(stream: TextIO) -> TextIO:
    assert isinstance(stream, io.TextIOWrapper)
    raw = _Outlived(stream.fileno(), "w", closefd=False)
    # As Python makes them: without a buffer when PYTHONUNBUFFERED says so, by lines at a terminal.
    return io.TextIOWrapper(
        raw if stream.write_through else io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def outlive() -> None:
    """Make the streams of this process so. One that is closed stays closed."""
    if sys.stdout is not None:
        sys.stdout = _outlived(sys.stdout)
    if sys.stderr is not None:
        sys.stderr = _outlived(sys.stderr)


def lost() -> OSError | None:
    """Why nobody reads any more what is written, which is nothing to go on for where writing is all there is to do."""
    return _lost[0] if _lost else None
