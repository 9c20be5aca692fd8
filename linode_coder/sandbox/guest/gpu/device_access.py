"""Whether this process may use the GPUs' devices, on a host or in a container that has such devices."""

from __future__ import annotations

import errno
import os
from pathlib import Path

_NOT_LOADED = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA "
    "driver is installed and running.\n"
)


def refusal() -> tuple[str, int] | None:
    """What nvidia-smi prints and its exit code when it cannot reach the driver; None when it can.

    The nodes are real and their driver is not: opening one fails with ENXIO where the device cgroup lets it through.
    """
    if not Path("/etc/sandbox/devices").exists():
        return None
    nodes = sorted(Path("/dev").glob("nvidia[0-9c]*"))
    if not nodes:
        return _NOT_LOADED, 9
    for node in nodes:
        try:
            os.close(os.open(node, os.O_RDWR))
        except OSError as error:
            if error.errno == errno.EPERM:
                return "Failed to initialize NVML: Unknown Error", 255
            if error.errno != errno.ENXIO:
                raise
    return None
