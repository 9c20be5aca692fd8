"""linode-coder warm: the volumes that sessions start warm from, what they cost, and deleting one."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import parse_time
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.did_you_mean import did_you_mean, nearest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure

from ..api import LinodeReader
from ..local import history
from ..local.warm import all_warm
from ..terminal.console import Console, money
from ..terminal.question import confirm
from ..terminal.table import Column
from ..terminal.when import when

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def warm() -> None:
    """Show and delete the volumes that sessions start warm from."""


def _all() -> list[dict[str, Any]]:
    found = all_warm(LinodeReader())
    if found is None:
        raise Failure(
            "scope",
            "The API token may not read volumes.",
            remedy="Create a token that has volumes:read_write too.",
            field="api_token",
        )
    return found


def _row(volume: dict[str, Any], now: int) -> list[str]:
    used = when(parse_time(volume["last_used"]), now) if volume["last_used"] else "never"
    return [
        volume["name"],
        volume["model"] or "unknown",
        volume["region"],
        f"{volume['size_gb']} GB",
        "unknown" if volume["monthly"] is None else money(volume["monthly"]),
        used,
        volume["attached_to"] or ("free" if volume["filled"] else "free, not filled"),
        volume["owner"] or "unknown",
    ]


@app.command("list")
def list_volumes(
    wide: Annotated[bool, typer.Option("--wide", help="Every column, however narrow the terminal is.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Show every warm volume, what it costs a month, and when it was used last."""
    console = Console(as_json)
    volumes, now = _all(), int(time.time())
    total = round(sum(volume["monthly"] or 0.0 for volume in volumes), 4)
    if as_json:
        console.result({"command": "warm list", "volumes": volumes, "monthly": total})
        return
    if not volumes:
        console.text("Nothing is kept warm. `linode-coder up NAME --keep-warm` does it.")
        return
    heads = [Column("NAME"), Column("MODEL", 3), Column("REGION", 4), Column("SIZE", 5), Column("A MONTH")]
    heads += [Column("LAST USED", 2), Column("USED BY", 1), Column("OWNER", 6)]
    console.table(heads, [_row(volume, now) for volume in volumes], wide)
    console.text(f"total    {money(total)} a month, with or without a VM")
    for volume in volumes:
        if volume["proposed"]:
            console.text(f"may go   {volume['name']}: {volume['proposed']}; linode-coder warm drop {volume['name']}")


def _pick(volumes: list[dict[str, Any]], name: str) -> dict[str, Any]:
    for volume in volumes:
        if volume["name"] == name:
            return volume
    near = nearest(name, [volume["name"] for volume in volumes], cutoff=0.4)
    raise Failure(
        "not_found",
        f"There is no warm volume {name!r} in this account.",
        remedy=did_you_mean(near, "See them all: linode-coder warm list"),
        field="name",
        value=name,
    )


@app.command()
def drop(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the volume.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be deleted, delete nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines of events.")] = False,
) -> None:
    """Delete a warm volume and what it holds, unless a VM has it."""
    console = Console(as_json)
    volume = _pick(_all(), name)
    if volume["attached_to"]:
        raise Failure(
            "busy",
            f"The volume {name} is in use by {volume['attached_to']}.",
            remedy="End that session first (linode-coder list); its volume stays, and can be deleted then.",
            field="name",
            value=name,
        )
    price = "at an unknown price" if volume["monthly"] is None else f"at {money(volume['monthly'])} a month"
    made = when(parse_time(volume["created"]), int(time.time()))
    what = f"{name} ({volume['model'] or 'model unknown'} in {volume['region']}), {volume['size_gb']} GB {price}, made {made}"
    if dry_run:
        console.event("result", command="warm drop", volume=volume, dry_run=True, changed=0)
        console.text(f"`warm drop` would delete {what}.")
        return
    if not yes:
        confirm(f"Delete {what}?", f"linode-coder warm drop {name}")
    from ..playbook import variables
    from ..playbook.runner import run_playbook

    started = time.time()
    try:
        outcome = run_playbook(variables.WarmDrop(volume=name), console)
    except Failure as failure:
        history.ran("all", "warm drop", started, failure.exit_code, None, failure.message)
        raise
    history.ran("all", "warm drop", started, 0, bool(outcome.changed), name)
    console.event("result", command="warm drop", volume=volume, changed=outcome.changed)
    console.text(f"The volume {name} is gone and bills no more; the next session of its model starts cold.")
