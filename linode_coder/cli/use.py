"""linode-coder use: make a session current, and print the environment for clients."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.failure import Failure

from ..api import LinodeReader
from ..console import Console
from ..sessions import all_sessions, current_file, pick
from ..tunnel import api_key_file, healthy, open_tunnel

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def use(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Name of the session.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Open the tunnel and print the environment for clients: eval "$(linode-coder use NAME)"."""
    console = Console(as_json)
    view = pick(all_sessions(LinodeReader()), name)
    if view["status"] != "running" or not view["complete"]:
        raise Failure(
            "unhealthy",
            f"Session {view['name']!r} is {view['status']}{'' if view['complete'] else ' and its tags are incomplete'}.",
            remedy=f"Verify and repair it: linode-coder up {view['name']}",
        )
    port = open_tunnel(view)
    key_file = api_key_file(view)
    current_file().write_text(view["name"] + "\n")
    url = f"http://127.0.0.1:{port}/v1"
    answering = healthy(port)
    if as_json:
        engine = "healthy" if answering else "not answering"
        console.result(
            {"command": "use", "session": view, "endpoint": url, "api_key_file": str(key_file), "engine": engine}
        )
        return
    print(f"export OPENAI_BASE_URL={url}")
    print(f"export OPENAI_API_BASE={url}")
    print(f'export OPENAI_API_KEY="$(cat {shlex.quote(str(key_file))})"')
    print(f"export LINODE_CODER_SESSION={view['name']}")
    console.note(f"{view['name']} serves {view['model']} at {url}")
    if not answering:
        console.note(f"The engine does not answer yet. Verify it: linode-coder up {view['name']}")
