"""The SSH tunnel from a stable local port to the engine on the VM's loopback; a keeper holds it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import ssh_key_path
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.ssh_refusal import key_refused, unknown_key
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.host_key import from_openssh
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.ssh import ssh_options, ssh_port

from .port_owner import TunnelClient, our_port
from .tunnel_files import (
    CLAIM_S,
    LOG_LIMIT,
    State,
    Target,
    drop_stand_in,
    keeper,
    known_tunnels,
    log_file,
    read_state,
    read_target,
    runtime_path,
    state_file,
    stop_keeper,
    target_file,
    tunnel_directory,
    turn,
    write,
)

FIRST_PORT, PORTS = 18000, 1000
ENGINE_PORT = 8000
# Of a command that waits for its keeper: longer than ssh takes to give up.
_PATIENCE_S = 75.0


def control_socket(name: str) -> Path:
    """Of the ssh that the keeper runs."""
    return runtime_path(name, "sock")


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


def local_port(name: str) -> int | None:
    target = read_target(name)
    return target["port"] if target else None


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


# Seconds that opening a tunnel, or reading a line, may take.
_SSH_S = 60.0
NOT_LET_IN = (
    "Verify and repair it: linode-coder up {name}. It lets this machine in again where its address has changed, if SSH is let in "
    "from here; otherwise add --ssh-from here"
)


def bounded(name: str, command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """What an ssh that needs no minute did; Failure(unreachable) for a VM that lets it in and then never answers."""
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, text=True, errors="replace", timeout=_SSH_S, **options)
    except subprocess.TimeoutExpired as error:
        raise Failure(
            "unreachable",
            f"The VM of session {name!r} does not answer over SSH.",
            cause=f"no answer in {_SSH_S:g} s",
            remedy=NOT_LET_IN.format(name=name),
        ) from error


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
    state = read_state(name)
    return state is not None and state["up"] and our_port(name) is not None


def close(name: str) -> bool:
    """Whether there was a tunnel to close."""
    if not tunnel_directory(name).is_dir() and not control_socket(name).exists():
        return False
    with turn(name):
        was_kept = stop_keeper(name)
        # The ssh of a keeper that was killed.
        was_open = _control(name, "exit")
        for path in (control_socket(name), runtime_path(name, "fwd"), state_file(name)):
            path.unlink(missing_ok=True)
        drop_stand_in(name)
    return was_kept or was_open


def close_local() -> None:
    """Close the tunnels to VMs on this machine, which a sandbox had."""
    for name in known_tunnels():
        target = read_target(name)
        if target and target["address"].startswith("127."):
            close(name)


def tunnel_command(name: str, target: Target) -> list[str]:
    """The ssh that carries the tunnel, to a socket that only this user reaches. It ends when it cannot listen there."""
    view = {"host_keys": target["host_keys"], "address": target["address"]}
    forward = f"{runtime_path(name, 'fwd')}:127.0.0.1:{ENGINE_PORT}"
    options = {
        "ExitOnForwardFailure": "yes",
        "StreamLocalBindMask": "0177",
        "StreamLocalBindUnlink": "yes",
        "ControlPersist": "no",
    }
    # The first value counts: a network that is gone is noticed within 15 seconds.
    soon = ["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"]
    rest = [part for option, value in options.items() for part in ("-o", f"{option}={value}")]
    command = ssh_command(view, "-N", "-M", "-S", str(control_socket(name)), "-L", forward, *rest)
    return [command[0], *soon, *command[1:]]


def open_tunnel(view: dict[str, Any]) -> int:
    """The local port of a tunnel that works. Its keeper is started, or told to look and to repair."""
    name = view["name"]
    with turn(name):
        keeper(name, CLAIM_S)
        held, state, found = our_port(name), read_state(name), read_target(name)
        wanted = Target(
            port=found["port"] if found else 0,
            linode_id=view["linode_id"],
            address=view["address"],
            host_keys=list(view["host_keys"]),
        )
        if held is None or state is None or found != wanted:
            return start_keeper(name, wanted, "tunnel_keeper")
        if state["up"] and TunnelClient(name).healthy():
            return held[0]
        return repair(name, held)


def start_keeper(name: str, wanted: Target, module: str) -> int:
    """The local port that a new keeper holds, a ``module`` of this room, once it says that all is up."""
    stop_keeper(name)
    _control(name, "exit")
    state_file(name).unlink(missing_ok=True)
    port = _choose(name)
    wanted["port"] = port
    write(target_file(name), wanted)
    log = log_file(name)
    mode = os.O_TRUNC if log.exists() and log.stat().st_size > LOG_LIMIT else os.O_APPEND
    with open(os.open(log, os.O_WRONLY | os.O_CREAT | mode, 0o600), "wb") as file:  # noqa: PTH123 - a mode is needed
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", f"linode_coder.endpoint.{module}", name],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        ended = process.poll()
        state = read_state(name)
        if ended is not None:
            raise _not_open(name, state, f"its keeper ended with status {ended}: see {log}")
        if state and state["up"] and our_port(name):
            return port
        time.sleep(0.02)
    stop_keeper(name)
    raise _not_open(name, read_state(name), f"no connection within {_PATIENCE_S:.0f} s")


def repair(name: str, held: tuple[int, int]) -> int:
    """Have the keeper look at once, and wait for what it says."""
    before = read_state(name)
    port, pid = held
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGUSR1)
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline and our_port(name) == held:
        state = read_state(name)
        if state and before and state["looks"] != before["looks"]:
            if state["up"]:
                return port
            break
        time.sleep(0.02)
    raise _not_open(name, read_state(name), "its keeper does not answer")


def _not_open(name: str, state: State | None, otherwise: str) -> Failure:
    why = (state and state["why"]) or otherwise
    if key_refused(why):
        return unknown_key(name, why)
    wrong_key = state is not None and state["host_key"]
    return Failure(
        "host_key" if wrong_key else "unreachable",
        f"The VM of session {name!r} presents another host key than it was made with."
        if wrong_key
        else f"No tunnel to session {name!r} could be opened.",
        cause=why,
        remedy=f"Verify and repair it: linode-coder up {name}" if wrong_key else NOT_LET_IN.format(name=name),
    )
