"""What interrupts a command."""

from __future__ import annotations


class Terminated(KeyboardInterrupt):
    """SIGTERM: handled like Ctrl-C, but the exit code is 143."""
