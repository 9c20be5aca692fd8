"""The SSH tunnel from a stable local port to the engine on the VM's loopback."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import zlib
from pathlib import Path
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.host_key import from_openssh, ssh_options, ssh_port
from ansible_collections.linode_coder.gpu.plugins.module_utils.paths import runtime_dir, session_dir, ssh_key_path

from . import unrecorded

FIRST_PORT, PORTS = 18000, 1000
ENGINE_PORT = 8000


def control_socket(name: str) -> Path:
    directory = runtime_dir()
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in (directory, directory.parent):
        if path.stat().st_uid != os.getuid():
            raise Failure(
                "config", f"{path} belongs to somebody else.", remedy="Set XDG_RUNTIME_DIR to a directory of yours."
            )
    return directory / f"{name}.sock"


def ssh_command(view: dict[str, Any], *options: str) -> list[str]:
    keys = [from_openssh(key) for key in view["host_keys"]]
    return [
        "ssh",
        "-i",
        str(ssh_key_path()),
        "-p",
        str(ssh_port()),
        *ssh_options(keys),
        *options,
        f"root@{view['address']}",
    ]


def _record(name: str) -> Path:
    return session_dir(name) / "tunnel.json"


def _recorded(name: str) -> tuple[int, int] | None:
    """Port and Linode of the tunnel; None when none is recorded, or the record is damaged: it is written anew then."""
    try:
        record = json.loads(_record(name).read_text())
        port, linode_id = int(record["port"]), int(record["linode_id"])
    except (OSError, ValueError, LookupError, TypeError, OverflowError, RecursionError):
        return None
    return (port, linode_id) if 0 < port < 65536 else None


def local_port(name: str) -> int | None:
    recorded = _recorded(name)
    return recorded[0] if recorded else None


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _choose(name: str) -> int:
    """The recorded port, else one that the name decides, else the next free one."""
    recorded = local_port(name)
    start = zlib.crc32(name.encode()) % PORTS
    for port in [*([recorded] if recorded else []), *(FIRST_PORT + (start + i) % PORTS for i in range(PORTS))]:
        if _free(port):
            return port
    raise Failure("config", "No local port from 18000 to 18999 is free.", remedy="Close what listens there.")


def healthy(port: int) -> bool:
    """Whether the engine answers through the tunnel."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def served_model(view: dict[str, Any], port: int, key_file: Path) -> dict[str, Any]:
    """The first of the models that the engine names, as it describes it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
    try:
        connection.request("GET", "/v1/models", headers={"Authorization": f"Bearer {key_file.read_text().strip()}"})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status == 200:
            return dict(json.loads(body)["data"][0])
        cause = f"status {answer.status}"
    except (OSError, http.client.HTTPException, ValueError, LookupError) as error:
        cause = str(error) or type(error).__name__
    finally:
        connection.close()
    raise Failure(
        "unhealthy",
        f"The engine of session {view['name']!r} does not say what it serves.",
        cause=cause,
        remedy=f"Look at it: linode-coder logs {view['name']}. Verify it: linode-coder up {view['name']}",
    )


def _control(name: str, command: str) -> bool:
    path = control_socket(name)
    if not path.exists():
        return False
    done = subprocess.run(
        ["ssh", "-S", str(path), "-O", command, "linode-coder"],
        capture_output=True,
        timeout=15,
        stdin=subprocess.DEVNULL,
    )
    return done.returncode == 0


def is_open(name: str) -> bool:
    return _control(name, "check")


def close(name: str) -> bool:
    """Whether there was a tunnel to close."""
    was_open = _control(name, "exit")
    control_socket(name).unlink(missing_ok=True)
    return was_open


def open_tunnel(view: dict[str, Any]) -> int:
    """The local port of a tunnel that works; a dead one is replaced."""
    name = view["name"]
    recorded = _recorded(name)
    if recorded and is_open(name) and recorded[1] == view["linode_id"] and healthy(recorded[0]):
        return recorded[0]
    close(name)
    port = _choose(name)
    forward = f"127.0.0.1:{port}:127.0.0.1:{ENGINE_PORT}"
    options = ["-f", "-N", "-M", "-S", str(control_socket(name)), "-L", forward, "-o", "ExitOnForwardFailure=yes"]
    done = subprocess.run(
        ssh_command(view, *options, "-o", "ControlPersist=no"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        start_new_session=True,
    )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        wrong_key = "host key verification failed" in done.stderr.lower()
        raise Failure(
            "host_key" if wrong_key else "unreachable",
            f"The VM of session {name!r} presents another host key than it was made with."
            if wrong_key
            else f"No tunnel to session {name!r} could be opened.",
            cause=said[-1].strip() if said else None,
            remedy=f"Verify and repair it: linode-coder up {name}",
        )
    with unrecorded.recorded():
        session_dir(name).mkdir(parents=True, exist_ok=True, mode=0o700)
        _record(name).write_text(json.dumps({"port": port, "linode_id": view["linode_id"]}))
    return port


def api_key_file(view: dict[str, Any]) -> Path:
    """The file with the session's API key; fetched from the VM when this machine does not have it."""
    path = session_dir(view["name"]) / "api_key"
    # One that is empty was cut off as it was written.
    if path.exists() and path.read_text().strip():
        return path
    done = subprocess.run(
        [*ssh_command(view), "cat /opt/linode-coder/vllm/secrets.env"],
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise Failure(
            "unreachable",
            f"The API key of session {view['name']!r} could not be read from its VM.",
            cause=done.stderr.strip().splitlines()[-1] if done.stderr.strip() else None,
            remedy=f"Verify and repair it: linode-coder up {view['name']}",
        )
    key = done.stdout.partition("=")[2].strip()
    if not key:
        raise Failure(
            "unhealthy",
            f"The API key on the VM of session {view['name']!r} is empty.",
            remedy=f"Make a new one: linode-coder ssh {view['name']} -- rm /opt/linode-coder/vllm/secrets.env, then "
            f"linode-coder up {view['name']} --converge",
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:  # noqa: PTH123 - a mode is needed
            file.write(key + "\n")
    except OSError as error:
        raise Failure(
            "config",
            f"The API key of session {view['name']!r} cannot be kept in {path}.",
            cause=error.strerror,
            remedy="Make room there, or name a home that can be written: export LINODE_CODER_HOME=DIRECTORY",
        ) from error
    return path
