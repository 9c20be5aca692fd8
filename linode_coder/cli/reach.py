"""The way to a session's engine, for the commands that hand it on to clients."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.group import is_group, members
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.ssh_access import access_of

from ..api import LinodeReader
from ..endpoint.engine import served_abilities, served_models
from ..endpoint.tunnel import open_tunnel
from ..local.sessions import all_sessions, current, firewall_of, pick
from ..terminal.console import Console

if TYPE_CHECKING:
    from ..endpoint.clients import Endpoint


def reachable(view: dict[str, Any]) -> bool:
    return bool(view["status"] == "running" and view["complete"])


def running_session(name: str | None) -> dict[str, Any]:
    """The view of the session called ``name``, found like `pick`; Failure(unhealthy) for one that cannot be reached.

    Of a group that of a member that runs, under the group's name, with all of them as ``members``.
    """
    views = all_sessions(LinodeReader())
    group = name or current()
    if group and is_group(views, group):
        own = [dict(view) for view in members(views, group)]
        return {**next((view for view in own if reachable(view)), own[0]), "name": group, "members": own}
    view = pick(views, name)
    if not reachable(view):
        raise Failure(
            "unhealthy",
            f"Session {view['name']!r} is {view['status']}{'' if view['complete'] else ' and its tags are incomplete'}.",
            remedy=f"Verify and repair it: linode-coder up {view['name']}",
        )
    return view


def tunnel(console: Console, view: dict[str, Any]) -> int:
    """The port of the tunnel, or of a group's endpoint. Where only seen addresses are let in, and this machine's has changed, that is put right first."""
    if "members" in view:
        from ..endpoint.group import open_group

        return open_group(view["name"], view["members"])
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


def endpoint_of(view: dict[str, Any], port: int, key_file: Path) -> tuple[Endpoint, list[dict[str, Any]]]:
    """What a client has to know, as the engine says it, and the model by each of its names; through the tunnel that is open."""
    from ansible_collections.linode_coder.gpu.plugins.module_utils.model.catalogue import catalogue, find

    from ..endpoint.clients import Endpoint

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
    return at, cards
