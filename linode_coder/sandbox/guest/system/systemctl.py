"""systemctl of the sandbox: the few units that the roles care for, with state that lasts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ..faults import mend
from ..gpu import nvidia_ctk
from .power import tell_server

STATE = Path("/var/lib/sandbox/units.json")
UNITS = {"ssh": True, "docker": True, "nvidia-persistenced": False, "nvidia-cdi-refresh": False}


def load() -> dict[str, dict[str, bool]]:
    units = {name: {"active": on, "enabled": on} for name, on in UNITS.items()}
    if STATE.exists():
        units |= json.loads(STATE.read_text())
    return units


def shown(name: str, unit: dict[str, bool] | None) -> str:
    """What `systemctl show` says of one unit."""
    if unit is None:
        return f"Id={name}.service\nLoadState=not-found\nActiveState=inactive\nSubState=dead"
    active = "active" if unit["active"] else "inactive"
    sub = "running" if unit["active"] else "dead"
    enabled = "enabled" if unit["enabled"] else "disabled"
    return f"Id={name}.service\nLoadState=loaded\nActiveState={active}\nSubState={sub}\nUnitFileState={enabled}"


def main(arguments: list[str]) -> int:
    words = [argument for argument in arguments if not argument.startswith("-")]
    if not words:
        print("the sandbox's systemctl needs a command", file=sys.stderr)
        return 1
    command, names = words[0], [word.removesuffix(".service") for word in words[1:]]
    units = load()
    if command == "daemon-reload":
        return 0
    for name in names:
        # Units that a role wrote are kept as started or not; nothing runs them.
        if name not in units and any(
            Path("/etc/systemd/system", name + suffix).exists() for suffix in ("", ".service")
        ):
            units[name] = {"active": False, "enabled": False}
    names = ["ssh" if name == "sshd" else name for name in names]
    if command == "show":
        print("\n\n".join(shown(name, units.get(name)) for name in names))
        return 0
    unknown = [name for name in names if name not in units]
    if unknown:
        print(f"Unit {unknown[0]}.service could not be found.", file=sys.stderr)
        return 4
    for name in names:
        unit = units[name]
        if command in ("start", "restart", "reload", "try-restart", "reload-or-restart"):
            unit["active"] = True
            if name == "nvidia-cdi-refresh":
                nvidia_ctk.generate(["--output=/etc/cdi/nvidia.yaml"])
            if name == "nvidia-persistenced" or (name == "docker" and command != "start"):
                mend("restart_services")
            if name == "ssh":
                complaint = tell_server({"op": "ssh", "action": command})
                if complaint:
                    print(f"Job for ssh.service failed: {complaint}", file=sys.stderr)
                    return 1
        elif command == "stop":
            unit["active"] = False
            if name == "ssh":
                tell_server({"op": "ssh", "action": "stop"})
        elif command in ("enable", "disable"):
            unit["enabled"] = command == "enable"
        elif command in ("is-active", "is-enabled"):
            on = unit["active" if command == "is-active" else "enabled"]
            words_for = {"is-active": ("active", "inactive"), "is-enabled": ("enabled", "disabled")}
            print(words_for[command][0 if on else 1])
            return 0 if on else 3
        elif command == "status":
            print(shown(name, unit))
        else:
            print(f"the sandbox's systemctl does not know {command!r}", file=sys.stderr)
            return 1
    STATE.parent.mkdir(parents=True, exist_ok=True)
    STATE.write_text(json.dumps(units))
    return 0
