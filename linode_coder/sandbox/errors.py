"""What can keep the sandbox itself from working."""

from __future__ import annotations


class SandboxError(Exception):
    """``message`` says what is wrong, ``remedy`` what to do about it."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
