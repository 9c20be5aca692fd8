"""stdout and stderr that a command outlives: a reader that goes away, or a disk that is full, stops no work half way."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any, TextIO

_lost: list[OSError] = []


class _Outlived(io.FileIO):
    """A file descriptor that discards everything after its first failed write."""

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
    """Replace stdout and stderr of this process. One that is closed stays closed."""
    if sys.stdout is not None:
        sys.stdout = _outlived(sys.stdout)
    if sys.stderr is not None:
        sys.stderr = _outlived(sys.stderr)


def lost() -> OSError | None:
    """The first write that failed, or None. A command that only follows something ends then."""
    return _lost[0] if _lost else None
