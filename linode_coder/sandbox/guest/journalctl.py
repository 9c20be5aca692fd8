"""journalctl of the sandbox: the kernel's lines that faults put there."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from faults import active


def main() -> int:
    fault = active("xid")
    if fault:
        print(f"kernel: NVRM: Xid (PCI:0000:00:02): {fault.get('code', 79)}, pid=0, name=, GPU has fallen off the bus.")
    else:
        print("-- No entries --")
    return 0


if __name__ == "__main__":
    sys.exit(main())
