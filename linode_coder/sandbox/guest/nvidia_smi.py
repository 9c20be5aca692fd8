"""nvidia-smi of the sandbox: the plan's cards, and the texts of broken ones."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from device_access import refusal
from faults import active

FIELDS = {
    "index": lambda gpu, driver: str(gpu["index"]),
    "uuid": lambda gpu, driver: gpu["uuid"],
    "gpu_uuid": lambda gpu, driver: gpu["uuid"],
    "name": lambda gpu, driver: gpu["name"],
    "gpu_name": lambda gpu, driver: gpu["name"],
    "driver_version": lambda gpu, driver: driver,
    "compute_cap": lambda gpu, driver: gpu["cc"],
    "memory.total": lambda gpu, driver: f"{gpu['memory_mib']} MiB",
    "memory.used": lambda gpu, driver: "0 MiB",
    "memory.free": lambda gpu, driver: f"{gpu['memory_mib']} MiB",
    "utilization.gpu": lambda gpu, driver: "0 %",
    "temperature.gpu": lambda gpu, driver: "36",
    "persistence_mode": lambda gpu, driver: "Enabled",
    "pstate": lambda gpu, driver: "P8",
}


def main(arguments: list[str]) -> int:
    hardware = json.loads(Path("/etc/sandbox/gpus.json").read_text())
    driver, gpus = hardware["driver"], hardware["gpus"]
    hang = active("hang")
    if hang:
        time.sleep(float(str(hang.get("delay") or 3600)))
    cannot = refusal()
    if cannot is not None:
        print(cannot[0])
        return cannot[1]
    if active("version_mismatch"):
        print("Failed to initialize NVML: Driver/library version mismatch")
        return 18
    if active("no_devices") or not gpus:
        print("No devices were found")
        return 6
    if active("gpu_lost"):
        print(
            f"Unable to determine the device handle for GPU0: {'0000:00:02.0'}: GPU is lost.  Reboot the system to recover this GPU"
        )
        return 15
    if not arguments:
        print(f"NVIDIA-SMI {driver}    Driver Version: {driver}    CUDA Version: 13.0")
        for gpu in gpus:
            print(f"  {gpu['index']}  {gpu['name']}    0MiB / {gpu['memory_mib']}MiB")
        return 0
    if arguments == ["-L"]:
        for gpu in gpus:
            print(f"GPU {gpu['index']}: {gpu['name']} (UUID: {gpu['uuid']})")
        return 0
    options = dict(argument.split("=", 1) for argument in arguments if argument.startswith("--") and "=" in argument)
    if set(options) != {"--query-gpu", "--format"} or len(options) != len(arguments):
        print(
            f"the sandbox's nvidia-smi knows no arguments, -L and --query-gpu with --format, not: {' '.join(arguments)}",
            file=sys.stderr,
        )
        return 2
    style = options["--format"].split(",")
    names = options["--query-gpu"].split(",")
    unknown = [name for name in names if name not in FIELDS]
    if unknown:
        print(f'Field "{unknown[0]}" is not a valid field to query.')
        return 2
    if "noheader" not in style:
        print(", ".join(names))
    for gpu in gpus:
        values = [str(FIELDS[name](gpu, driver)) for name in names]
        if "nounits" in style:
            values = [value.removesuffix(" MiB").removesuffix(" %") for value in values]
        print(", ".join(values))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
