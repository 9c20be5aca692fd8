"""linode-coder tunnel: open, repair or close the SSH tunnel to a session."""

from __future__ import annotations

from typing import Annotated

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.name import validate_session_name

from ..api import LinodeReader
from ..endpoint import tunnel as tunnels
from ..endpoint.port_owner import TunnelClient
from ..local.sessions import all_sessions, pick
from ..terminal.console import Console
from .session_argument import SessionName

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def tunnel(
    name: SessionName = None,
    close: Annotated[bool, typer.Option("--close", help="Close it; the session goes on.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Open or repair the tunnel of a session; --close closes it."""
    console = Console(as_json)
    if close and name is not None:
        # Of this machine alone, so that it can be closed whatever the API says.
        session = validate_session_name(name)
    else:
        view = pick(all_sessions(LinodeReader()), name)
        session = view["name"]
    if close:
        was_open = tunnels.close(session)
        if as_json:
            console.result({"command": "tunnel", "name": session, "tunnel": "closed", "changed": was_open})
        else:
            console.text(f"The tunnel to {session} is closed." if was_open else f"No tunnel to {session} was open.")
        return
    before = tunnels.is_open(session)
    port = tunnels.open_tunnel(view)
    url = f"http://127.0.0.1:{port}/v1"
    answering = TunnelClient(session).healthy()
    if as_json:
        console.result(
            {
                "command": "tunnel",
                "name": session,
                "tunnel": "open",
                "changed": not before,
                "endpoint": url,
                "engine": "healthy" if answering else "not answering",
            }
        )
        return
    console.text(f"The tunnel to {session} is open: {url}")
    if not answering:
        console.note(f"The engine does not answer yet. Look at it: linode-coder logs {session}")
