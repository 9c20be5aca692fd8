"""reboot, shutdown and poweroff of the sandbox: really done, by the server."""

from __future__ import annotations

import json
import socket
import sys

CONTROL = "/run/sandbox/init.sock"


def tell_server(message: dict[str, str]) -> str | None:
    """Ask the sandbox's server; its complaint, or None when it was done."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(10)
        sock.connect(CONTROL)
        sock.sendall(json.dumps(message).encode())
        answer = json.loads(sock.makefile().readline() or "{}")
    error = answer.get("error")
    return None if error is None else str(error)


def main(arguments: list[str]) -> int:
    kind, rest = arguments[0], arguments[1:]
    if kind == "shutdown":
        reboot = "-r" in rest or "--reboot" in rest
        times = [word for word in rest if not word.startswith("-")]
        if times[:1] not in ([], ["now"], ["+0"]):
            print("the sandbox's shutdown knows now only", file=sys.stderr)
            return 1
        kind = "reboot" if reboot else "poweroff"
    complaint = tell_server({"op": kind})
    if complaint:
        print(complaint, file=sys.stderr)
    return 1 if complaint else 0
