"""linode-coder extend: move the end of a session's lease, or of a group's, up to the hard cap."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import cost, format_time, parse_time
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.budget import against_budget, extension_adds
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.budget_look import look
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.group import is_group, members
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.lease import Lease, extended
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import MARKER

from ..api import LinodeReader
from ..local import budget, history
from ..local.lock import session_lock
from ..local.sessions import all_sessions, pick_complete
from ..terminal.console import Console, money
from ..terminal.when import when
from .session_argument import SessionName

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def extend(
    name: SessionName = None,
    duration: Annotated[str | None, typer.Argument(metavar="[DURATION]", help="How much longer, e.g. 2h.")] = None,
    until: Annotated[str | None, typer.Option(help="When it is to end instead: 18:30, 2026-12-24T18:30Z.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the new end and its cost, change nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines of events.")] = False,
) -> None:
    """Move the end of a session's lease, or of a group's, up to the hard cap."""
    console = Console(as_json)
    if name is not None and duration is None and name[:1].isdigit():
        # No session is called like a duration.
        name, duration = None, name
    reader = LinodeReader()
    instances = reader.list("linode/instances", {"tags": MARKER})
    views = all_sessions(reader, instances)
    if is_group(views, name):
        _extend_group(console, reader, instances, str(name), duration, until, dry_run)
        return
    view = pick_complete(views, name)
    name = str(view["name"])
    lease = Lease(parse_time(view["lease_end"]), parse_time(view["hard_cap"]))
    end = extended(lease, int(time.time()), duration, until)
    total = cost(parse_time(view["created"]), end, view["hourly"])
    if end == lease.end and not view["doomed"]:
        console.event("result", command="extend", session=view, changed=0)
        console.text(f"Nothing to change: the lease of {name} lasts until {when(view['lease_end'])}.")
        return
    limit = budget.this_month()
    said = None
    if limit.dollars is not None and end > lease.end:
        seen = look(reader, int(time.time()), instances, limit.records, view["hourly"])
        adds = extension_adds(view, format_time(end))
        said = against_budget(seen, limit.dollars, adds, view["hourly"], f"a longer lease of {name}")
    console.event("plan", command="extend", lease_end=format_time(end), cost_to_lease_end=total, budget=said)
    console.note(f"The lease ends {when(end)} then, {money(total)} in all to its end.")
    for line in budget.describe(said):
        console.note(line)
    if dry_run:
        console.event("result", command="extend", session=view, dry_run=True, changed=0)
        console.text(f"Nothing was changed: the lease of {name} ends {when(view['lease_end'])}.")
        return
    _extend(console, view, end, limit)


def _extend(console: Console, view: dict[str, Any], end: int, limit: budget.Budget) -> None:
    from ..playbook import variables
    from ..playbook.runner import run_playbook

    name, started = str(view["name"]), time.time()
    with session_lock(name):
        try:
            longer = variables.Extend(
                session=name, until=format_time(end), budget=limit.dollars, budget_records=limit.records
            )
            outcome = run_playbook(longer, console)
        except Failure as failure:
            history.ran(name, "extend", started, failure.exit_code, None, failure.message)
            raise
    history.ran(name, "extend", started, 0, bool(outcome.changed), None)
    after = outcome.data["session"]
    console.event("result", command="extend", session=after, changed=outcome.changed)
    console.text(
        f"The lease of {name} ends {when(after['lease_end'])}: {money(after['cost_to_lease_end'])} in all to its end."
    )
    if view["doomed"]:
        console.text("It is no longer marked for deletion.")


def _extend_group(
    console: Console,
    reader: LinodeReader,
    instances: list[dict[str, Any]],
    group: str,
    duration: str | None,
    until: str | None,
    dry_run: bool,
) -> None:
    """All of its sessions, each by its own lease and cap; the budget has to allow all of them before the first is changed."""
    views = all_sessions(reader, instances)
    later = []
    for member in members(views, group):
        view = pick_complete(views, str(member["name"]))
        lease = Lease(parse_time(view["lease_end"]), parse_time(view["hard_cap"]))
        end = extended(lease, int(time.time()), duration, until)
        if end != lease.end or view["doomed"]:
            later.append((view, end))
    if not later:
        console.event("result", command="extend", group=group, changed=0)
        console.text(f"Nothing to change: all leases of {group} last as long already.")
        return
    limit, said = budget.this_month(), None
    if limit.dollars is not None:
        adds = sum(extension_adds(view, format_time(end)) for view, end in later)
        hourly = sum(view["hourly"] or 0.0 for view, _end in later)
        if adds > 0:
            seen = look(reader, int(time.time()), instances, limit.records, hourly)
            said = against_budget(seen, limit.dollars, adds, hourly, f"longer leases of {group}")
    ends = {view["name"]: format_time(end) for view, end in later}
    console.event("plan", command="extend", group=group, lease_ends=ends, budget=said)
    for view, end in later:
        total = cost(parse_time(view["created"]), end, view["hourly"])
        console.note(f"The lease of {view['name']} ends {when(end)} then, {money(total)} in all to its end.")
    for line in budget.describe(said):
        console.note(line)
    if dry_run:
        console.event("result", command="extend", group=group, dry_run=True, changed=0)
        console.text(f"Nothing was changed in the group {group}.")
        return
    for view, end in later:
        _extend(console, view, end, limit)
