"""linode-coder ssh: a shell on a session's VM, or one command there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from typing import Annotated

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure

from ..api import LinodeReader
from ..endpoint.ssh_failure import ssh_failure
from ..endpoint.tunnel import ssh_command
from ..local.sessions import all_sessions, pick
from ..terminal.console import Console
from .session_argument import NameFirst, SessionName

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(cls=NameFirst)
def ssh(
    name: SessionName = None,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[-- COMMAND...]", help="What to run there instead of a shell.")
    ] = None,
    forward: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[HERE:]PORT",
            help="Bring this port of the VM's loopback to this machine's, at another number if you name one; may be repeated.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the ssh command as a JSON document instead.")] = False,
) -> None:
    """Open a shell on a session's VM, or run a command there; ends with its exit code.

    What the VM prints reaches the terminal as it is.
    """
    console = Console(as_json)
    view = pick(all_sessions(LinodeReader()), name or None)
    words = command or []
    # As with ssh, one word is a line for the remote shell; several are a command and its arguments.
    line = [words[0] if len(words) == 1 else shlex.join(words)] if words else []
    options = ["-t"] if not words and sys.stdin.isatty() else []
    for ports in forward or []:
        options += ["-o", "ExitOnForwardFailure=yes", "-L", _forwarded(ports)]
    argv = ssh_command(view, *options)
    if as_json:
        console.result({"command": "ssh", "session": view, "argv": [*argv, *line]})
        return
    done = subprocess.run([*argv, *line])
    if done.returncode == 255:
        raise ssh_failure(view)
    raise typer.Exit(done.returncode)


def _forwarded(ports: str) -> str:
    """For ssh's -L. Failure(usage) for what is not [HERE:]PORT."""
    here, _, there = ports.rpartition(":")
    numbers = [here or there, there]
    if not all(re.fullmatch(r"[1-9][0-9]{0,4}", number) and int(number) < 65536 for number in numbers):
        raise Failure(
            "usage",
            f"forward: {ports!r} is not a port, nor two of them.",
            remedy="Such as --forward 8080, or --forward 18080:8080 where 8080 is taken on this machine.",
            field="forward",
            value=ports,
        )
    return f"127.0.0.1:{numbers[0]}:127.0.0.1:{there}"
