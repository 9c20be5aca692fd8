"""linode-coder list: every session, what bills first. Never starts Ansible."""

from __future__ import annotations

from typing import Annotated

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.duration import format_duration

from .. import history
from ..api import LinodeReader
from ..console import Console, money, table
from ..sessions import all_sessions

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("list")
def list_sessions(
    show_all: Annotated[bool, typer.Option("--all", help="Sessions that are gone as well.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Show every session, what bills first."""
    console = Console(as_json)
    views = all_sessions(LinodeReader())
    alive = {view["linode_id"] for view in views}
    gone = [record for record in history.known() if record["linode_id"] not in alive] if show_all else []
    if as_json:
        console.result({"command": "list", "sessions": views, "gone": gone})
        return
    if not views:
        console.text("No session exists; nothing bills.")
    else:
        rows = [["NAME", "STATUS", "MODEL", "PLAN", "REGION", "$/H", "COST", "LEASE LEFT", "PAID UNTIL", "OWNER"]]
        for view in views:
            left = view["lease_left"]
            status = view["status"] if view["complete"] else f"{view['status']} (tags incomplete)"
            lease = "unknown" if left is None else format_duration(left) if left > 0 else "over"
            cells = [view["name"] or view["label"], status, view["model"], view["plan"], view["region"]]
            cells += [money(view["hourly"]), money(view["cost_so_far"]), lease, view["paid_until"], view["owner"]]
            rows.append([str(cell or "-") for cell in cells])
        for line in table(rows):
            console.text(line)
    for record in gone:
        cost = f"{record['hours']} h, {money(record['cost'])}" if record["hours"] else "cost unknown"
        console.text(
            f"gone: {record['name']} ({record['plan']} in {record['region']}), ended {record['ended'] or 'unseen'}, {cost}"
        )
