"""linode-coder down: delete a session's VM, and say what it cost."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.duration import format_duration
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.retry import pause_s
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.name import validate_session_name

from ..api import LinodeReader
from ..endpoint.session_files import forget_vm
from ..local import history, wake
from ..local.lock import PATIENCE_S, session_lock, unfinished
from ..local.sessions import all_sessions, firewall_of, pick
from ..terminal.console import Console, money
from ..terminal.question import confirm

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


@app.command()
def down(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Name of the session.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be deleted, delete nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines of events.")] = False,
) -> None:
    """Delete a session's VM and show what it cost."""
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
    open_records = [record for record in records if record["account"] and not record["ended"]]
    if view:
        age = format_duration(view["started_hours"] * 3600)
        what = f"{view['label']} ({view['plan']} in {view['region']}), billed for {age}, {money(view['cost_so_far'])} so far"
    if dry_run:
        console.event("result", command="down", session=view, dry_run=True, changed=0)
        would = what if view else f"the firewall of session {session}" if firewall else None
        console.text(f"`down` would delete {would}." if would else f"Session {session} is already gone; nothing bills.")
        return
    if view and not yes:
        confirm(f"Delete {what}?", f"linode-coder down {session}")
    from ..playbook import variables
    from ..playbook.runner import run_playbook

    started = time.time()
    with session_lock(session, PATIENCE_S):
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
    console.event("result", **data, command="down", tunnel_closed=tunnel_closed, changed=outcome.changed)
    if data["already_gone"] and firewall:
        console.text(f"Session {session} has no VM, so nothing bills; the firewall made for it is gone.")
    elif data["already_gone"]:
        console.text(f"Session {session} is already gone; nothing bills.")
    else:
        console.text(f"Session {session} is gone: {data['hours']} started hour(s), {money(data['cost'])}.")
