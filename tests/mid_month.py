# SPDX-License-Identifier: GPL-3.0-or-later
"""The clock of tests that count a month's dollars: the middle of this month, since at its end the next hours belong to another."""

from __future__ import annotations

import calendar
import time
from pathlib import Path

import pytest


def _shift() -> int:
    today = time.gmtime()
    return calendar.timegm((today.tm_year, today.tm_mon, 15, 12, 0, 0)) - int(time.time())


def set_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of this process."""
    shift, real = _shift(), time.time
    monkeypatch.setattr(time, "time", lambda: real() + shift)


def set_clock_of_children(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    """Of this process, and of every Python that it starts from then on."""
    directory.mkdir()
    (directory / "sitecustomize.py").write_text(
        f"import time\nreal = time.time\ntime.time = lambda: real() + {_shift()}\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(directory))
    set_clock(monkeypatch)
