"""linode-coder keys: the SSH keys that sessions know, of people and of their control nodes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.api_key import SECRETS_FILE
from ansible_collections.linode_coder.gpu.plugins.module_utils.record.jobs import keys_sentence
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.client_keys import parse_key

from ..api import LinodeReader
from ..local import history
from ..local.lock import session_lock
from ..local.sessions import all_sessions, pick
from ..playbook.variables import Keys
from ..terminal.console import Console
from ..terminal.question import confirm
from ..terminal.table import Column
from .session_argument import SessionName

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)

All = Annotated[bool, typer.Option("--all", help="Every session that runs.")]
Json = Annotated[bool, typer.Option("--json", help="JSON lines of events.")]


@app.callback()
def keys() -> None:
    """Show, add and remove the SSH keys that sessions know."""


def _meant(name: str | None, every: bool) -> list[str]:
    if every and name is not None:
        raise Failure("usage", "all: a session is named as well.", remedy="Leave one of both out.", field="all")
    views = all_sessions(LinodeReader())
    if not every:
        return [str(pick(views, name)["name"])]
    found = [str(view["name"]) for view in views if view["status"] == "running" and view["complete"]]
    if not found:
        raise Failure("not_found", "There is no session that runs.", remedy="See what there is: linode-coder list")
    return found


def _play(console: Console, variables: Keys, dry_run: bool) -> dict[str, Any]:
    from ..playbook.runner import run_playbook

    started = time.time()
    if dry_run or not (variables.keys_present or variables.keys_absent):
        return run_playbook(variables, console, check=dry_run).data
    with session_lock(variables.session):
        try:
            outcome = run_playbook(variables, console)
        except Failure as failure:
            history.ran(variables.session, "keys", started, failure.exit_code, None, failure.message)
            raise
    history.ran(variables.session, "keys", started, 0, bool(outcome.changed), keys_sentence(outcome.data))
    return outcome.data


def _each(console: Console, wanted: list[Keys], dry_run: bool = False) -> list[dict[str, Any]]:
    """What each reports. One that fails keeps no other from its turn; the first failure is raised in the end."""
    done, failures = [], []
    for variables in wanted:
        try:
            done.append(_play(console, variables, dry_run))
        except Failure as failure:
            failures.append(failure)
            if len(wanted) > 1:
                console.note(f"{variables.session}: {failure.message} {failure.remedy or ''}".rstrip())
    if failures:
        raise failures[0]
    return done


@app.command("list")
def list_keys(name: SessionName = None, every: All = False, as_json: Json = False) -> None:
    """Show the keys that a session knows. Lines with options, such as a gateway's, are not shown."""
    console = Console(as_json)
    rows = []
    for data in _each(console, [Keys(session=session) for session in _meant(name, every)]):
        session = data["session"]["name"]
        console.event("result", command="keys list", session=data["session"], keys=data["keys"])
        rows += [[session, key["comment"] or "-", key["kind"], key["fingerprint"]] for key in data["keys"]]
    console.table([Column("SESSION"), Column("WHO"), Column("KIND", 1), Column("FINGERPRINT")], rows, True)


@app.command()
def add(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File with one public key.")],
    name: SessionName = None,
    every: All = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Let a public key log in to a session that runs. New sessions know those of the setting authorized_keys."""
    console = Console(as_json)
    try:
        key = parse_key(file.expanduser().read_text(), "file")
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(
            "usage",
            f"{file} cannot be read.",
            cause=str(error),
            remedy="Name a file such as ~/.ssh/id_ed25519.pub.",
            field="file",
        ) from error
    wanted = [Keys(session=session, keys_present=(key.line,)) for session in _meant(name, every)]
    for data in _each(console, wanted, dry_run):
        session, changed = data["session"]["name"], bool(data["added"])
        console.event("result", command="keys add", session=data["session"], keys=data["keys"], added=data["added"])
        would = "would know" if dry_run else "knows"
        console.text(
            f"{session} {would if changed else 'already knows'} {key.comment or 'the key'} ({key.fingerprint})."
        )


@app.command()
def remove(
    who: Annotated[str, typer.Argument(metavar="WHO", help="Fingerprint of the key, or its whole comment.")],
    name: SessionName = None,
    every: All = False,
    lock_out: Annotated[bool, typer.Option("--lock-out", help="Also if it is the key of this machine.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Take a key away from a session. What it has open stays open until it is closed."""
    console = Console(as_json)
    sessions = _meant(name, every)
    if not (yes or dry_run):
        confirm(f"Remove {who} from {', '.join(sessions)}?", "linode-coder keys remove WHO NAME")
    wanted = [Keys(session=session, keys_absent=(who,), keys_lock_out=lock_out or None) for session in sessions]
    for data in _each(console, wanted, dry_run):
        session, gone = data["session"]["name"], data["removed"]
        console.event("result", command="keys remove", session=data["session"], keys=data["keys"], removed=gone)
        if not gone:
            console.text(f"{session} does not know {who}: nothing to change.")
            continue
        console.text(f"{session} {'would forget' if dry_run else 'has forgotten'} {', '.join(gone)}.")
        if not dry_run:
            console.text(
                "What that key has open stays open; this ends it all: linode-coder ssh " + session + " -- reboot"
            )
            console.text(
                f"They may have copied the API key. Make another: linode-coder ssh {session} -- rm {SECRETS_FILE}, "
                f"then linode-coder up {session} --converge"
            )
