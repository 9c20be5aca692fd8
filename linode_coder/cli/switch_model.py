"""linode-coder switch-model: serve another model on the VM of a session."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.hub import hub_lookup
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.hub_token import hub_token
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.quote import quote_switch
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.wanted import Wanted, as_list

from ..api import LinodeReader
from ..local import budget, history, wake
from ..local.lock import session_lock
from ..local.sessions import all_sessions, pick
from ..local.unrecorded import recorded
from ..terminal.console import Console
from .session_argument import SessionName
from .up import describe_aliases, describe_engine

app = typer.Typer(add_completion=False, rich_markup_mode=None)


def _which(reader: LinodeReader, name: str | None, model: str | None) -> tuple[str, str]:
    """The session and the model. One word alone is the model, for the session that is meant anyhow."""
    if name is not None and model is not None:
        return name, model
    views = all_sessions(reader)
    if name is None or any(view["name"] == name for view in views):
        raise Failure(
            "usage",
            "The model to serve is missing.",
            remedy="Name it after the session: linode-coder switch-model [NAME] MODEL. See: linode-coder models",
            field="model",
        )
    return str(pick(views, None)["name"]), name


@app.command()
def switch_model(
    name: SessionName = None,
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help="What to serve: a name of `models`, or organisation/name."),
    ] = None,
    variant: Annotated[str | None, typer.Option(help="Variant of the model.")] = None,
    context: Annotated[
        str | None, typer.Option(help="Context in tokens, e.g. 65536 or 64K (default: what fits).")
    ] = None,
    tensor_parallel: Annotated[int | None, typer.Option(help="GPUs that share the model (default: all).")] = None,
    alias: Annotated[
        list[str] | None,
        typer.Option(
            help="Name for clients beside the model's own (default: those that the session has; off for none)."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would serve, change nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines of events.")] = False,
) -> None:
    """Serve another model; the old one comes back when the new one does not come up."""
    console = Console(as_json)
    reader = LinodeReader()
    name, model = _which(reader, name, model)
    limit = budget.this_month()
    wanted = Wanted(
        model=model,
        variant=variant,
        context=context,
        tensor_parallel=tensor_parallel,
        aliases=tuple(as_list(",".join(alias or ()))),
        budget=limit.dollars,
        records=limit.records,
    )
    quote = quote_switch(
        reader,
        name,
        wanted,
        now=int(time.time()),
        lookup=hub_lookup,
        has_hub_token=hub_token() is not None,
    )
    view, new = quote["existing"], quote["model"]
    console.event("plan", command="switch-model", quote=quote)
    console.note(f"Session {name} serves {quote['serves']}; {new} is to take its place on {view['plan']}.")
    for line in [*describe_engine(quote["engine"]), *describe_aliases(quote)]:
        console.note(line)
    for line in budget.describe(quote["budget"]):
        console.note(line)
    if dry_run:
        console.event("result", command="switch-model", dry_run=True, changed=0)
        console.text(f"{new} fits on {view['plan']}; nothing was changed.")
        return
    if view["status"] != "running" or not view["complete"]:
        raise Failure(
            "unhealthy",
            f"Session {name!r} is {view['status']}{'' if view['complete'] else ' and its tags are incomplete'}.",
            remedy=f"Verify and repair it: linode-coder up {name}",
        )
    from ..endpoint.api_key import api_key_file
    from ..endpoint.group import drained
    from ..endpoint.tunnel import open_tunnel
    from ..endpoint.up_to_date import remember
    from ..playbook import variables
    from ..playbook.runner import run_playbook

    started = time.time()
    with session_lock(name):
        try:
            switch = variables.SwitchModel(
                session=name,
                model=model,
                variant=variant,
                context=context,
                tensor_parallel=tensor_parallel,
                alias=wanted.aliases or None,
                budget=limit.dollars,
                budget_records=limit.records,
            )
            with drained(view):
                outcome = run_playbook(switch, console)
            after, data = outcome.data["session"], outcome.data
            port = open_tunnel(after)
            key_file = str(api_key_file(after))
            with recorded():
                remember(after, reader, {"api_key_file": key_file, "max_model_len": data["max_model_len"]})
            typed = {"variant": variant, "context": context, "tensor_parallel": tensor_parallel, "alias": alias}
            wake.switched(after, {"model": model, **typed})
        except Failure as failure:
            history.ran(name, "switch-model", started, failure.exit_code, None, failure.message)
            raise
    history.saw([after])
    history.ran(name, "switch-model", started, 0, bool(outcome.changed), None)
    endpoint = f"http://127.0.0.1:{port}/v1"
    console.event(
        "result",
        command="switch-model",
        session=after,
        before=data["before"],
        model=new,
        changed=outcome.changed,
        endpoint=endpoint,
        api_key_file=key_file,
        max_model_len=data["max_model_len"],
    )
    if not outcome.changed:
        console.text(f"Nothing to change: session {name} serves {new} (changed=0).")
    else:
        console.text(
            f"Session {name} serves {new}, context {data['max_model_len']} tokens, in place of {data['before']}."
        )
    console.text(f"endpoint  {endpoint}")
