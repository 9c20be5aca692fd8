"""linode-coder use: make a session current, and print the environment or the configuration for clients."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.did_you_mean import did_you_mean, nearest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.client import EngineSilent, names_of

from ..endpoint.api_key import api_key, api_key_file
from ..endpoint.clients import CLIENTS, KEY_VARIABLE, notes
from ..endpoint.port_owner import TunnelClient
from ..local.sessions import current_file
from ..local.unrecorded import recorded
from ..terminal.console import Console
from .reach import endpoint_of, running_session, tunnel
from .session_argument import SessionName

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def use(
    name: SessionName = None,
    client: Annotated[
        str | None,
        typer.Option(
            "--print",
            metavar="CLIENT",
            help="Configuration for aider, claude, cline, codex, continue, llm, openai, opencode, qwen, vscode or zed.",
        ),
    ] = None,
    keep_current: Annotated[bool, typer.Option("--keep-current", hidden=True)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Open the tunnel and print the environment for clients: eval "$(linode-coder use NAME)"."""
    console = Console(as_json)
    if client is not None:
        _known(client)
    view = running_session(name)
    port = tunnel(console, view)
    key_file = api_key_file(view)
    if not keep_current:
        with recorded():
            current_file().write_text(view["name"] + "\n")
    url = f"http://127.0.0.1:{port}/v1"
    if client is not None:
        _print(console, client, view, port, key_file)
        return
    answering = TunnelClient(view["name"]).healthy()
    names = _names(view) if answering else []
    model = names[0] if names else None
    if as_json:
        engine = "healthy" if answering else "not answering"
        console.result(
            {
                "command": "use",
                "session": view,
                "endpoint": url,
                "api_key_file": str(key_file),
                "engine": engine,
                "model": model,
                "models": names,
            }
        )
        return
    print(f"export OPENAI_BASE_URL={url}")
    print(f"export OPENAI_API_BASE={url}")
    print(f'export {KEY_VARIABLE}="$(cat {shlex.quote(str(key_file))})"')
    print(f'export OPENAI_API_KEY="${KEY_VARIABLE}"')
    if model is not None:
        print(f"export OPENAI_MODEL={shlex.quote(model)}")
    print(f"export LINODE_CODER_SESSION={view['name']}")
    called = f", by the name of {' or '.join(names)}" if names else ""
    console.note(f"{view['name']} serves {view['model']} at {url}{called}")
    if not answering:
        console.note(f"The engine does not answer yet. Verify it: linode-coder up {view['name']}")


def _names(view: dict[str, Any]) -> list[str]:
    """What the engine calls its model, its own name first; none when it does not say: the rest of the environment is true all the same."""
    try:
        return names_of(TunnelClient(view["name"], api_key(view)).served())
    except EngineSilent:
        return []


def _known(client: str) -> None:
    if client not in CLIENTS:
        hint = did_you_mean(nearest(client, CLIENTS, at_most=1))
        raise Failure(
            "usage",
            f"There is no configuration for a client {client!r}.",
            remedy=f"{hint} The clients are {', '.join(CLIENTS)}; others take what `use` without --print prints.".strip(),
            field="print",
            value=client,
        )


def _print(console: Console, client: str, view: dict[str, Any], port: int, key_file: Path) -> None:
    """With the true name, context and abilities, as the engine says them."""
    at, cards = endpoint_of(view, port, key_file)
    text = CLIENTS[client].render(at)
    if console.as_json:
        console.result(
            {
                "command": "use",
                "session": view,
                "endpoint": at.url,
                "api_key_file": at.key_file,
                "client": client,
                "model": at.name,
                "models": names_of(cards),
                "max_model_len": at.context,
                "tools": at.tools,
                "images": at.images,
                "fill_in": at.fill_in,
                "configuration": text,
                "notes": notes(client, at),
            }
        )
        return
    print(text)
    for line in notes(client, at):
        console.note(line)
