"""linode-coder down: delete a session's VM, or those of a group, and say what it cost."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import Annotated, Any

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.duration import format_duration
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.retry import pause_s
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.group import is_group, members
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.name import validate_session_name

from ..api import LinodeReader
from ..endpoint.group import drained
from ..endpoint.session_files import forget_vm
from ..local import history, token_history, wake
from ..local.lock import PATIENCE_S, session_lock, unfinished
from ..local.sessions import all_sessions, firewall_of, pick
from ..local.warm import all_warm
from ..terminal.console import Console, money
from ..terminal.question import confirm
from . import warm_text

# Seconds between looks for a VM that a killed command may have asked for.
SETTLE_S = (0.5, 1.0, 2.0, 4.0)

app = typer.Typer(add_completion=False, rich_markup_mode=None)


def _unfinished() -> str | None:
    """The session that a command works on now, or was killed at, where no VM exists yet."""
    names = unfinished()
    if len(names) > 1:
        raise Failure(
            "usage",
            "No VM exists, but commands work on several sessions, or were killed at them.",
            remedy=f"Name the one to end: {', '.join(names)}.",
            field="session",
        )
    return names[0] if names else None


def _look_again(reader: LinodeReader, name: str, console: Console) -> dict[str, Any] | None:
    """The session once nobody on this machine works on it any more, since who did may have made its VM meanwhile."""
    if name not in unfinished():
        return None
    console.step(f"Wait until nobody works on session {name}")
    with session_lock(name, PATIENCE_S) as lock:
        for pause in (0.0, *(SETTLE_S if lock.cut_off else ())):
            time.sleep(pause_s(pause))
            for view in all_sessions(reader):
                if view["name"] == name:
                    console.step_done()
                    return view
    console.step_done()
    return None


def _billed(view: dict[str, Any]) -> str:
    age = format_duration(view["started_hours"] * 3600)
    return (
        f"{view['label']} ({view['plan']} in {view['region']}), billed for {age}, {money(view['cost_so_far'])} so far"
    )


def _count_tokens(view: dict[str, Any]) -> None:
    """A last look at what the engine counts, where a tunnel is open: afterwards nobody can ask. At most five seconds."""
    from ..endpoint.activity import counters

    token_history.looked(view["linode_id"], counters(view["name"] or view["label"]))


def _kept_warm(reader: LinodeReader, view: dict[str, Any], console: Console) -> list[dict[str, Any]]:
    """The warm volumes that stay when the VM goes. That nobody says which keeps no VM."""
    try:
        return [row for row in all_warm(reader) or [] if row["linode_id"] == view["linode_id"]]
    except Failure as failure:
        console.note(f"Which warm volumes stay is not known: {failure.message} See: linode-coder warm list")
        return []


def still_open(records: list[dict[str, Any]], view: dict[str, Any] | None) -> list[dict[str, Any]]:
    """What the history takes for running under this name, in a known account. Where it knows this very VM, nothing else counts: a
    team's history has sessions of this name in other accounts."""
    own = [record for record in records if view and record["linode_id"] == view["linode_id"]]
    return [record for record in own or records if record["account"] and not record["ended"]]


def _end(
    console: Console, session: str, view: dict[str, Any] | None, records: list[dict[str, Any]]
) -> tuple[dict[str, Any], bool, int]:
    """What the playbook says, whether a tunnel was closed, and how much changed. ``records`` are what the history has of it."""
    open_records = still_open(records, view)
    from ..playbook import variables
    from ..playbook.runner import run_playbook

    started = time.time()
    with session_lock(session, PATIENCE_S):
        if view:
            _count_tokens(view)
        try:
            account = open_records[0]["account"] if open_records else None
            outcome = run_playbook(variables.Down(session=session, account=account), console)
        except Failure as failure:
            history.ran(session, "down", started, failure.exit_code, None, failure.message)
            raise
        tunnel_closed = forget_vm(session)
        wake.taken_down(session)
    data = {key: value for key, value in outcome.data.items() if key not in ("schema", "command")}
    history.ran(session, "down", started, 0, not data["already_gone"], None)
    if data["session"]:
        history.ended(data["session"]["linode_id"], data["hours"], data["cost"])
    for record in open_records:
        if data["already_gone"]:
            history.ended(record["linode_id"], record["hours"] or 0, record["cost"])
    return data, tunnel_closed, outcome.changed


def _end_group(console: Console, group: str, views: list[dict[str, Any]], yes: bool, dry_run: bool) -> None:
    """Delete all of its sessions. One that cannot be deleted keeps none of the others; Failure of the first of them then."""
    hourly = sum(view["hourly"] or 0.0 for view in views)
    so_far = sum(view["cost_so_far"] or 0.0 for view in views)
    for view in views:
        console.note(_billed(view))
    if dry_run:
        console.event("result", command="down", group=group, sessions=views, dry_run=True, changed=0)
        console.text(f"`down` would delete these {len(views)} sessions of the group {group}.")
        return
    if not yes:
        confirm(
            f"Delete all {len(views)} of {group}, {money(hourly)} per hour and {money(so_far)} so far together?",
            f"linode-coder down {group}",
        )
    # Nobody is to be sent to a session that goes, and no tunnel to one is opened again.
    forget_vm(group)
    ended, failed = [], []
    for view in views:
        try:
            data, _closed, _changed = _end(console, view["name"], view, history.known(view["name"]))
        except Failure as failure:
            failed.append(failure)
            console.note(f"{view['name']} was not deleted: {failure.message}")
        else:
            ended.append({"name": view["name"], "hours": data["hours"], "cost": data["cost"]})
            if not data["already_gone"]:
                console.text(f"Session {view['name']} is gone: {data['hours']} started hour(s), {money(data['cost'])}.")
    if failed:
        raise failed[0]
    console.event("result", command="down", group=group, ended=ended, changed=len(ended))
    console.text(f"The group {group} is gone: {money(sum(one['cost'] or 0.0 for one in ended))} in all.")


@app.command()
def down(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Name of the session or the group.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be deleted, delete nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines of events.")] = False,
) -> None:
    """Delete a session's VM, or those of a group, and show what it cost."""
    console = Console(as_json)
    if name is not None:
        validate_session_name(name)
    reader = LinodeReader()
    views = all_sessions(reader)
    if name is None and not views:
        name = _unfinished()
    if name is None and len(views) > 1:
        names = ", ".join(sorted(str(view["name"] or view["label"]) for view in views))
        raise Failure(
            "usage", "There are several sessions, and this deletes one.", remedy=f"Name it: {names}.", field="session"
        )
    if is_group(views, name):
        _end_group(console, str(name), [dict(view) for view in members(views, str(name))], yes, dry_run)
        return
    records = history.known(name) if name else []
    view: dict[str, Any] | None
    firewall = False
    try:
        view = pick(views, name)
    except Failure:
        view = _look_again(reader, name, console) if name else None
        if view is None and name:
            firewall = firewall_of(reader, name) is not None
        if view is None and not records and not firewall:
            raise
    session = view["name"] if view else str(name)
    what = _billed(view) if view else ""
    kept = _kept_warm(reader, view, console) if view else []
    if dry_run:
        console.event("result", command="down", session=view, dry_run=True, changed=0)
        would = what if view else f"the firewall of session {session}" if firewall else None
        console.text(f"`down` would delete {would}." if would else f"Session {session} is already gone; nothing bills.")
        return
    if view and not yes:
        confirm(f"Delete {what}?", f"linode-coder down {session}")
    with drained(view) if view else nullcontext():
        data, tunnel_closed, changed = _end(console, session, view, records)
    if view and view["group"] and len(members(views, view["group"])) == 1:
        forget_vm(view["group"])
    console.event("result", **data, command="down", tunnel_closed=tunnel_closed, warm=kept, changed=changed)
    if data["already_gone"] and firewall:
        console.text(f"Session {session} has no VM, so nothing bills; the firewall made for it is gone.")
    elif data["already_gone"]:
        console.text(f"Session {session} is already gone; nothing bills.")
    else:
        console.text(f"Session {session} is gone: {data['hours']} started hour(s), {money(data['cost'])}.")
    for volume in kept:
        console.text(warm_text.stays(volume))
