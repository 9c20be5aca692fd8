"""Finding sessions: from the tags, and what the history still knows."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.did_you_mean import did_you_mean, nearest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import state_dir
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.group import is_group, members
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.name import firewall_label
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import MARKER, is_ours
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.view import session_view

from ..api import LinodeReader
from . import history


def all_sessions(reader: LinodeReader, instances: list[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    """Every session of the account, the most expensive first; one request per 500 Linodes, unless they were just read."""
    now = int(time.time())
    rows = reader.list("linode/instances", {"tags": MARKER}) if instances is None else instances
    views = [session_view(instance, now) for instance in rows]
    views.sort(key=lambda view: (-(view["hourly"] or 0), view["lease_left"] or 0, view["label"]))
    history.saw(views, patience=history.QUICK_S)  # the next look sees them as well
    return views


def firewall_of(reader: LinodeReader, name: str) -> dict[str, Any] | None:
    """The session's firewall, whether or not its VM ever came; None for one that is not ours."""
    label = firewall_label(name)
    rows = reader.list("networking/firewalls", {"label": label})
    return next((row for row in rows if row["label"] == label and is_ours(row["tags"])), None)


def current_file() -> Path:
    return state_dir() / "current"


def current() -> str | None:
    """The session that commands without a name are about."""
    path = current_file()
    return path.read_text().strip() if path.exists() else None


def pick(views: list[dict[str, Any]], name: str | None) -> dict[str, Any]:
    """The session called ``name``; without a name the current one, or the only one."""
    if name is None:
        chosen = current()
        if chosen and any(view["name"] == chosen for view in views):
            name = chosen
        elif len(views) == 1:
            name = views[0]["name"]
        elif not views:
            raise Failure("not_found", "There is no session.", remedy="Create one: linode-coder up NAME")
        else:
            names = ", ".join(sorted(str(view["name"]) for view in views))
            raise Failure("usage", "There are several sessions.", remedy=f"Name one of them: {names}.", field="session")
    for view in views:
        if view["name"] == name:
            return view
    if is_group(views, name):
        names = ", ".join(str(view["name"]) for view in members(views, str(name)))
        raise Failure(
            "usage",
            f"{name} is a group of sessions, and this is about one session.",
            remedy=f"Name one of them: {names}.",
            field="session",
            value=name,
        )
    near = nearest(str(name), [str(view["name"]) for view in views], cutoff=0.4)
    remedy = did_you_mean(near, "See them all: linode-coder list --all")
    raise Failure(
        "not_found", f"There is no session {name!r} in this account.", remedy=remedy, field="session", value=name
    )


def pick_complete(views: list[dict[str, Any]], name: str | None) -> dict[str, Any]:
    """The session called ``name``, found like `pick`; Failure(conflict) when its tags do not tell all of it, since they are to be changed."""
    view = pick(views, name)
    if not view["complete"]:
        raise Failure(
            "conflict",
            f"The tags of {view['label']} are incomplete: {', '.join(view['missing'])}.",
            remedy=f"Put them back in Cloud Manager, or delete the VM: linode-coder down {view['name']}.",
        )
    return view
