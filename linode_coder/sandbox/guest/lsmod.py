"""lsmod of docker hosts: the GPU's modules."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import kernel_modules as modules

if __name__ == "__main__":
    print("Module                  Size  Used by")
    names = ["nouveau"] if modules.loaded("nouveau") else ["nvidia_uvm", "nvidia"] if modules.loaded("nvidia") else []
    for name in names:
        print(f"{name:<20} {4194304:>8}  1")
