"""linode-coder ssh: a shell on a session's VM, or one command there."""

from __future__ import annotations

import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperCommand

from ..api import LinodeReader
from ..endpoint.ssh_failure import ssh_failure
from ..endpoint.tunnel import ssh_command
from ..local.sessions import all_sessions, pick
from ..terminal.console import Console
from .session_argument import SessionName

if TYPE_CHECKING:
    from typer._click import Context

app = typer.Typer(add_completion=False, rich_markup_mode=None)


class _NameFirst(TyperCommand):
    """What follows `--` is the command there, also where no session is named before."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        if "--" in args:
            end = args.index("--")
            if all(word.startswith("-") for word in args[:end]):
                args = [*args[:end], "", *args[end:]]
        return super().parse_args(ctx, args)


@app.command(cls=_NameFirst)
def ssh(
    name: SessionName = None,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[-- COMMAND...]", help="What to run there instead of a shell.")
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
    argv = ssh_command(view, *(["-t"] if not words and sys.stdin.isatty() else []))
    if as_json:
        console.result({"command": "ssh", "session": view, "argv": [*argv, *line]})
        return
    done = subprocess.run([*argv, *line])
    if done.returncode == 255:
        raise ssh_failure(view)
    raise typer.Exit(done.returncode)
