"""Holds a port that it was given until the fault `port_taken` is cleared: some other program, to the engine."""

from __future__ import annotations

import time

from ..faults import active


def main(_arguments: list[str]) -> int:
    while active("port_taken"):
        time.sleep(0.1)
    return 0
