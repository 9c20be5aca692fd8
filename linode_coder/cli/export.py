"""linode-coder export: what a session serves, as files for a cluster. Never starts Ansible."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import api_key_path
from ansible_collections.linode_coder.gpu.plugins.module_utils.linode.gpu_plans import Plan, hourly_price, plan_of
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.engine_flags import MIN_DRIVER
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.hub import hub_lookup
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.hub_token import hub_token
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.quote import make_quote
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.wanted import Wanted, as_list
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.name import validate_session_name

from ..api import LinodeReader
from ..export import files, lke_cluster, lke_price, readme
from ..export.served import Served, as_it_runs, as_up_starts
from ..export.stack_values import CHART, CHART_VERSION, StackValues, stack_values
from ..settings.config import has_token, load
from ..terminal.console import Console, money
from ..terminal.question import confirm
from .reach import running_session

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, help="Write what a session serves as files for a Kubernetes cluster."
)
# Of the cluster and the directory, where no session gives them one.
_NAME = "vllm"


@app.callback()
def export() -> None:
    """Write what a session serves as files for a Kubernetes cluster."""


@dataclass(frozen=True)
class _Chosen:
    """What is served where; ``node`` is dollars per hour."""

    name: str
    served: Served
    plan: Plan
    region: str
    node: float
    key_file: Path | None


@app.command()
def lke(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Session whose engine is exported (default: what `up` would start)."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model, as `up` takes it.")] = None,
    variant: Annotated[str | None, typer.Option(help="Variant of the model, by repository or precision.")] = None,
    context: Annotated[str | None, typer.Option(help="Tokens that have to fit, e.g. 64K.")] = None,
    plan: Annotated[list[str] | None, typer.Option(help="Plan of the nodes; the first that is offered counts.")] = None,
    region: Annotated[list[str] | None, typer.Option(help="Region; the first that is offered counts.")] = None,
    replicas: Annotated[int, typer.Option(help="Engines, each on a node of its own.")] = 1,
    kubernetes: Annotated[str | None, typer.Option(help="Version of Kubernetes (default: the newest).")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Where to write them. [default: lke-NAME]")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write over files that say something else.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Write Helm values for vLLM's production stack, the LKE cluster for them, and the steps. Creates and changes nothing."""
    console = Console(as_json)
    lke_cluster.check_replicas(replicas)
    options = {"model": model, "variant": variant, "context": context, "plan": plan, "region": region}
    given = [option for option, value in options.items() if value]
    if name is not None and given:
        raise Failure(
            "usage",
            f"--{given[0]} says nothing of session {name!r}, whose own is exported.",
            remedy=f"Either: linode-coder export lke {name}, or leave the name out.",
            field=given[0],
            value=name,
        )
    # Plans and prices are everybody's.
    reader = LinodeReader(public=name is None and not has_token())
    wanted = Wanted(
        model=model,
        variant=variant,
        context=context,
        plans=tuple(as_list(",".join(plan or ()))),
        regions=tuple(as_list(",".join(region or ()))),
    )
    chosen = _running(reader, name) if name is not None else _as_up(reader, wanted)
    version = lke_cluster.kubernetes_version(reader, kubernetes)
    prices = lke_price.read_prices(reader, chosen.region, chosen.node)
    values = stack_values(chosen.served, chosen.plan, replicas)
    body = lke_cluster.cluster_body(chosen.name, chosen.region, chosen.plan.id, replicas, version)
    hourly = lke_price.cluster_hourly(replicas, prices.node, prices.control_plane or 0.0)
    about = readme.Export(
        name=chosen.name,
        model=chosen.served.model,
        plan=chosen.plan.id,
        region=chosen.region,
        replicas=replicas,
        price=f"{money(hourly)} an hour, {money(hourly * lke_price.DAY_H)} a day",
        gated=bool(chosen.served.gated),
        min_driver=MIN_DRIVER,
        api_url=reader.url,
        key_file=chosen.key_file,
        left_out=values.left_out,
    )
    texts = {
        readme.VALUES: files.as_yaml(values.values, [f"Values for {CHART} {CHART_VERSION}: see {readme.README}."]),
        readme.CLUSTER: files.as_json(body),
        readme.README: readme.readme(about),
    }
    directory = (output or Path(f"lke-{chosen.name}")).absolute()
    differing = files.differing(directory, texts)
    if differing and not yes:
        names = ", ".join(path.name for path in differing)
        confirm(f"Write over {names} in {directory}?", "linode-coder export lke" + (f" {name}" if name else ""))
    wrote = files.write(directory, texts)
    if as_json:
        console.result(
            {
                "command": "export lke",
                "session": name,
                "directory": str(directory),
                "files": list(texts),
                "changed": bool(wrote),
                "model": chosen.served.model,
                "plan": chosen.plan.id,
                "region": chosen.region,
                "replicas": replicas,
                "price": _price(prices, replicas, hourly),
                "chart": {"name": CHART, "version": CHART_VERSION},
                "values": values.values,
                "cluster": body,
                "left_out": list(values.left_out),
                "unverified": list(readme.UNVERIFIED),
            }
        )
        return
    _show(console, chosen, prices, replicas, hourly, values, directory, texts, version)


def _price(prices: lke_price.Prices, replicas: int, hourly: float) -> dict[str, Any]:
    """Dollars per hour; None for what the API does not name."""
    return {
        "hourly": hourly,
        "node_hourly": prices.node,
        "nodes": replicas,
        "control_plane_hourly": prices.control_plane,
        "high_availability_hourly": prices.high_availability,
        "node_balancer_hourly": prices.node_balancer,
    }


def _exact(dollars: float | None) -> str:
    """Parts of an hour's price are below a cent."""
    return "not known" if dollars is None else f"${dollars:.4f}".rstrip("0").ljust(5, "0") + "/h"


def _show(
    console: Console,
    chosen: _Chosen,
    prices: lke_price.Prices,
    replicas: int,
    hourly: float,
    values: StackValues,
    directory: Path,
    texts: dict[str, str],
    version: str,
) -> None:
    console.text(f"model    {chosen.served.model}")
    console.text(f"cluster  {chosen.name}: {replicas} x {chosen.plan.id} in {chosen.region}, Kubernetes {version}")
    console.text(
        f"price    nodes {replicas} x {_exact(prices.node)}, control plane {_exact(prices.control_plane)}: {money(hourly)} an "
        f"hour, {money(hourly * lke_price.DAY_H)} a day, whether anybody asks it or not"
    )
    console.text(
        f"or more  high availability {_exact(prices.high_availability)}, a NodeBalancer {_exact(prices.node_balancer)}, volumes"
    )
    beside = prices.control_plane or 0.0
    sessions = (2 * replicas, 4 * replicas)
    people = [(count, lke_price.break_even_h(count, replicas, prices.node, beside)) for count in sessions]
    pays = [f"{count} sessions of {hours:.1f} paid hours a day each" for count, hours in people if hours]
    if pays:
        console.text(f"as much  as {' or '.join(pays)}; is it enough for them? linode-coder explain scale")
    for line in values.left_out:
        console.text(f"changed  {line}")
    console.text(f"unsure   nobody has tried this on LKE yet; {readme.README} says what is not verified")
    console.text(f"files    {', '.join(texts)} in {directory}")
    console.text(f"next     follow {directory / readme.README}; until then nothing exists and nothing bills")


def _node(reader: LinodeReader, plan_id: str, region: str) -> tuple[Plan, float]:
    """The plan and its price there. Failure for a plan or a region that LKE has not, or that has no price."""
    lke_cluster.check_plan(plan_id)
    place = next((row for row in reader.list("regions") if row["id"] == region), None)
    if place is None or not lke_cluster.has_clusters(place):
        raise Failure(
            "refused",
            f"Region {region!r} has no LKE.",
            remedy="Choose another one: linode-coder export lke --region REGION",
            field="region",
            value=region,
        )
    row = next((row for row in reader.list("linode/types") if row["id"] == plan_id), None)
    hourly = hourly_price(row, region) if row else None
    if row is None or hourly is None:
        raise Failure(
            "refused",
            f"The API names no price of {plan_id} in {region}.",
            remedy="See: linode-coder plans",
            field="plan",
        )
    return plan_of(row), hourly


def _running(reader: LinodeReader, name: str) -> _Chosen:
    """What the session's engine runs with, on its own plan in its own region."""
    from ..endpoint.engine_files import engine_in_effect

    validate_session_name(name)
    view = running_session(name)
    plan, hourly = _node(reader, view["plan"], view["region"])
    served = as_it_runs(engine_in_effect(view))
    key_file = api_key_path(name)
    return _Chosen(name, served, plan, view["region"], hourly, key_file if key_file.exists() else None)


def _as_up(reader: LinodeReader, wanted: Wanted) -> _Chosen:
    """What `up` would start with these options and the configuration, in the first place that LKE has."""
    config = load(
        model=wanted.model,
        plan=list(wanted.plans),
        region=list(wanted.regions),
        context=None if wanted.context is None else str(wanted.context),
    )
    for named in wanted.plans:
        lke_cluster.check_plan(named)
    wanted = Wanted(
        model=config.model if wanted.variant is None else wanted.model,
        variant=wanted.variant,
        context=config.context,
        aliases=config.alias,
        plans=config.plan,
        regions=config.region,
        near=config.near,
    )
    quote = make_quote(
        reader,
        _NAME,
        wanted,
        now=int(time.time()),
        instances=[],
        lookup=hub_lookup,
        has_hub_token=hub_token() is not None,
    )
    kubernetes = {row["id"] for row in reader.list("regions") if lke_cluster.has_clusters(row)}
    offers = quote["offers"]
    place = next((row for row in offers if lke_cluster.can_be_node(row["plan"]) and row["region"] in kubernetes), None)
    if place is None:
        tried = ", ".join(dict.fromkeys(f"{row['plan']} in {row['region']}" for row in offers[:3]))
        raise Failure(
            "refused",
            f"LKE has no nodes for this: {tried}.",
            remedy="Name a plan or a region that it has: --plan, --region",
            field="region",
        )
    plan, hourly = _node(reader, place["plan"], place["region"])
    return _Chosen(_NAME, as_up_starts(quote["engines"][place["plan"]]), plan, place["region"], hourly, None)
