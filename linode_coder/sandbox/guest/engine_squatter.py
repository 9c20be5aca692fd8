"""Holds a port that it was given until the fault `port_taken` is cleared: some other program, to the engine."""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from faults import active

if __name__ == "__main__":
    while active("port_taken"):
        time.sleep(0.1)
