"""linode-coder use: make a session current, and print the environment or the configuration for clients."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.did_you_mean import did_you_mean, nearest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.client import EngineSilent, names_of
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.ssh_access import access_of

from ..api import LinodeReader
from ..endpoint.api_key import api_key, api_key_file
from ..endpoint.engine import served_abilities, served_models
from ..endpoint.port_owner import TunnelClient
from ..endpoint.tunnel import open_tunnel
from ..local.sessions import all_sessions, current_file, firewall_of, pick
from ..local.unrecorded import recorded
from ..terminal.console import Console
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
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Open the tunnel and print the environment for clients: eval "$(linode-coder use NAME)"."""
    console = Console(as_json)
    if client is not None:
        _known(client)
    view = pick(all_sessions(LinodeReader()), name)
    if view["status"] != "running" or not view["complete"]:
        raise Failure(
            "unhealthy",
            f"Session {view['name']!r} is {view['status']}{'' if view['complete'] else ' and its tags are incomplete'}.",
            remedy=f"Verify and repair it: linode-coder up {view['name']}",
        )
    port = _tunnel(console, view)
    key_file = api_key_file(view)
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
    print(f'export OPENAI_API_KEY="$(cat {shlex.quote(str(key_file))})"')
    if model is not None:
        print(f"export OPENAI_MODEL={shlex.quote(model)}")
    print(f"export LINODE_CODER_SESSION={view['name']}")
    called = f", by the name of {' or '.join(names)}" if names else ""
    console.note(f"{view['name']} serves {view['model']} at {url}{called}")
    if not answering:
        console.note(f"The engine does not answer yet. Verify it: linode-coder up {view['name']}")


def _tunnel(console: Console, view: dict[str, Any]) -> int:
    """The tunnel's port. Where only seen addresses are let in, and this machine's has changed, that is put right first."""
    try:
        return open_tunnel(view)
    except Failure as failure:
        if failure.kind != "unreachable":
            raise
        away = failure
        wall = firewall_of(LinodeReader(), view["name"])
        if wall is None or not access_of(wall["rules"]).seen:
            raise
    from ..local.lock import session_lock
    from ..playbook import variables
    from ..playbook.runner import run_playbook

    name = view["name"]
    console.note(
        f"The VM of {name} lets in the addresses that were seen before: this machine's may have changed, and is added."
    )
    try:
        with session_lock(name):
            run_playbook(variables.LetIn(session=name), console)
    except Failure as other:
        if other.kind == "host_key":
            raise
        # It was something else: what the tunnel said is nearer to it.
        raise away from other
    return open_tunnel(view)


def _names(view: dict[str, Any]) -> list[str]:
    """What the engine calls its model, its own name first; none when it does not say: the rest of the environment is true all the same."""
    try:
        return names_of(TunnelClient(view["name"], api_key(view)).served())
    except EngineSilent:
        return []


def _known(client: str) -> None:
    from ..endpoint.clients import CLIENTS

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
    from ansible_collections.linode_coder.gpu.plugins.module_utils.model.catalogue import catalogue, find

    from ..endpoint.clients import CLIENTS, Endpoint, notes

    cards = served_models(view)
    card = cards[0]
    takes = served_abilities(view, card["id"])
    known = find(catalogue(), str(card.get("root") or view["model"]))
    at = Endpoint(
        session=view["name"],
        url=f"http://127.0.0.1:{port}/v1",
        name=card["id"],
        context=card["max_model_len"],
        key_file=str(key_file),
        tools=takes.tools,
        images=takes.images,
        fill_in=known.model.fill_in if known else None,
    )
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
