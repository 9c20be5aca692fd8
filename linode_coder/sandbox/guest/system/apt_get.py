"""apt-get of the sandbox: installing the driver brings nvidia-smi, everything else only leaves a note."""

from __future__ import annotations

import sys
from pathlib import Path

from ..faults import active

INSTALLED = Path("/var/lib/sandbox/packages")


def main(arguments: list[str]) -> int:
    words = [argument for argument in arguments if not argument.startswith("-")]
    if active("apt_fails"):
        print("E: Failed to fetch http://archive.ubuntu.com/ubuntu  Connection failed", file=sys.stderr)
        return 100
    if words[:1] == ["update"]:
        return 0
    if words[:1] != ["install"]:
        print(f"the sandbox's apt-get knows update and install, not: {' '.join(arguments)}", file=sys.stderr)
        return 100
    if "python3-apt" in words:
        print(
            "E: Unable to locate package python3-apt. Simulated hosts cannot install packages from repositories; docker hosts can.",
            file=sys.stderr,
        )
        return 100
    INSTALLED.mkdir(parents=True, exist_ok=True)
    for package in words[1:]:
        (INSTALLED / package).touch()
        if package.startswith("nvidia-driver-"):
            tool = Path("/usr/bin/nvidia-smi")
            tool.write_text(Path("/usr/bin/systemctl").read_text().replace("system.systemctl", "gpu.nvidia_smi"))
            tool.chmod(0o755)
        print(f"Setting up {package} ...")
    return 0
