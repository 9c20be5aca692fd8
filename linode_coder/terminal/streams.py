"""stdout and stderr as a command writes to them: what comes from outside is shown and never obeyed by the terminal, and a
reader that goes away, or a disk that is full, stops no work half way."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, TextIO

from .escapes import one_line, visible
from .line import Line, State

_COLOURS = {"good": "32", "warn": "33", "bad": "31"}
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


class _Shown(io.TextIOWrapper):
    """All that is written, visible."""

    def write(self, text: str, /) -> int:
        super().write(visible(text))
        return len(text)


def control(stream: TextIO, sequence: str, flush: bool = True) -> None:
    """Write a control sequence of ours, the only way to write one."""
    if isinstance(stream, _Shown):
        io.TextIOWrapper.write(stream, sequence)
    else:
        stream.write(sequence)
    if flush:
        stream.flush()


def coloured(stream: TextIO) -> bool:
    """Whether colours are wanted there: at a terminal that has them, unless NO_COLOR says no."""
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb" and not os.environ.get("NO_COLOR")


def paint(stream: TextIO, text: str, state: State | None) -> None:
    """Write a text in the colour of a state, where colours are wanted."""
    if state is None or not text.strip() or not coloured(stream):
        stream.write(text)
        return
    control(stream, f"\x1b[{_COLOURS[state]}m", flush=False)
    stream.write(text)
    control(stream, "\x1b[0m", flush=False)


def painted(stream: TextIO, line: Line) -> str:
    """A line as `control` writes it to ``stream``: its spans in the colours of their states, where colours are wanted."""
    colours = coloured(stream)
    return "".join(
        f"\x1b[{_COLOURS[span.state]}m{one_line(span.text)}\x1b[0m" if span.state and colours else one_line(span.text)
        for span in line
    )


def program(text: str) -> None:
    """Write to stdout: to a file or a program every byte as it is, and at a terminal visible."""
    if sys.stdout is None:
        return
    if sys.stdout.isatty():
        sys.stdout.write(text)
    else:
        sys.stdout.buffer.write(text.encode("utf-8", "replace"))
    sys.stdout.flush()


def _outlived(stream: TextIO) -> TextIO:
    assert isinstance(stream, io.TextIOWrapper)
    raw = _Outlived(stream.fileno(), "w", closefd=False)
    # As Python makes them: without a buffer when PYTHONUNBUFFERED says so, by lines at a terminal.
    return _Shown(
        raw if stream.write_through else io.BufferedWriter(raw),
        encoding=stream.encoding,
        # What the terminal cannot write is no reason to stop.
        errors="backslashreplace",
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


def _lines(pipe: IO[bytes]) -> Iterator[str]:
    """What a program says, line by line: only a line feed ends one."""
    yield from (line.removesuffix("\n") for line in io.TextIOWrapper(pipe, "utf-8", "replace", newline="\n"))


def relay(command: list[str], show: Callable[[str], None] | None) -> int:
    """Run a program and hand each line of its output to ``show``, or all of it to stdout as it is where that is None.

    What it says on stderr is shown on ours, like all that comes from outside. It is ended when nobody reads us any more, and
    when we are. Returns its exit code.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=None if show is None else subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None

    def complain(pipe: IO[bytes]) -> None:
        for line in _lines(pipe):
            print(line.removesuffix("\r"), file=sys.stderr, flush=True)

    complaints = threading.Thread(target=complain, args=(process.stderr,), daemon=True)
    complaints.start()
    try:
        if show is not None and process.stdout is not None:
            for line in _lines(process.stdout):
                show(line)
                if lost():
                    process.terminate()
                    process.wait()
                    return 0
        code = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    complaints.join(5)
    return code
