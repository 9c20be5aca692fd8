"""linode-coder ssh: a shell on a session's VM, or one command there."""

from __future__ import annotations

import shlex
import subprocess
import sys
from typing import Annotated

import typer

from ..api import LinodeReader
from ..endpoint.ssh_failure import ssh_failure
from ..endpoint.tunnel import ssh_command
from ..local.sessions import all_sessions, pick
from ..terminal.console import Console

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def ssh(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Name of the session.")] = None,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[-- COMMAND...]", help="What to run there instead of a shell.")
    ] = None,
    forward: Annotated[
        list[int] | None,
        typer.Option(
            min=1024, max=65535, metavar="PORT", help="Bring this port of the VM's loopback here too; may be repeated."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the ssh command as a JSON document instead.")] = False,
) -> None:
    """Open a shell on a session's VM, or run a command there; ends with its exit code.

    What the VM prints reaches the terminal as it is.
    """
    console = Console(as_json)
    view = pick(all_sessions(LinodeReader()), name)
    words = command or []
    # As with ssh, one word is a line for the remote shell; several are a command and its arguments.
    line = [words[0] if len(words) == 1 else shlex.join(words)] if words else []
    options = ["-t"] if not words and sys.stdin.isatty() else []
    for port in forward or []:
        options += ["-L", f"127.0.0.1:{port}:127.0.0.1:{port}"]
    argv = ssh_command(view, *options)
    if as_json:
        console.result({"command": "ssh", "session": view, "argv": [*argv, *line]})
        return
    done = subprocess.run([*argv, *line])
    if done.returncode == 255:
        raise ssh_failure(view)
    raise typer.Exit(done.returncode)
