"""linode-coder validate: everything that can be checked before money is spent, or what a session serves."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.finding import Finding, worst
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.endpoint_check import check_endpoint, unhealthy
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.context_length import parse_context
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.hub import hub_lookup
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.hub_token import hub_token
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.preflight import (
    gather,
    preflight,
    refusal,
)
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.wanted import Wanted

from ..api import LinodeReader
from ..local import history
from ..local.sessions import all_sessions, pick
from ..settings import config
from ..terminal.console import Console
from ..terminal.line import STATES, Span
from ..terminal.table import Column

app = typer.Typer(add_completion=False, rich_markup_mode=None)


def _configuration(reading: config.Reading) -> list[Finding]:
    findings = [
        Finding(
            "preflight.configuration",
            "fail" if problem.severity == "error" else "warn",
            "configuration",
            problem.message,
            problem.where,
            remedy=problem.remedy,
        )
        for problem in reading.problems
    ]
    return findings or [Finding("preflight.configuration", "pass", "configuration", "The configuration is valid.")]


def before_spending(
    options: config.Options, variant: str | None = None, tensor_parallel: int | None = None
) -> list[Finding]:
    """The configuration, and with it and the options all that the account can be asked."""
    reading = config.read(**options)
    findings = _configuration(reading)
    values = reading.values
    wanted = Wanted(
        # A variant that was named names its model as well.
        model=values["model"] if variant is None else options.get("model"),
        variant=variant,
        context=values["context"],
        tensor_parallel=tensor_parallel,
        plans=values["plan"],
        regions=values["region"],
        lease=values["lease"],
        cap=values["cap"],
        idle=values["idle"],
        max_cost=values["max_cost"],
        budget=values["budget"],
        records=tuple(history.this_month()) if values["budget"] else (),
    )
    try:
        now = int(time.time())
        answers = gather(LinodeReader(), now, values["budget"] is not None)
    except Failure as failure:
        missing = Finding("preflight.token", "fail", "token", failure.message, remedy=failure.remedy or "")
        return [*findings, missing]
    return findings + preflight(answers, wanted, now, hub_lookup, hub_token() is not None)


def what_is_served(name: str, context: str | None) -> list[Finding]:
    """Through the tunnel, as the clients of this machine reach it."""
    from ..endpoint.engine import client

    view = pick(all_sessions(LinodeReader()), name)
    return check_endpoint(client(view), view["model"], parse_context(context))


def show(console: Console, findings: list[Finding]) -> None:
    rows: list[list[str | Span]] = [
        [Span(each.severity.upper(), STATES[each.severity]), each.id, each.summary] for each in findings
    ]
    console.table([Column("VERDICT"), Column("CHECK"), Column("WHAT WAS FOUND", text=True)], rows)
    for finding in findings:
        if finding.severity in ("fail", "warn", "unknown"):
            for part in (finding.evidence, finding.remedy):
                if part:
                    console.text(f"{finding.id}: {part}")


@app.command()
def validate(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Session whose endpoint is checked.")] = None,
    model: Annotated[str | None, typer.Option(help="Model, as `up` takes it.")] = None,
    variant: Annotated[str | None, typer.Option(help="Variant of the model.")] = None,
    context: Annotated[str | None, typer.Option(help="Tokens that have to fit.")] = None,
    tensor_parallel: Annotated[int | None, typer.Option(help="GPUs to spread over.")] = None,
    plan: Annotated[list[str] | None, typer.Option(help="Plan to try; repeat or separate with commas.")] = None,
    region: Annotated[list[str] | None, typer.Option(help="Region to try; repeat or separate with commas.")] = None,
    lease: Annotated[str | None, typer.Option(help="How long it may live.")] = None,
    cap: Annotated[str | None, typer.Option(help="Hard cap of the lease.")] = None,
    idle: Annotated[str | None, typer.Option(help="Idle limit, or off.")] = None,
    max_cost: Annotated[float | None, typer.Option(help="Dollars that the lease may cost.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Check all that can be checked before money is spent; with NAME what that session serves.

    Exit code 3 when a session would be refused, 6 when a served endpoint fails a check.
    """
    console = Console(as_json)
    options: config.Options = {
        "model": model,
        "plan": plan,
        "region": region,
        "lease": lease,
        "cap": cap,
        "idle": idle,
        "max_cost": max_cost,
    }
    if name and any(value is not None for value in (*options.values(), variant, tensor_parallel)):
        raise Failure(
            "usage",
            "Options of a new session say nothing of one that is served.",
            remedy=f"Either: linode-coder validate {name}, or leave the name out.",
            field="session",
            value=name,
        )
    if name:
        findings = what_is_served(name, context)
    else:
        findings = before_spending({**options, "context": context}, variant, tensor_parallel)
    failure = unhealthy(findings, name) if name else refusal(findings)
    if as_json:
        checks = [finding.as_dict() for finding in findings]
        document = {"command": "validate", "session": name, "severity": worst(findings), "findings": checks}
        console.result({**document, "error": failure.as_dict() if failure else None})
        if failure:
            raise typer.Exit(failure.exit_code)
        return
    show(console, findings)
    if failure:
        raise failure
