"""linode-coder cleanup: list and remove what is ours and dead, in the account and on this machine."""

from __future__ import annotations

import shutil
import time
from typing import Annotated, Any

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.dead_resources import dead_resources
from ansible_collections.linode_coder.gpu.plugins.module_utils.duration import format_duration
from ansible_collections.linode_coder.gpu.plugins.module_utils.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.paths import session_dir, state_dir
from ansible_collections.linode_coder.gpu.plugins.module_utils.session_tags import MARKER

from .. import history
from ..api import LinodeReader
from ..console import Console, confirm, money, table
from ..leftovers import forget_vm
from ..lock import session_lock
from ..sessions import all_sessions

app = typer.Typer(add_completion=False, rich_markup_mode=None)


def of_another_account(reader: LinodeReader, name: str) -> bool:
    """Whether the session was made in an account that this token does not open: its VM may live there."""
    accounts = {record["account"] for record in history.known(name) if record["account"] and not record["ended"]}
    return bool(accounts) and reader.get("account")["euuid"] not in accounts


def vanished(reader: LinodeReader, views: list[dict[str, Any]]) -> list[str]:
    """Sessions that this machine keeps files or a tunnel of, and that have no VM in the account."""
    directory = state_dir() / "sessions"
    alive = {view["name"] for view in views}
    if not directory.is_dir():
        return []
    names = sorted(path.name for path in directory.iterdir() if path.is_dir() and path.name not in alive)
    return [name for name in names if not of_another_account(reader, name)]


def forget(name: str) -> None:
    """Close the tunnel and remove the files; the history keeps what it cost."""
    with session_lock(name):
        forget_vm(name)
        shutil.rmtree(session_dir(name))


@app.command()
def cleanup(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines of events.")] = False,
) -> None:
    """List and remove what is ours and dead: VMs nobody looks after, firewalls, local files."""
    console = Console(as_json)
    reader = LinodeReader()
    views = all_sessions(reader)
    instances = reader.list("linode/instances", {"tags": MARKER})
    dead = dead_resources(instances, reader.list("networking/firewalls"), int(time.time()))
    local = vanished(reader, views)
    console.event("plan", command="cleanup", dead=dead, local=local)
    if dead:
        rows = [["KIND", "LABEL", "AGE", "$/H", "COST", "WHY"]]
        for row in dead:
            money_cells = [money(row["hourly"]), money(row["cost"])]
            rows.append([row["kind"], row["label"], format_duration(row["age_s"]), *money_cells, row["why"]])
        for line in table(rows):
            console.text(line)
    for name in local:
        console.text(f"local     files and tunnel of {name}, which has no VM in this account")
    if not dead and not local:
        console.text("Nothing is left over.")
    if dry_run or not (dead or local):
        console.event("result", command="cleanup", dead=dead, local=local, removed=[], forgotten=[], changed=0)
        return
    if not yes:
        confirm(f"Remove {len(dead)} from the account and {len(local)} from this machine?", "linode-coder cleanup")
    removed: list[str] = []
    if dead:
        from ..runner import run_playbook

        started = time.time()
        try:
            outcome = run_playbook("cleanup", {"remove": [row["label"] for row in dead]}, console)
        except Failure as failure:
            history.ran("all", "cleanup", started, failure.exit_code, None, failure.message)
            raise
        removed = outcome.data["removed"]
        history.ran("all", "cleanup", started, 0, bool(removed), ", ".join(removed))
    for name in local:
        forget(name)
    for row in dead:
        if row["kind"] == "linode" and row["label"] in removed:
            history.ended(row["id"], -(-row["age_s"] // 3600), row["cost"])
    console.event(
        "result",
        command="cleanup",
        dead=dead,
        local=local,
        removed=removed,
        forgotten=local,
        changed=len(removed) + len(local),
    )
    console.text(f"Removed {len(removed)} from the account and {len(local)} from this machine.")
