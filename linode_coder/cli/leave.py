"""linode-coder leave: no session is the current one any more. Nothing is deleted, and no tunnel is closed."""

from __future__ import annotations

from typing import Annotated

import typer

from ..local.sessions import current, current_file
from ..terminal.console import Console

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def leave(as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False) -> None:
    """Forget the current session, which commands without a name are about. It goes on, and bills."""
    console = Console(as_json)
    name = current()
    current_file().unlink(missing_ok=True)
    if as_json:
        console.result({"command": "leave", "name": name, "changed": name is not None})
    elif name is None:
        console.text("No session is current.")
    else:
        console.text(f"{name} is not the current session any more; it goes on, and bills.")
