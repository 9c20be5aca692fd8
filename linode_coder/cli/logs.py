"""linode-coder logs: what the engine, the proxy, the download or the VM say."""

from __future__ import annotations

import enum
import re
import shlex
import subprocess
from typing import Annotated, Any

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.failure import Failure

from ..api import LinodeReader
from ..console import Console
from ..sessions import all_sessions, pick
from ..ssh_failure import ssh_failure
from ..streams import lost
from ..tunnel import ssh_command

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
_DURATION = re.compile(r"(\d+[smhd])+", re.ASCII)
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
        return re.sub(r"(\d+)d", lambda match: f"{int(match.group(1)) * 24}h", since)
    return since.replace(" ", "T")


@app.command()
def logs(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Name of the session.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    since: Annotated[str | None, typer.Option(help="From when on: 10m, 2h, or 2026-12-24T18:30:00Z.")] = None,
    what: Annotated[What, typer.Option(help="Whose log.")] = What.engine,
    tail: Annotated[int, typer.Option(min=1, max=100000, help="At most so many of the newest lines.")] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document; with -f one a line.")] = False,
) -> None:
    """Show what the engine says; --what proxy, weights or boot for the others."""
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
    if not as_json:
        done = subprocess.run(command, stdin=subprocess.DEVNULL)
        _judge(done.returncode, view, what)
        return
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace")
    assert process.stdout is not None
    lines = []
    with process:
        try:
            for line in process.stdout:
                if follow:
                    if lost():
                        process.terminate()
                        return
                    console.event("line", command="logs", name=view["name"], what=what.value, line=line.rstrip("\n"))
                else:
                    lines.append(line.rstrip("\n"))
        except BaseException:
            process.terminate()
            raise
        code = process.wait()
    _judge(code, view, what)
    if not follow:
        console.result({"command": "logs", "name": view["name"], "what": what.value, "lines": lines})


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
