"""linode-coder list: every session, what bills first. Never starts Ansible."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.duration import format_duration

from ..api import LinodeReader
from ..local import history
from ..local.lock import unfinished
from ..local.sessions import all_sessions
from ..terminal.console import Console, money, table
from ..watchdog import watchers

app = typer.Typer(add_completion=False, rich_markup_mode=None)


def idle_text(view: dict[str, Any], seen: dict[int, int]) -> str:
    """How long it was idle at the last pass of this machine's watcher, and how long it may be."""
    limit = "off" if view["idle_minutes"] is None else f"{view['idle_minutes']} min"
    idle = seen.get(view["linode_id"])
    return f"{'?' if idle is None else format_duration(idle)} of {limit}"


@app.command("list")
def list_sessions(
    show_all: Annotated[bool, typer.Option("--all", help="Sessions that are gone as well.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Show every session, what bills first."""
    console = Console(as_json)
    views = all_sessions(LinodeReader())
    seen = watchers.idle_seen(int(time.time()))
    for view in views:
        view["idle_s"] = seen.get(view["linode_id"])
    for name in sorted(set(unfinished()) - {view["name"] for view in views}):
        console.note(
            f"A command works on session {name}, or was killed at it: a VM may still come. End it: linode-coder down {name}"
        )
    alive = {view["linode_id"] for view in views}
    gone = [record for record in history.known() if record["linode_id"] not in alive] if show_all else []
    if as_json:
        console.result({"command": "list", "sessions": views, "gone": gone})
        return
    if not views:
        console.text("No session exists; nothing bills.")
    else:
        rows = [
            ["NAME", "STATUS", "MODEL", "PLAN", "REGION", "$/H", "COST", "LEASE LEFT", "IDLE", "PAID UNTIL", "OWNER"]
        ]
        for view in views:
            left = view["lease_left"]
            remarks = [] if view["complete"] else ["tags incomplete"]
            remarks += ["tags changed"] if view["doubts"] else []
            remarks += ["paused"] if view["paused_until"] else []
            remarks += ["to be deleted"] if view["doomed"] else []
            status = f"{view['status']} ({', '.join(remarks)})" if remarks else view["status"]
            lease = "unknown" if left is None else format_duration(left) if left > 0 else "over"
            cells = [view["name"] or view["label"], status, view["model"], view["plan"], view["region"]]
            cells += [
                money(view["hourly"]),
                money(view["cost_so_far"]),
                lease,
                idle_text(view, seen),
                view["paid_until"],
                view["owner"],
            ]
            rows.append([str(cell or "-") for cell in cells])
        for line in table(rows):
            console.text(line)
    for record in gone:
        cost = f"{record['hours']} h, {money(record['cost'])}" if record["hours"] else "cost unknown"
        console.text(
            f"gone: {record['name']} ({record['plan']} in {record['region']}), ended {record['ended'] or 'unseen'}, {cost}"
        )
