# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a command line in this process as at a terminal, and tell what came out that we did not write."""

from __future__ import annotations

import os
import pty
import re
import sys
import termios
import threading
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from linode_coder.cli import app
from linode_coder.terminal import streams

# What the console and the screen write themselves: clear the line, go up to draw over a block, colours, the second screen.
OURS = re.compile(r"\r\x1b\[2K|\r(?:\x1b\[\d+A)?|\x1b\[(?:3[1-3]|0)m|\x1b\[\?(?:1049|25)[hl]|\x1b\[[HJK]")


@dataclass
class Said:
    code: int
    out: str
    err: str


# Written behind all that was said: what is still on its way when a terminal is closed may be lost.
_END = b"\0\0\0"


class _Pty:
    """One stream's terminal, read while it is written to."""

    def __init__(self, columns: int) -> None:
        self._reading, self._writing = pty.openpty()
        mode = termios.tcgetattr(self._writing)
        mode[1] &= ~termios.OPOST  # a line feed stays one
        termios.tcsetattr(self._writing, termios.TCSANOW, mode)
        termios.tcsetwinsize(self._writing, (40, columns))
        self.stream = os.fdopen(os.dup(self._writing), "w", encoding="utf-8")
        self._parts: list[bytes] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while not b"".join(self._parts[-3:]).endswith(_END):
            self._parts.append(os.read(self._reading, 65536))

    def said(self) -> str:
        sys.stdout.flush()
        sys.stderr.flush()
        self.stream.close()
        os.write(self._writing, _END)
        self._thread.join(10)
        assert not self._thread.is_alive(), "the terminal was not read to its end"
        os.close(self._writing)
        os.close(self._reading)
        return b"".join(self._parts).removesuffix(_END).decode("utf-8", "surrogateescape")


# Nothing that is said is longer, so that each line is one.
WIDE = 5000


def at_terminal(monkeypatch: pytest.MonkeyPatch, *arguments: str, columns: int = WIDE) -> Said:
    """What a command says on a terminal with colours."""
    return shown_by(monkeypatch, lambda: app.run([*arguments]), columns)


def shown_by(monkeypatch: pytest.MonkeyPatch, work: Callable[[], int], columns: int = WIDE) -> Said:
    out, err = _Pty(columns), _Pty(columns)
    with monkeypatch.context() as patch:
        patch.setenv("TERM", "xterm")
        patch.delenv("NO_COLOR", raising=False)
        patch.setenv("COLUMNS", str(columns))
        patch.setattr(sys, "stdout", streams._outlived(out.stream))
        patch.setattr(sys, "stderr", streams._outlived(err.stream))
        code = work()
        return Said(code, out.said(), err.said())


def foreign(text: str) -> str:
    """The characters that a terminal would obey, hide or turn around, and that are not ours."""
    rest = OURS.sub("", text)
    return "".join(
        char for char in rest if char not in "\n\t" and unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    )
