"""linode-coder watchdog: look after every session of the account, once or until interrupted."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.duration import format_duration, parse_duration
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.record.jobs import watched

from ..endpoint.session_files import forget_vm
from ..local import history, token_history
from ..local.unrecorded import recorded
from ..playbook.variables import Watchdog
from ..settings.config import export_credentials, only
from ..terminal import console as output
from ..terminal.console import Console, money
from ..watchdog import watchers
from ..watchdog.watchers import MAX_INTERVAL_S, MIN_INTERVAL_S

app = typer.Typer(add_completion=False, rich_markup_mode=None)

HEAL = ("off", "alert", "container", "host")


def interval_seconds(given: str | None) -> int:
    """Of the option, else of the configuration."""
    text = given or only("watchdog_interval").watchdog_interval
    seconds = parse_duration(text, "interval")
    if not MIN_INTERVAL_S <= seconds <= MAX_INTERVAL_S:
        raise Failure(
            "usage",
            f"interval {text!r} is not between 1 minute and 1 hour.",
            remedy="5m is a good one: the last ten minutes of a paid hour are not missed then.",
            field="interval",
            value=text,
        )
    return seconds


def highest_rung(given: str | None) -> str:
    """Of the option, else of the configuration, which may allow `heal` more than a watcher does by itself."""
    if given is None:
        configured = only("heal").heal
        return HEAL[-1] if configured == "vm" else configured
    if given not in HEAL:
        raise Failure(
            "usage",
            f"heal {given!r} is none of {', '.join(HEAL)}.",
            remedy="To have a VM replaced, run: linode-coder heal NAME",
            field="heal",
            value=given,
        )
    return given


@app.callback(invoke_without_command=True)
def watchdog(
    ctx: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="One pass, for a timer.")] = False,
    interval: Annotated[
        str | None, typer.Option(help="Time between two passes (default: the configuration's, 5m).")
    ] = None,
    max_deletions: Annotated[int | None, typer.Option(min=0, help="Most VMs that one pass deletes.")] = None,
    heal: Annotated[
        str | None,
        typer.Option(
            help="Highest rung of healing: off, alert, container or host (default: the configuration's, host at most; a new "
            "VM only by `heal`)."
        ),
    ] = None,
    env_file: Annotated[
        Path | None, typer.Option(help="File of mode 0600 with LINODE_TOKEN=... and more, for a timer.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what one pass would do; change nothing, and tell nobody.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines of events.")] = False,
    patience: Annotated[float, typer.Option(hidden=True, min=0.0)] = 1.0,
) -> None:
    """Watch every session of the account: warn, and delete what is over or idle."""
    if ctx.invoked_subcommand is not None:
        return
    if env_file is not None:
        from ..watchdog.timer import load_environment

        load_environment(env_file)
    seconds = interval_seconds(interval)
    policy = highest_rung(heal)
    only("notify_url")
    export_credentials()
    console = Console(as_json)
    # A pass by hand promises no other one; a timer says how often it comes.
    one_off = once and interval is None
    limits = only("budget", "budget_action")
    variables = Watchdog(
        interval=seconds,
        one_off=one_off,
        heal=policy,
        heal_patience=patience,
        max_deletions=max_deletions,
        watcher=watchers.identity(),
        budget=limits.budget,
        budget_action=limits.budget_action,
    )
    if dry_run:
        rehearse(console, variables)
        return
    while True:
        started = time.time()
        pid = None if once else os.getpid()
        # What this machine knows of what is gone changes from pass to pass.
        if limits.budget is not None:
            variables = replace(variables, budget_records=history.this_month())
        failure = one_pass(console, variables, started, None if one_off else seconds, pid)
        if once:
            if failure:
                raise failure
            return
        if failure:
            # The next pass tries again: an outage of the API must not end the watch.
            console.failure(failure)
        pause = max(0.0, started + seconds - time.time())
        console.note(f"Next pass in {format_duration(pause)}.")
        time.sleep(pause)


def rehearse(console: Console, variables: Watchdog) -> None:
    """One pass in check mode: it counts as none, and nothing is recorded."""
    from ..playbook.runner import Run

    if variables.budget is not None:
        variables = replace(variables, budget_records=history.this_month())
    run = Run(replace(variables, one_off=True), console, check=True)
    run.execute()
    console.note("A dry run: nothing was changed, and nobody was told.")
    show(console, run.outcome.data, run.outcome.changed, rehearsed=True)
    for sentence in would_do(run.outcome.data):
        console.text(sentence)


def would_do(data: dict[str, Any]) -> list[str]:
    """What a rehearsed pass left undone, so that it stands in no list of what was done."""
    deferred = data.get("deferred") or []
    found = [
        view["decision"]["sentence"]
        for view in data.get("sessions") or []
        if view["decision"]["action"] == "delete" and view["label"] not in deferred
    ]
    for label, report in (data.get("healing") or {}).items():
        if report["step"]:
            found.append(f"{label}: {report['step']['rung']} would be tried: {report['step']['reason']}")
    return found


def one_pass(
    console: Console, variables: Watchdog, started: float, again: int | None, pid: int | None
) -> Failure | None:
    """Run the playbook, record and show what it did; its failure, if it had one. ``again``: seconds to the next pass."""
    from ..playbook.runner import Run

    run = Run(variables, console)
    failure = None
    try:
        run.execute()
    except Failure as error:
        failure = error
    data = run.outcome.data
    failures = [Failure.from_dict(found) for found in (data.get("failures") or {}).values()]
    if failures:
        failure = failures[0]
        failure.billing = tuple(line for found in failures for line in found.billing)
    with recorded():
        watchers.record_pass(again, failure is None, data.get("sessions") or [], pid, data.get("health"))
    record(data, started)
    show(console, data, run.outcome.changed)
    if failure is None and run.outcome.log and not run.outcome.changed:
        with recorded():
            run.outcome.log.unlink(missing_ok=True)  # every few minutes one that says nothing
    return failure


def record(data: dict[str, Any], started: float) -> None:
    """Into the history, and off this machine what belonged to VMs that are gone."""
    history.write(watched(data), started)
    looks = [(view["linode_id"], view.get("use")) for view in data.get("sessions") or []]
    token_history.looked_at((linode_id, use, (use or {}).get("at")) for linode_id, use in looks)
    for gone in data.get("deleted") or []:
        if gone["name"]:
            forget_vm(gone["name"])


def show(console: Console, data: dict[str, Any], changed: int, rehearsed: bool = False) -> None:
    console.event("result", **{key: value for key, value in data.items() if key != "schema"}, changed=changed)
    sessions = data.get("sessions") or []
    for what in ("marked", "unmarked", "blocked", "restored"):
        for sentence in (data.get(what) or {}).values():
            console.text(sentence)
    for gone in data.get("deleted") or []:
        console.text(gone["sentence"])
    if (data.get("budget") or {}).get("state", "within") != "within":
        console.text(data["budget"]["sentence"])
    for label, report in (data.get("healing") or {}).items():
        done = report["message"] or (report["stop"] or {}).get("message")
        if rehearsed and report["step"]:
            continue
        if report["attempt"] or (report["stop"] or {}).get("reason") not in (None, "nothing"):
            tried = f"{report['step']['rung']}: " if report["step"] else ""
            console.text(f"{label}: {tried}{report['outcome'] or 'not healed'}{': ' + done if done else ''}")
    for label in data.get("deferred") or []:
        console.text(f"{label} is due too, and is left to the next pass: one pass deletes only so many.")
    told = (data.get("told") or {}).get("webhook") or {}
    if told.get("why"):
        waits = f"; {told['waiting']} message(s) wait for a later pass" if told["waiting"] else ""
        console.text(f"The webhook was not reached: {told['why']}{waits}.")
    hourly = sum(view["hourly"] or 0 for view in sessions)
    unseen = data.get("unobserved") or {}
    blind = f", {len(unseen)} could not be read" if unseen else ""
    if "sessions" in data and output.verbosity >= 0:
        console.text(f"Watched {len(sessions)} session(s), {money(hourly)}/h{blind}.")


@app.command()
def install(
    systemd: Annotated[bool, typer.Option("--systemd", help="A timer of your systemd.")] = False,
    cron: Annotated[bool, typer.Option("--cron", help="An entry in your crontab.")] = False,
    interval: Annotated[
        str | None, typer.Option(help="Time between two passes (default: the configuration's, 5m).")
    ] = None,
    only_print: Annotated[bool, typer.Option("--print", help="Show what would be written, write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Run the watchdog by a timer of this user, with the token in a file of mode 0600."""
    from ..watchdog import timer as watch_timer

    seconds = interval_seconds(interval)
    if systemd == cron:
        raise Failure("usage", "Say which timer to use.", remedy="Either --systemd or --cron.", field="systemd")
    console = Console(as_json)
    texts = watch_timer.systemd_units(seconds) if systemd else {"crontab": watch_timer.cron_lines(seconds)}
    kind = "systemd" if systemd else "cron"
    env_file = watch_timer.environment_file()
    if only_print:
        if as_json:
            console.result({"command": "watchdog install", "kind": kind, "files": texts, "env_file": str(env_file)})
            return
        for name, text in texts.items():
            for line in (f"# {name}", *text.split("\n")):
                console.text(line)
        return
    export_credentials()
    watch_timer.check(kind)
    wrote = watch_timer.write_environment()
    changed = watch_timer.install_systemd(seconds) if systemd else watch_timer.install_cron(seconds)
    if as_json:
        console.result(
            {
                "command": "watchdog install",
                "kind": kind,
                "interval": seconds,
                "changed": changed or wrote != "kept",
                "env_file": str(env_file),
                "env": wrote,
            }
        )
        return
    news = "from now on" if changed else "as before: nothing to change"
    console.text(f"A {kind} timer of this user watches every {format_duration(seconds)}, {news}.")
    how = {"made": "written from this environment", "changed": "renewed from this environment", "kept": "as it was"}
    console.text(f"token     in {env_file}, {how[wrote]}")
    if systemd:
        console.text("note      it stops when you log out, unless: loginctl enable-linger")
    console.text("note      while this machine is off or asleep, nothing is deleted; AWX or a server does better")
    console.text("undo      linode-coder watchdog uninstall")


@app.command()
def uninstall(as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False) -> None:
    """Remove the timers that install wrote, and the file with the token."""
    from ..watchdog import timer as watch_timer

    console = Console(as_json)
    removed = [
        kind
        for kind, had in (("systemd", watch_timer.uninstall_systemd()), ("cron", watch_timer.uninstall_cron()))
        if had
    ]
    env_file = watch_timer.environment_file()
    had_file = env_file.exists()
    env_file.unlink(missing_ok=True)
    if removed:
        watchers.forget()
    if as_json:
        console.result({"command": "watchdog uninstall", "removed": removed, "env_file_removed": had_file})
        return
    console.text(f"Removed: {', '.join(removed)}." if removed else "No timer was installed.")
    if had_file:
        console.text(f"The file with the token is gone: {env_file}")
