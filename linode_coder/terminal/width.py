"""How much room a line has, and which characters can be drawn there."""

from __future__ import annotations

import os
import sys
from typing import TextIO

# Below this nothing is laid out any more; lines are wider than the terminal then.
LEAST = 40


def columns(stream: TextIO | None) -> int | None:
    """Columns of the terminal that ``stream`` writes to, of which COLUMNS is asked first; None where it is no terminal,
    and lines have no end."""
    if stream is None or not stream.isatty():
        return None
    named = os.environ.get("COLUMNS", "")
    if named.isascii() and named.isdigit() and int(named):
        return max(LEAST, int(named[:6]))
    try:
        return max(LEAST, os.get_terminal_size(stream.fileno()).columns or 80)
    except (OSError, ValueError):
        return 80


def unicode(stream: TextIO | None) -> bool:
    """Whether what is written there may go beyond ASCII: by the locale's encoding."""
    return (getattr(stream, "encoding", None) or "").lower().replace("-", "").startswith("utf")


def ellipsis() -> str:
    """What stands where something was cut."""
    return "…" if unicode(sys.stdout or sys.stderr) else "..."
