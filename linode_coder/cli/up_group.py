"""linode-coder up NAME --replicas N: the sessions of a group, each brought up by a command of its own, side by side."""

from __future__ import annotations

import json
import os
import queue
import secrets
import signal
import string
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.atomic_file import replace_file
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.file_lock import file_lock
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import api_key_path
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.hub import hub_lookup
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.hub_token import hub_token
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.quote import make_quote
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.wanted import Wanted
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.group import members, wanted_members
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.view import session_view

from ..api import LinodeReader
from ..local.sessions import all_sessions
from ..playbook import launch
from ..playbook.phases import title
from ..terminal.console import Console, money
from ..terminal.phase_lines import took
from ..terminal.question import confirm
from ..terminal.signals import Terminated

# Of the group and not of its sessions, or said for each of them.
_OF_GROUP = frozenset(("name", "replicas", "group", "yes", "dry_run", "as_json", "model", "max_cost"))
_KEY_LENGTH = 40
# How long an interrupted member may take to end its playbook.
_GRACE_S = 30.0
# What the sessions' commands say, and nobody else.
_LONGEST_LINE = 4_000_000


@dataclass(frozen=True)
class Group:
    """What was asked for. ``options`` are those for each session, as words of its command; ``new_only`` those for a new one."""

    name: str
    replicas: int
    wanted: Wanted
    owner: str
    options: Sequence[str]
    new_only: Sequence[str]


def given_options(context: typer.Context) -> tuple[list[str], list[str]]:
    """The options that stand on the command line and are for the sessions, as words: for all of them, and for new ones only."""
    words: list[str] = []
    new_only: list[str] = []
    for option in context.command.params:
        source = context.get_parameter_source(str(option.name))
        if option.name in _OF_GROUP or source is None or source.name != "COMMANDLINE":
            continue
        value = context.params[str(option.name)]
        into = new_only if option.name == "authorized_key" else words
        if isinstance(value, bool):
            into.append((option.opts if value else option.secondary_opts)[0])
        else:
            for one in value if isinstance(value, list | tuple) else [value]:
                # One word, so that a value that begins with a dash stays one.
                into.append(f"{option.opts[0]}={one}")
    return words, new_only


def describe_group(group: str, names: Sequence[str], new: Sequence[str], quote: dict[str, Any]) -> list[str]:
    """What all new sessions cost together."""
    count = len(new)
    return [
        f"group    {group}: {len(names)} sessions, new are {', '.join(new)}",
        f"together {money(count * quote['hourly'])} per started hour, at most {money(count * quote['cost_to_lease_end'])} to the end "
        f"of the leases, worst case {money(count * quote['cost_to_cap'])}",
    ]


def bring_up(
    console: Console,
    group: Group,
    lines: Any,
    instances: list[dict[str, Any]],
    *,
    yes: bool,
    dry_run: bool,
    public: bool,
) -> None:
    """Plan, ask, and bring up what is missing; what exists is verified. ``lines`` are the words of one session's quote."""
    reader, now = LinodeReader(public=public), int(time.time())
    views = [dict(view) for view in members([session_view(row, now) for row in instances], group.name)]
    names = wanted_members([session_view(row, now) for row in instances], group.name, group.replicas)
    existing = {str(view["name"]): view for view in views}
    new = [name for name in names if name not in existing]
    served = next((str(view["model"]) for view in views if view["model"]), None)
    wanted = replace(group.wanted, group=group.name)
    for view in views:
        if wanted.model is not None or wanted.variant is not None:
            # Refuses another model than is served.
            asked = Wanted(model=wanted.model, variant=wanted.variant, group=group.name)
            make_quote(reader, view["name"], asked, now=now, instances=instances, lookup=hub_lookup, access=False)
    if served is not None:
        wanted = replace(wanted, model=served, variant=None)
    share = None if wanted.max_cost is None else wanted.max_cost / max(1, len(new))
    quote = None
    if new:
        quote = make_quote(
            reader,
            new[0],
            wanted,
            now=now,
            owner=group.owner,
            instances=instances,
            lookup=hub_lookup,
            has_hub_token=hub_token() is not None,
            copies=len(new),
        )
    console.event("plan", command="up", group=group.name, sessions=names, new=new, quote=quote)
    if quote is not None:
        for line in [*lines(quote), *describe_group(group.name, names, new, quote)]:
            console.text(line)
    if dry_run:
        if not new:
            console.text(f"All {len(names)} sessions of {group.name} exist; `up` would verify them.")
        console.event("result", command="up", group=group.name, dry_run=True, changed=0)
        return
    if quote is not None and not yes:
        question = f"Create {len(new)} sessions for {money(len(new) * quote['hourly'])} per hour together?"
        confirm(question, f"linode-coder up {group.name} --replicas {group.replicas}")
    _same_key(group.name, views)
    model = [] if wanted.model is None else [f"--model={wanted.model}"]
    model += [] if wanted.variant is None else [f"--variant={wanted.variant}"]
    cost = [] if share is None else [f"--max-cost={share}"]
    options = {
        name: [*group.options, *([] if name in existing else [*model, *cost, *group.new_only])] for name in names
    }
    _report(console, group, names, _run_all(console, group.name, options))


def _same_key(group: str, views: list[dict[str, Any]]) -> None:
    """Have the key of the group on this machine, which each new session is given: that of its sessions, or a new one."""
    from ..endpoint.api_key import kept_key
    from ..endpoint.group import group_key

    path = api_key_path(group)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with file_lock(path.parent / "group-key.lock"):
        if views:
            group_key(group, views)
        elif kept_key(group) is None:
            letters = string.ascii_letters + string.digits
            replace_file(path, "".join(secrets.choice(letters) for _each in range(_KEY_LENGTH)) + "\n", parents=True)


@dataclass
class _Run:
    """A session's command: its process, and how it ended."""

    process: subprocess.Popen[bytes]
    result: dict[str, Any] | None = None
    failure: Failure | None = None


def _command(group: str, name: str, options: Sequence[str]) -> list[str]:
    """``up`` of one session, which ends when this process is killed."""
    launcher = ["env", sys.executable, "-I", "-S", str(Path(launch.__file__)), str(os.getpid()), ""]
    own = [sys.executable, "-P", "-m", "linode_coder", "up", name, f"--group={group}", "--yes", "--json"]
    return [*launcher, *own, *options]


def _read(name: str, pipe: IO[bytes], into: queue.Queue[tuple[str, dict[str, Any] | None]]) -> None:
    """Each line that is an event, and None at the end."""
    with pipe:
        while line := pipe.readline(_LONGEST_LINE):
            try:
                said = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(said, dict):
                into.put((name, said))
    into.put((name, None))


def _run_all(console: Console, group: str, options: dict[str, list[str]]) -> dict[str, _Run]:
    """Every session's command at once, to the end of all of them."""
    events: queue.Queue[tuple[str, dict[str, Any] | None]] = queue.Queue()
    runs: dict[str, _Run] = {}
    try:
        for name, words in options.items():
            # By this thread, for which the kernel watches that it lives.
            process = subprocess.Popen(
                _command(group, name, words),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            runs[name] = _Run(process)
            assert process.stdout is not None
            threading.Thread(target=_read, args=(name, process.stdout, events), daemon=True).start()
        console.step(f"Bring up {', '.join(options)}")
        going = set(options)
        while going:
            try:
                name, said = events.get(timeout=0.2)
            except queue.Empty:
                console.tick(f"{len(options) - len(going)} of {len(options)} done")
                continue
            if said is None:
                going.discard(name)
            else:
                _heard(console, name, said, runs[name])
        for run in runs.values():
            run.process.wait()
        console.step_done()
    except (KeyboardInterrupt, Terminated):
        _interrupt(runs)
        console.note(f"Go on: linode-coder up {group} --replicas {len(options)}. End all: linode-coder down {group}.")
        raise
    return runs


def _heard(console: Console, name: str, said: dict[str, Any], run: _Run) -> None:
    """An event of a session's command: remembered, passed on, and told to people in a line."""
    kind = said.get("event")
    if kind == "result":
        run.result = said
    elif kind == "error" and isinstance(said.get("error"), dict):
        run.failure = Failure.from_dict(said["error"])
    elif kind == "phase_finished":
        console.note(
            f"{name}: {said.get('outcome')} {title(str(said.get('phase')))} ({took(float(said.get('seconds') or 0))})"
        )
    elif kind == "attempt" and isinstance(said.get("attempt"), dict):
        tried = said["attempt"]
        console.note(f"{name}: {tried.get('plan')} in {tried.get('region')}: {tried.get('outcome')}")
    console.event("member", session=name, said={key: value for key, value in said.items() if key != "schema"})


def _interrupt(runs: dict[str, _Run]) -> None:
    """Let each end its playbook; what they made stays, with its lease."""
    for run in runs.values():
        if run.process.poll() is None:
            run.process.send_signal(signal.SIGINT)
    until = time.monotonic() + _GRACE_S
    for run in runs.values():
        try:
            run.process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            run.process.kill()


def _report(console: Console, group: Group, names: list[str], runs: dict[str, _Run]) -> None:
    """How all ended; Failure of the first that did not come up."""
    from ..endpoint.group import look_now

    look_now(group.name)
    up = [name for name in names if runs[name].result is not None]
    changed = sum(int((runs[name].result or {}).get("changed") or 0) for name in up)
    views = {view["name"]: view for view in all_sessions(LinodeReader())}
    shown = [views[name] for name in names if name in views]
    for name in up:
        if name in views:
            view = views[name]
            console.text(f"session   {name} on {view['plan']} in {view['region']}, {money(view['hourly'])}/h")
    failed = {name: runs[name].failure for name in names if name not in up}
    if not failed:
        hourly = sum(view["hourly"] or 0.0 for view in shown)
        console.event("result", command="up", group=group.name, sessions=shown, changed=changed)
        if not changed:
            console.text(f"Nothing to change: all {len(names)} sessions of {group.name} are up (changed=0).")
        console.text(f"group     {len(up)} of {len(names)} sessions run, {money(hourly)}/h together")
        console.text(f'use it    eval "$(linode-coder use {group.name})"')
        console.text(f"end it    linode-coder down {group.name}")
        return
    console.text(f"group     {len(up)} of {len(names)} sessions run")
    name, first = next(iter(failed.items()))
    if first is None:
        first = Failure("internal", f"its command ended with status {runs[name].process.returncode}.")
    again = f"linode-coder up {group.name} --replicas {group.replicas}"
    raise Failure(
        first.kind,
        f"{len(up)} of {len(names)} sessions of {group.name} run. {name}: {first.message}",
        cause=first.cause,
        remedy=f"{first.remedy or ''} Try again for the rest: {again}".strip()
        + (" --wait-for-capacity" if first.kind == "capacity" else ""),
        field=first.field,
        value=first.value,
        billing=tuple(line for failure in failed.values() if failure for line in failure.billing),
    )
