"""linode-coder heal: the next rung of the remedy ladder for a session, proven with a token, or why none is taken."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Annotated, Any

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import parse_time
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.finding import Finding
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.rungs import BY_ID, CAPS, ORDER
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.ssh_refusal import key_refused, unknown_key
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal.attempts import Record, parse
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.budget import against_budget, replacement_adds
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.budget_look import look
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import MARKER, decode

from ..api import LinodeReader
from ..endpoint.group import drained
from ..local import budget, history
from ..local.lock import session_lock
from ..local.sessions import all_sessions, pick
from ..playbook.variables import Heal
from ..settings.config import load, read
from ..terminal.console import Console, money
from ..terminal.escapes import last_line
from ..terminal.question import confirm
from ..terminal.table import Column
from ..terminal.when import when
from ..watchdog.watchers import identity
from .session_argument import SessionName

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_RECORD = "/var/lib/linode-coder/attempts.jsonl"


@app.command()
def heal(
    name: SessionName = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the next rung and what it costs, do nothing.")
    ] = False,
    max_rung: Annotated[
        str | None, typer.Option(help="Highest group of rungs: container, host or vm (default: the configuration's).")
    ] = None,
    now: Annotated[
        bool,
        typer.Option("--now", help="Do not wait for a recent boot, start or request: show what that costs, and ask."),
    ] = False,
    ack: Annotated[
        bool, typer.Option("--ack", help="Tell healing that you fixed the cause, so that it starts over.")
    ] = False,
    past: Annotated[bool, typer.Option("--history", help="Show what was tried.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before a reboot or more.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines of events.")] = False,
    patience: Annotated[float, typer.Option(hidden=True, min=0.0)] = 1.0,
) -> None:
    """Take the next rung of the remedy ladder, and prove that it helped."""
    console = Console(as_json)
    max_rung = str(read().values["heal"]) if max_rung is None else max_rung
    if max_rung not in CAPS:
        raise Failure(
            "usage",
            f"max-rung {max_rung!r} is not a group of rungs.",
            remedy=f"Use one of {', '.join(CAPS)}.",
            field="max_rung",
            value=max_rung,
        )
    view = pick(all_sessions(LinodeReader()), name)
    session = str(view["name"])
    if past:
        tags = LinodeReader().get(f"linode/instances/{view['linode_id']}")["tags"]
        show_history(console, session, read_record(view).with_tags(tags))
        return
    limit = budget.this_month()
    variables = Heal(
        session=session,
        heal_policy=max_rung,
        heal_patience=patience,
        heal_now=now or None,
        watcher=identity(),
        budget=limit.dollars,
        budget_records=limit.records,
        # A replacement knows them too.
        authorized_keys=load().authorized_keys or None,
    )
    if ack:
        told = play(console, replace(variables, heal_ack=True))["acknowledged_on_vm"]
        console.event("result", command="heal", session=view, acknowledged=True, acknowledged_on_vm=told)
        console.text(f"Healing of {session} starts over: its budgets are full and its breaker is closed.")
        if not told:
            console.text("The VM could not be reached to write that down: once it can be, acknowledge it again.")
        return
    with session_lock(session):
        # Also a look alone writes down that no rung is left: whoever looks next has to know it.
        report = play(console, replace(variables, heal_dry_run=True, heal_give_up=not dry_run))["report"]
        step = report["step"]
        console.event(
            "plan", command="heal", step=step, stop=report["stop"], effect=BY_ID[step["rung"]].takes if step else None
        )
        if step:
            describe(console, step, report["hourly"])
            if step["rung"] == "recreate_vm" and limit.dollars is not None:
                stand_before(console, view, limit.dollars, limit.records)
        if step and not dry_run:
            rung = BY_ID[step["rung"]]
            if (rung.asks or step["pushed"]) and not yes:
                confirm(f"{rung.id}: {rung.takes}. Go on?", f"linode-coder heal {session}{' --now' if now else ''}")
            # Nothing that would have been asked about, whatever has happened since.
            unasked = [name for name in ORDER if not BY_ID[name].asks]
            highest = rung.id if rung.asks else "container" if max_rung == "container" else unasked[-1]
            real = replace(variables, heal_policy=highest, heal_observations=report["observations"])
            kept = kept_open(session)
            with drained(view):
                report = play(console, real)["report"]
            if kept and report["outcome"] == "healed":
                reopen(console, session)
    conclude(console, view, report)


def play(console: Console, variables: Heal) -> dict[str, Any]:
    """Run the playbook; what it reports."""
    from ..playbook.runner import run_playbook

    started = time.time()
    try:
        outcome = run_playbook(variables, console)
    except Failure as failure:
        history.ran(variables.session, "heal", started, failure.exit_code, None, failure.message)
        raise
    if not variables.heal_dry_run and not history.healing(variables.session, started, outcome.data["report"]):
        history.ran(variables.session, "heal", started, 0, bool(outcome.changed), None)
    return outcome.data


def kept_open(name: str) -> bool:
    """Whether this machine keeps a tunnel to the session open, even where the VM lets nobody in at the moment."""
    from ..endpoint.tunnel_files import read_state

    return read_state(name) is not None


def reopen(console: Console, name: str) -> None:
    """Open the tunnel again: its VM was rebooted or replaced, and its keeper waits ever longer between two tries."""
    from ..endpoint.tunnel import open_tunnel

    try:
        port = open_tunnel(pick(all_sessions(LinodeReader()), name))
    except Failure as failure:
        console.note(f"The tunnel is not open again: {failure.message} {failure.remedy or ''}".rstrip())
        return
    console.note(f"The tunnel is open again: http://127.0.0.1:{port}/v1")


def stand_before(console: Console, view: dict[str, Any], dollars: float, records: tuple[dict[str, Any], ...]) -> None:
    """Failure(refused) when the month's budget does not pay a second VM for a while. The playbook looks again."""
    reader, now = LinodeReader(), int(time.time())
    rows = reader.list("linode/instances", {"tags": MARKER})
    if sum(decode(row["tags"]).session == view["name"] for row in rows) > 1:
        return  # both exist already: a replacement that was cut short goes on, so that one of them can go
    seen = look(reader, now, rows, records, view["hourly"])
    end = parse_time(view["lease_end"]) if view["lease_end"] else now
    hourly = view["hourly"] or 0.0
    adds = replacement_adds(now, parse_time(view["created"]), end, hourly, hourly)
    said = against_budget(seen, dollars, adds, view["hourly"], f"a VM in place of {view['label']}")
    for line in budget.describe(said):
        console.text(line)


def describe(console: Console, step: dict[str, Any], hourly: float | None) -> None:
    console.text(f"next rung  {step['rung']} (attempt {step['number']})")
    console.text(f"why        {step['reason']}")
    if step["evidence"]:
        console.text(f"evidence   {last_line(step['evidence'])[:200]}")
    if step["change"]:
        change = step["change"]
        console.text(f"change     {change['flag']}: {change['old']} -> {change['new']}")
    if step["pushed"]:
        console.text(f"no wait    {step['pushed']}")
    console.text(f"effect     {BY_ID[step['rung']].takes}")
    extra = hourly if step["rung"] == "recreate_vm" else 0.0
    console.text(
        f"cost       {money(extra)} more per hour while both VMs exist" if extra else "cost       nothing more"
    )


def conclude(console: Console, view: dict[str, Any], report: dict[str, Any]) -> None:
    """The result, and Failure(unhealthy) when the session is not healthy now."""
    name, step, stop = view["name"], report["step"], report["stop"]
    shown = {key: report[key] for key in ("step", "stop", "attempt", "outcome", "message", "dry_run", "findings")}
    console.event("result", command="heal", session=view, **shown)
    if step and report["dry_run"]:
        console.text("Nothing was done: this was a dry run.")
        return
    if step and report["outcome"] == "healed":
        console.text(f"Healed: {step['rung']} helped, {name} has generated a token.")
        if step["rung"] == "recreate_vm":
            console.text(f'The VM has another address now. Where you use it: eval "$(linode-coder use {name})"')
            if report["message"]:
                console.text(report["message"])
        return
    if step:
        failing = [Finding.from_dict(row) for row in report["findings"] if row["severity"] == "fail"]
        raise Failure(
            "unhealthy",
            f"{step['rung']} did not heal {name}{': ' + failing[0].summary if failing else '.'}",
            cause=report["message"],
            remedy=f"See what was tried: linode-coder heal {name} --history. The next rung: linode-coder heal {name}.",
        )
    if stop["reason"] == "nothing":
        console.text(f"Nothing to heal: {stop['message']}")
        return
    until = f" Look again after {when(stop['until'])}." if stop["until"] else ""
    if stop["waits"]:
        until += f" Or do not wait: linode-coder heal {name} --now."
    raise Failure(
        "unhealthy",
        f"{name} is not healed ({stop['reason'].replace('_', ' ')}): {stop['message']}",
        remedy=f"{stop['remedy']}{until}".strip() or f"See: linode-coder heal {name} --history",
    )


def read_record(view: dict[str, Any]) -> Record:
    """What the VM remembers, in one round trip and without Ansible."""
    from ..endpoint.tunnel import bounded, ssh_command

    command = [*ssh_command(view, "-o", "BatchMode=yes"), f"test ! -e {_RECORD} || cat {_RECORD}"]
    done = bounded(view["name"], command, capture_output=True)
    if done.returncode == 255 and key_refused(done.stderr):
        raise unknown_key(view["name"], last_line(done.stderr))
    if done.returncode:
        raise Failure(
            "unreachable",
            "The VM cannot be reached over SSH.",
            cause=done.stderr.strip()[-300:],
            remedy="See: linode-coder list",
        )
    return parse(done.stdout)


def show_history(console: Console, name: str, record: Record) -> None:
    if console.as_json:
        attempts = [attempt.as_dict() for attempt in record.attempts]
        console.result({"command": "heal", "session": name, "attempts": attempts, "breaker": record.breaker})
        return
    heads = [Column("WHEN"), Column("RUNG"), Column("OUTCOME", 1), Column("WHAT FAILED", 2), Column("CHANGE", 3)]
    rows = []
    for attempt in record.attempts:
        change = attempt.change
        rows.append(
            [
                when(attempt.at),
                attempt.rung,
                f"{attempt.outcome} (acknowledged)" if attempt.acknowledged else attempt.outcome,
                attempt.fingerprint.rstrip("|").replace("|", " "),
                f"{change['flag']}: {change['old']} -> {change['new']}" if change else "",
                attempt.owner,
            ]
        )
    if rows:
        console.table([*heads, Column("BY", 4)], rows)
    else:
        console.text(f"Nothing was tried on {name}.")
    if record.breaker:
        console.text(
            f"Healing waits for a person: {record.breaker} When it is looked after: linode-coder heal {name} --ack"
        )
