"""linode-coder validate: everything that can be checked before money is spent, or what a session serves."""

from __future__ import annotations

import time
from typing import Annotated, Any

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
    wanted_from,
)

from ..api import LinodeReader
from ..local import history
from ..local.sessions import all_sessions, pick
from ..settings import config
from ..terminal.console import Console, table

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


def before_spending(given: dict[str, Any]) -> list[Finding]:
    """The configuration, and with it and the options all that the account can be asked."""
    reading = config.read({key: value for key, value in given.items() if key not in ("variant", "tensor_parallel")})
    findings = _configuration(reading)
    values = reading.values
    wanted = wanted_from(
        {
            **{key: values[key] for key in ("model", "context", "lease", "cap", "idle", "max_cost", "budget")},
            "budget_records": history.this_month() if values["budget"] else [],
            "model": values["model"] if given["variant"] is None else given["model"],
            "variant": given["variant"],
            "tensor_parallel": given["tensor_parallel"],
            "plans": list(values["plan"]),
            "regions": list(values["region"]),
        }
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
    from ..endpoint.tunnel import client

    view = pick(all_sessions(LinodeReader()), name)
    return check_endpoint(client(view), view["model"], parse_context(context))


def show(console: Console, findings: list[Finding]) -> None:
    for line in table([[finding.severity.upper(), finding.id, finding.summary] for finding in findings]):
        console.text(line)
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
    given = {
        "model": model,
        "variant": variant,
        "tensor_parallel": tensor_parallel,
        "plan": ",".join(plan or []) or None,
        "region": ",".join(region or []) or None,
        "lease": lease,
        "cap": cap,
        "idle": idle,
        "max_cost": max_cost,
    }
    if name and any(value is not None for value in given.values()):
        raise Failure(
            "usage",
            "Options of a new session say nothing of one that is served.",
            remedy=f"Either: linode-coder validate {name}, or leave the name out.",
            field="session",
            value=name,
        )
    findings = what_is_served(name, context) if name else before_spending({**given, "context": context})
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
