"""What interrupts a command."""

from __future__ import annotations


class Terminated(BaseException):
    """SIGTERM: handled like Ctrl-C, but the exit code is 143. No KeyboardInterrupt, which Typer turns into 130."""
