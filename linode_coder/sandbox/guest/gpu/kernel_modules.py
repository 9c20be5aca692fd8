"""Which GPU modules the kernel of a docker host has loaded: nouveau, or NVIDIA's with its device nodes."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

LOADED = Path("/run/sandbox-modules")
INSTALLED = Path("/usr/lib/sandbox-modules/nvidia.ko")
_MAJOR = 195
_CONTROL = 255


def loaded(name: str) -> bool:
    return (LOADED / name).exists()


def gpus() -> int:
    return len(json.loads(Path("/etc/sandbox/gpus.json").read_text())["gpus"])


def load_nouveau() -> None:
    LOADED.mkdir(exist_ok=True)
    (LOADED / "nouveau").touch()


def load_nvidia() -> None:
    """The version that is loaded stays until the next boot, whatever is installed meanwhile."""
    LOADED.mkdir(exist_ok=True)
    (LOADED / "nvidia").write_text(INSTALLED.read_text())
    numbers = {f"nvidia{number}": number for number in range(gpus())} | {"nvidiactl": _CONTROL}
    for name, minor in numbers.items():
        path = Path("/dev", name)
        if not path.exists():
            os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(_MAJOR, minor))
            path.chmod(0o666)


def nouveau_blocked() -> bool:
    places = (Path("/etc/modprobe.d"), Path("/usr/lib/modprobe.d"), Path("/lib/modprobe.d"))
    lines = (
        line.split() for place in places for file in place.glob("*.conf") for line in file.read_text().splitlines()
    )
    return ["blacklist", "nouveau"] in lines
