"""nvidia-ctk of the sandbox: writes a CDI specification for the plan's cards, and reads what there is."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ..faults import mend
from ..json_types import Json
from .device_access import refusal

VERSION = "1.20.1"
PLACES = (Path("/etc/cdi"), Path("/var/run/cdi"))
BINDS = Path("/etc/sandbox/binds.json")
STATE = "/run/sandbox"


def specification() -> Json:
    """Devices by index, by UUID and all of them; the mounts are what the driver's libraries are on a real host."""
    hardware = json.loads(Path("/etc/sandbox/gpus.json").read_text())
    extra = json.loads(BINDS.read_text()) if BINDS.exists() else []
    devices = []
    everything = []
    for gpu in hardware["gpus"]:
        nodes = [{"path": f"/dev/nvidia{gpu['index']}"}]
        everything += nodes
        devices += [
            {"name": name, "containerEdits": {"deviceNodes": nodes}} for name in (str(gpu["index"]), gpu["uuid"])
        ]
    devices.append({"name": "all", "containerEdits": {"deviceNodes": everything}})
    mounts = [
        {
            "hostPath": path,
            "containerPath": path,
            "options": ["rw" if path == STATE else "ro", "nosuid", "nodev", "rbind", "rprivate"],
        }
        for path in ("/usr/bin/nvidia-smi", "/etc/sandbox", STATE, *extra)
    ]
    edits = {
        "env": ["NVIDIA_VISIBLE_DEVICES=void", f"NVIDIA_CTK_VERSION={VERSION}"],
        "deviceNodes": [{"path": "/dev/nvidiactl"}],
        "mounts": mounts,
    }
    return {"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": devices, "containerEdits": edits}


def generate(options: list[str]) -> int:
    cannot = refusal()
    if cannot is not None:
        print("ERROR: failed to generate CDI spec: failed to initialize NVML: Driver Not Loaded", file=sys.stderr)
        return 1
    text = json.dumps(specification(), indent=1) + "\n"
    output = next((option.partition("=")[2] for option in options if option.startswith("--output=")), None)
    if output is None:
        sys.stdout.write(text)
        return 0
    path = Path(output)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").replace(path)
    mend("regenerate_cdi")
    return 0


def names() -> int:
    found = []
    for place in PLACES:
        for path in [*place.glob("*.yaml"), *place.glob("*.json")]:
            spec = json.loads(path.read_text())
            found += [f"{spec['kind']}={device['name']}" for device in spec["devices"]]
    print(f"Found {len(found)} CDI devices", file=sys.stderr)
    for name in found:
        print(name)
    return 0


def main(arguments: list[str]) -> int:
    if arguments in (["--version"], ["-v"]):
        print(f"NVIDIA Container Toolkit CLI version {VERSION}")
        return 0
    if arguments[:2] == ["cdi", "generate"]:
        return generate(arguments[2:])
    if arguments[:2] == ["cdi", "list"]:
        return names()
    print(
        f"the sandbox's nvidia-ctk knows --version, cdi generate and cdi list, not: {' '.join(arguments)}",
        file=sys.stderr,
    )
    return 1
