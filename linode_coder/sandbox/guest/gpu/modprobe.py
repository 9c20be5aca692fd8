"""modprobe of docker hosts, for the GPU's modules: a card that nouveau holds is free for NVIDIA's after a reboot only."""

from __future__ import annotations

import os
import sys

from . import kernel_modules as modules

_OURS = ("nvidia", "nvidia_uvm", "nvidia-uvm", "nouveau")


def boot() -> int:
    if modules.gpus() == 0:
        return 0
    if not modules.nouveau_blocked():
        modules.load_nouveau()
    elif modules.INSTALLED.exists():
        modules.load_nvidia()
    return 0


def main(arguments: list[str]) -> int:
    if arguments == ["--boot"]:
        return boot()
    names = [argument for argument in arguments if not argument.startswith("-")]
    if names[:1] and names[0] not in _OURS:
        os.execv("/usr/sbin/modprobe", ["modprobe", *arguments])
    name = names[0].replace("-", "_") if names else ""
    if "-r" in arguments or "--remove" in arguments:
        if modules.loaded(name):
            print(f"modprobe: FATAL: Module {name} is in use.", file=sys.stderr)
            return 1
        return 0
    if name == "nouveau" or modules.loaded("nvidia"):
        return 0
    if not modules.INSTALLED.exists():
        print(
            f"modprobe: FATAL: Module {name} not found in directory /lib/modules/{os.uname().release}", file=sys.stderr
        )
        return 1
    if modules.loaded("nouveau") or modules.gpus() == 0:
        print(f"modprobe: ERROR: could not insert '{name}': No such device", file=sys.stderr)
        return 1
    modules.load_nvidia()
    return 0
