"""linode-coder pause: no healing and no idle deletion for a while. The lease goes on."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import format_time, parse_time
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.lease import paused_until

from ..api import LinodeReader
from ..local import history
from ..local.lock import session_lock
from ..local.sessions import all_sessions, pick_complete
from ..terminal.console import Console
from ..terminal.when import when
from .session_argument import SessionName

app = typer.Typer(add_completion=False, rich_markup_mode=None)
DEFAULT = "2h"


@app.command()
def pause(
    name: SessionName = None,
    duration: Annotated[str | None, typer.Option("--for", help=f"How long from now on (default {DEFAULT}).")] = None,
    off: Annotated[bool, typer.Option("--off", help="End a pause.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show until when, change nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines of events.")] = False,
) -> None:
    """Pause healing and idle deletion, for work on the VM. The lease goes on."""
    console = Console(as_json)
    if off and duration is not None:
        raise Failure(
            "usage",
            "A pause either begins or ends.",
            remedy="Leave --for out to end it, or --off to begin one.",
            field="off",
        )
    view = pick_complete(all_sessions(LinodeReader()), name)
    name = str(view["name"])
    if off and not view["paused_until"]:
        console.event("result", command="pause", session=view, changed=0)
        console.text(f"Nothing to change: {name} is not paused.")
        return
    wanted = duration or DEFAULT
    until = None if off else format_time(paused_until(int(time.time()), wanted, parse_time(view["hard_cap"])))
    console.event("plan", command="pause", paused_until=until)
    if dry_run:
        console.event("result", command="pause", session=view, dry_run=True, changed=0)
        console.text(f"`pause` would {f'pause {name} until {until}' if until else f'end the pause of {name}'}.")
        return
    from ..playbook import variables
    from ..playbook.runner import run_playbook

    started = time.time()
    with session_lock(name):
        try:
            outcome = run_playbook(variables.Pause(session=name, pause="clear" if off else wanted), console)
        except Failure as failure:
            history.ran(name, "pause", started, failure.exit_code, None, failure.message)
            raise
    history.ran(name, "pause", started, 0, bool(outcome.changed), None)
    after = outcome.data["session"]
    console.event("result", command="pause", session=after, changed=outcome.changed)
    if off:
        console.text(f"{name} is healed again, and deleted when it is idle.")
    else:
        console.text(f"{name} is neither healed nor deleted for being idle until {when(after['paused_until'])}.")
        console.text(
            f"Its lease goes on and ends {when(after['lease_end'])}; end the pause: linode-coder pause {name} --off"
        )
