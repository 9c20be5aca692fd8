"""linode-coder cleanup: list and remove what is ours and dead, in the account and on this machine."""

from __future__ import annotations

import shutil
import time
from typing import Annotated, Any

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.duration import format_duration
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import session_dir
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.this_user import this_user
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.dead_resources import dead_resources
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import MARKER, owner_slug

from ..api import LinodeReader
from ..endpoint.session_files import forget_vm
from ..local import history
from ..local.deleted_elsewhere import kept_here, unended
from ..local.lock import session_lock
from ..local.sessions import all_sessions
from ..local.warm import all_warm
from ..terminal.console import Console, money
from ..terminal.question import confirm
from ..terminal.table import Column
from ..terminal.when import when

app = typer.Typer(add_completion=False, rich_markup_mode=None)


def forget(name: str) -> None:
    """Close the tunnel and remove the files; the history keeps what it cost."""
    with session_lock(name):
        forget_vm(name)
        if session_dir(name).exists():
            shutil.rmtree(session_dir(name))


@app.command()
def cleanup(
    everyone: Annotated[bool, typer.Option("--everyone", help="What others of the account left over as well.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List only.")] = False,
    wide: Annotated[bool, typer.Option("--wide", help="Every column, however narrow the terminal is.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines of events.")] = False,
) -> None:
    """Find and remove what dead sessions left behind: VMs nobody looks after, firewalls, tunnels, local files."""
    console = Console(as_json)
    reader = LinodeReader()
    instances = reader.list("linode/instances", {"tags": MARKER})
    views = all_sessions(reader, instances)
    found = dead_resources(instances, reader.list("networking/firewalls"), int(time.time()))
    me = owner_slug(this_user())
    dead = [row for row in found if everyone or row["owner"] in (None, me)]
    others = [row for row in found if row not in dead]
    local = kept_here(reader, {name for view in views for name in (view["name"], view["group"])})
    gone = unended(reader, {instance["id"] for instance in instances})
    # Proposed alone: what a warm volume is worth, only a person knows.
    unused = [row for row in all_warm(reader) or [] if row["proposed"] and (everyone or row["owner"] in (None, me))]
    plan = {"dead": dead, "others": others, "local": local, "history": gone, "warm": unused}
    console.event("plan", command="cleanup", **plan)
    show(console, dead, others, local, gone, wide)
    for row in unused:
        price = "an unknown price" if row["monthly"] is None else money(row["monthly"])
        console.text(
            f"warm volume {row['name']}, {price} a month: {row['proposed']}. Delete it: linode-coder warm drop {row['name']}"
        )
    if dry_run or not (dead or local or gone):
        console.event("result", command="cleanup", **plan, removed=[], forgotten=[], changed=0)
        return
    question = f"Remove {len(dead)} from the account, {len(local)} from this machine"
    if gone:
        question += f", and note the end of {len(gone)} in the history"
    if not yes:
        confirm(question + "?", "linode-coder cleanup")
    removed: list[str] = []
    if dead:
        from ..playbook import variables
        from ..playbook.runner import run_playbook

        started = time.time()
        try:
            outcome = run_playbook(variables.Cleanup(remove=[row["label"] for row in dead]), console)
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
    for record in gone:
        history.ended(record["linode_id"], record["hours"], record["cost"], record["ended"])
    changed = len(removed) + len(local) + len(gone)
    console.event("result", command="cleanup", **plan, removed=removed, forgotten=local, changed=changed)
    console.text(f"Removed {len(removed)} from the account and {len(local)} from this machine.")


def show(
    console: Console,
    dead: list[dict[str, Any]],
    others: list[dict[str, Any]],
    local: list[str],
    gone: list[dict[str, Any]],
    wide: bool,
) -> None:
    """What was found, for people."""
    if dead or others:
        heads = [Column("KIND", 3), Column("LABEL"), Column("OWNER", 4), Column("AGE", 2), Column("$/H", 5)]
        heads += [Column("COST", 1), Column("WHY", text=True)]
        rows = []
        for row in dead + others:
            cells = [row["kind"], row["label"], row["owner"] or "-", format_duration(row["age_s"])]
            rows.append([*cells, money(row["hourly"]), money(row["cost"]), row["why"]])
        console.table(heads, rows, wide)
    if others:
        console.text(f"{len(others)} of somebody else stay(s); remove them as well: linode-coder cleanup --everyone")
    for name in local:
        console.text(f"local     files and tunnel of {name}, which has no VM in this account")
    for record in gone:
        end = f"ended {when(record['ended'])}, {money(record['cost'])}" if record["ended"] else "its end is not known"
        console.text(f"history   {record['name']} ({record['linode_id']}) is gone: {end}")
    if not (dead or others or local or gone):
        console.text("Nothing is left over.")
