"""linode-coder collect: everything the check reads, as one archive for a colleague or a ticket."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure

from ..api import LinodeReader
from ..local.sessions import all_sessions, pick
from ..terminal.console import Console
from .session_argument import SessionName

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def collect(
    name: SessionName = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to write it. [default: NAME.tar.gz]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines of events.")] = False,
) -> None:
    """Save what the check reads, without secrets, as one archive."""
    console = Console(as_json)
    view = pick(all_sessions(LinodeReader()), name)
    if view["status"] != "running":
        raise Failure(
            "unreachable",
            f"The VM of {view['name']} is {view['status']}.",
            remedy=f"See: linode-coder status {view['name']}",
        )
    path = (output or Path(f"{view['name']}.tar.gz")).absolute()
    if not path.parent.is_dir() or path.is_dir():
        raise Failure(
            "usage", f"{path} cannot be written.", remedy="Name a file in a directory that exists.", field="output"
        )
    from ..playbook import variables
    from ..playbook.runner import run_playbook

    outcome = run_playbook(variables.Collect(session=view["name"], output=str(path)), console)
    console.event("result", command="collect", **{key: outcome.data[key] for key in ("path", "files", "severity")})
    console.text(f"Saved {', '.join(outcome.data['files'])} in {outcome.data['path']}, without secrets.")
    console.text(f"Evaluate it anywhere: linode-coder check --bundle {shlex.quote(outcome.data['path'])}")
