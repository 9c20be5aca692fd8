"""linode-coder logs: what the engine, the proxy, the download or the VM say."""

from __future__ import annotations

import enum
import re
import shlex
import sys
from typing import Annotated, Any

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure

from ..api import LinodeReader
from ..endpoint.ssh_failure import ssh_failure
from ..endpoint.tunnel import ssh_command
from ..local.sessions import all_sessions, pick
from ..terminal.console import Console
from ..terminal.streams import relay
from .session_argument import SessionName

app = typer.Typer(add_completion=False, rich_markup_mode=None)


class What(enum.StrEnum):
    engine = "engine"
    proxy = "proxy"
    weights = "weights"
    boot = "boot"


_SERVICES = {
    What.engine: ("/opt/linode-coder/vllm", "vllm"),
    What.proxy: ("/opt/linode-coder/vllm", "proxy"),
    What.weights: ("/opt/linode-coder/weights", "weights"),
}
_DURATION = re.compile(r"(\d{1,9}[smhd])+", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?Z?)?", re.ASCII)


def remote(what: What, follow: bool, since: str | None, tail: int) -> list[str]:
    """The command on the VM."""
    if what is What.boot:
        argv = ["journalctl", "--boot", "--no-pager", f"--lines={tail}", *(["--follow"] if follow else [])]
        return [*argv, *([f"--since={'-' if _DURATION.fullmatch(since) else ''}{since}"] if since else [])]
    directory, service = _SERVICES[what]
    argv = ["docker", "compose", "--project-directory", directory, "logs", "--no-color", "--no-log-prefix"]
    options = [f"--tail={tail}", *(["--follow"] if follow else []), *([f"--since={_hours(since)}"] if since else [])]
    return [*argv, *options, service]


def _hours(since: str) -> str:
    """Docker knows no days."""
    if _DURATION.fullmatch(since):
        return re.sub(r"(\d{1,9})d", lambda match: f"{int(match.group(1)) * 24}h", since)
    return since.replace(" ", "T")


@app.command()
def logs(
    name: SessionName = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    since: Annotated[str | None, typer.Option(help="From when on: 10m, 2h, or 2026-12-24T18:30:00Z.")] = None,
    what: Annotated[What, typer.Option(help="Whose log.")] = What.engine,
    tail: Annotated[int, typer.Option(min=1, max=100000, help="At most so many of the newest lines.")] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document; with -f one a line.")] = False,
) -> None:
    """Show what the engine says; --what proxy, weights or boot for the others.

    At a terminal control characters are shown as escapes; a file or a pipe gets every byte as it is.
    """
    console = Console(as_json)
    if since is not None and not _DURATION.fullmatch(since) and not _TIME.fullmatch(since):
        raise Failure(
            "usage",
            f"since {since!r} is neither a duration nor a time.",
            remedy="Write it like 10m, 2h or 2026-12-24T18:30:00Z.",
            field="since",
            value=since,
        )
    view = pick(all_sessions(LinodeReader()), name)
    command = [*ssh_command(view), shlex.join(remote(what, follow, since, tail))]
    if not as_json and (sys.stdout is None or not sys.stdout.isatty()):
        # A file or a program gets what the VM said, byte for byte.
        code = relay(command, None)
    elif not as_json:
        code = relay(command, _at_terminal)
    elif follow:
        code = relay(
            command, lambda line: console.event("line", command="logs", name=view["name"], what=what.value, line=line)
        )
    else:
        lines: list[str] = []
        code = relay(command, lines.append)
    _judge(code, view, what)
    if as_json and not follow:
        console.result({"command": "logs", "name": view["name"], "what": what.value, "lines": lines})


def _at_terminal(line: str) -> None:
    # The states of a progress bar, which draws over itself, become lines.
    print(line.removesuffix("\r").replace("\r", "\n"), flush=True)


def _judge(code: int, view: dict[str, Any], what: What) -> None:
    name = view["name"]
    if code == 255:
        raise ssh_failure(view)
    if code > 0:
        raise Failure(
            "unhealthy",
            f"The log of the {what.value} could not be read on the VM of session {name!r}.",
            remedy=f"Look at it: linode-coder ssh {name}. Repair it: linode-coder up {name}",
        )
