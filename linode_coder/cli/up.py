"""linode-coder up: create a session, finish an interrupted one, verify a running one."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.duration import format_duration
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.this_user import this_user
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.hub import hub_lookup
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.hub_token import hub_token
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.measured_fits import record
from ansible_collections.linode_coder.gpu.plugins.module_utils.model.traces import NO_TRACES
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.quote import find_session, make_quote
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.waiting import DEFAULT_WAIT, wait_s
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer.wanted import Wanted, as_list
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.name import validate_session_name
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.ssh_access import parse_ssh_from
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import MARKER

from ..api import LinodeReader
from ..local import budget, history, wake
from ..local.lock import session_lock
from ..local.unrecorded import recorded
from ..local.warm import all_warm
from ..playbook.phases import title
from ..playbook.variables import Adjust, Up
from ..settings.config import BY_KEY, WrongValue, has_token, load, only, public_keys
from ..terminal.console import Console, money
from ..terminal.phase_lines import about, took
from ..terminal.question import confirm
from ..terminal.signals import Terminated
from ..terminal.when import when
from ..watchdog import watchers
from . import estimate
from . import warm_text as warm

app = typer.Typer(add_completion=False, rich_markup_mode=None)


def describe_engine(engine: dict[str, Any]) -> list[str]:
    """What would serve, and what takes the memory of each GPU."""
    lines = [f"model    {engine['variant']} ({engine['name']}, {engine['precision']})"]
    fit = engine["fit"]
    if fit:
        context = fit["context"] or fit["max_context"]
        room = f"context {context} tokens" if context else "context unknown until it runs"
        speed = f", about {fit['decode_tps']:.0f} tokens/s for one user" if fit["decode_tps"] else ""
        source = "as measured before" if fit["measured"] else "estimates"
        lines.append(f"fit      {room}{speed} ({source})")
        weights = "unknown" if fit["weights_gib"] is None else f"{fit['weights_gib']:.1f}"
        left = "unknown" if fit["kv_gib"] is None else f"{fit['kv_gib']:.1f}"
        lines.append(
            f"memory   per GPU {fit['usable_gib']:.1f} GiB usable = weights {weights} + engine {fit['overhead_gib']:.1f} "
            f"+ KV cache {left} ({fit['kv_dtype']}), tensor parallel {fit['tensor_parallel']}"
        )
    return lines + [f"note     {note}" for note in engine["notes"]]


def describe_aliases(quote: dict[str, Any]) -> list[str]:
    """By which further names clients may ask, where that was said."""
    aliases = quote["aliases"]
    if aliases is None:
        return []
    names = ", ".join(aliases) or "none"
    return [f"aliases  {names}" + ("; when they change, the engine starts anew" if quote["existing"] else "")]


def describe_traces(quote: dict[str, Any]) -> list[str]:
    """Where a trace of each request goes, where that was said."""
    if quote["traces"] is None:
        return []
    where = f"sent to {quote['traces']}" if quote["traces"] else "none"
    return [f"traces   {where}" + ("; when that changes, the engine starts anew" if quote["existing"] else "")]


def _otherwise(offers: list[dict[str, Any]]) -> str:
    """Where else it may be when the first place has no capacity."""
    first, *rest = offers
    named = [row["region"] if row["plan"] == first["plan"] else f"{row['plan']} in {row['region']}" for row in rest[:2]]
    named += [f"{len(rest) - 2} more places" if len(rest) > 3 else "1 more place"] if len(rest) > 2 else []
    return f"; if that has no capacity: {', '.join(named)}" if named else ""


def describe(quote: dict[str, Any]) -> list[str]:
    """What would be created and what it costs."""
    offers = quote["offers"]
    first = offers[0]
    left = quote["lease_end_epoch"] - int(time.time())
    idle = f"{quote['idle_minutes']} min" if quote["idle_minutes"] is not None else "off"
    card = f" ({first['gpus']} x {first['gpu']})" if first["gpu"] else ""
    return [
        f"session  {quote['session']}",
        *describe_engine(quote["engine"]),
        *describe_aliases(quote),
        *describe_traces(quote),
        *(f"place    {name} is {', '.join(found)}" for name, found in quote["places"].items()),
        *(f"left out {row['plan']}: {row['why']}" for row in quote["left_out"]),
        f"plan     {first['plan']}{card} in {first['region']}{_otherwise(offers)}",
        f"price    {money(quote['hourly'])} per started hour, at most {money(quote['cost_to_lease_end'])} to the end of the "
        f"lease in {format_duration(left + 30)}",
        f"idle     {idle}; hard cap {when(quote['hard_cap'])}, worst case {money(quote['cost_to_cap'])}",
        *warm.describe(quote["warm"]),
        *budget.describe(quote["budget"]),
        f"watcher  {watchers.describe(watchers.last_pass(), int(time.time()), quote['hourly'])}",
    ]


def describe_access(ssh_from: list[str]) -> str:
    """From where SSH is let in, for people."""
    if ssh_from == ["here"]:
        return "only from this machine's public address; open to all until the VM has seen it once"
    return "from anywhere, to those who have a key" if ssh_from == ["anywhere"] else f"from {', '.join(ssh_from)} only"


def describe_changes(quote: dict[str, Any]) -> list[str]:
    """What the options change of a session that exists."""
    lines = (
        [*describe_aliases(quote), *describe_traces(quote), *warm.describe(quote["warm"])] if quote["existing"] else []
    )
    if "until" in quote["changes"]:
        lines.append(
            f"lease    ends {when(quote['lease_end'])} instead, {money(quote['cost_to_lease_end'])} in all to its end"
        )
        lines += budget.describe(quote["budget"])
    if "idle" in quote["changes"]:
        lines.append(f"idle     {quote['changes']['idle']} from now on")
    return lines + [f"kept     {sentence}" for sentence in quote["kept"]]


def describe_before(attempts: list[dict[str, Any]]) -> list[str]:
    """Which places refused runs of this `up` that came to no end."""
    now = time.time()
    return [f"tried    {took(now - row['at'])} ago: {history.describe_attempt(row)}" for row in attempts]


def describe_timeline(timeline: dict[str, Any] | None, expected: dict[str, Any] | None) -> list[str]:
    """How long it took beside what was expected, and what had to be waited for."""
    if not timeline:
        return []
    beside = f", about {about(expected['seconds'])} expected" if expected else ""
    seconds = {row["name"]: row["seconds"] for row in timeline["phases"]}
    path = " > ".join(f"{title(name)} {took(seconds[name])}" for name in timeline["critical_path"])
    return [f"took      {took(timeline['seconds'])}{beside}; the longest way was {path}"]


def report(
    console: Console,
    view: dict[str, Any],
    data: dict[str, Any],
    port: int,
    changed: int,
    expected: dict[str, Any] | None = None,
    before: list[dict[str, Any]] | None = None,
) -> None:
    """``expected`` is the estimate that was shown, ``before`` what earlier runs tried in vain."""
    name = view["name"]
    endpoint = f"http://127.0.0.1:{port}/v1"
    now, watcher = int(time.time()), watchers.last_pass()
    watched_by = watchers.describe(watcher, now, view["hourly"])
    console.event(
        "result",
        command="up",
        watched_by=watched_by,
        session=view,
        changed=changed,
        attempts=data.get("attempts") or [],
        attempts_before=before or [],
        estimate=expected,
        endpoint=endpoint,
        api_key_file=data.get("api_key_file"),
        max_model_len=data.get("max_model_len"),
        measured=data.get("measured") or {},
        changed_flags=data.get("changed_flags") or {},
        timeline=data.get("timeline"),
        warm=data.get("warm"),
        webui_port=data.get("webui_port"),
    )
    for attempt in [*(before or []), *(data.get("attempts") or [])]:
        if attempt["outcome"] != "created":
            console.text(f"tried     {attempt['plan']} in {attempt['region']}: {attempt['outcome']}")
    if not changed:
        console.text(f"Nothing to change: session {name} is up (changed=0).")
    console.text(f"session   {name} on {view['plan']} in {view['region']}")
    for line in [*describe_timeline(data.get("timeline"), expected), *warm.describe_started(data.get("warm"))]:
        console.text(line)
    console.text(f"endpoint  {endpoint}")
    console.text(f"API key   in {data.get('api_key_file')}")
    console.text(f"model     {view['model']}, context {data.get('max_model_len')} tokens")
    flags = ", ".join(f"{flag} {json.dumps(value)}" for flag, value in (data.get("changed_flags") or {}).items())
    if flags:
        console.text(f"flags     not as asked for, changed by healing or by hand: {flags}")
    room = (data.get("measured") or {}).get("kv_cache_tokens")
    if room:
        console.text(f"KV cache  {room} tokens for all requests together, by the engine's own measure")
    console.text(
        f"billing   {money(view['hourly'])}/h, paid until {when(view['paid_until'])}, lease ends {when(view['lease_end'])}"
    )
    if not watchers.watching(watcher, now):
        console.text(f"watcher   {watched_by}")
    console.text(f'use it    eval "$(linode-coder use {name})"')
    # The key stays out of the arguments of curl, which every user of the machine can read.
    console.text('          curl -H @<(echo "Authorization: Bearer $OPENAI_API_KEY") $OPENAI_BASE_URL/models')
    web = data.get("webui_port")
    if web:
        console.text(f"web UI    linode-coder ssh {name} --forward {web}, then http://127.0.0.1:{web}")
    console.text(f"end it    linode-coder down {name}")


@app.command()
def up(
    context_of: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the session, or of a group.")],
    model: Annotated[
        str | None, typer.Option(help="Model of `linode-coder models`, or organisation/name (default: the plan's).")
    ] = None,
    variant: Annotated[str | None, typer.Option(help="Variant of the model, by repository or precision.")] = None,
    context: Annotated[str | None, typer.Option(help="Tokens that have to fit, e.g. 64K (default: what fits).")] = None,
    tensor_parallel: Annotated[int | None, typer.Option(help="GPUs to spread over (default: all that can).")] = None,
    alias: Annotated[
        list[str] | None,
        typer.Option(
            help="Name by which clients may ask for the model too; repeat or separate with commas; off for none."
        ),
    ] = None,
    traces: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Collector for a trace of each request, e.g. grpc://otel.example.com:4317; or off."
        ),
    ] = None,
    plan: Annotated[list[str] | None, typer.Option(help="Plan to try; repeat or separate with commas.")] = None,
    region: Annotated[list[str] | None, typer.Option(help="Region to try; repeat or separate with commas.")] = None,
    lease: Annotated[str | None, typer.Option(help="How long it may live, e.g. 4h (default 8h).")] = None,
    cap: Annotated[str | None, typer.Option(help="Hard cap that no extension moves (default 24h).")] = None,
    idle: Annotated[str | None, typer.Option(help="Idle limit, or off (default 45m).")] = None,
    max_cost: Annotated[float | None, typer.Option(help="Refuse if the lease could cost more dollars.")] = None,
    authorized_key: Annotated[
        list[str] | None,
        typer.Option(help="File with a public key that may log in to the new VM too; may be repeated."),
    ] = None,
    ssh_from: Annotated[
        list[str] | None,
        typer.Option(
            metavar="here|anywhere|CIDR",
            help="Who may reach SSH (default here: your machines' public addresses).",
        ),
    ] = None,
    dead_man: Annotated[
        bool | None,
        typer.Option(
            "--dead-man/--no-dead-man",
            help="A timer on the VM that deletes it after its lease. It puts a token on the VM: `linode-coder explain watchdog`.",
        ),
    ] = None,
    webui: Annotated[
        bool | None,
        typer.Option(
            "--webui/--no-webui",
            help="Open WebUI beside the engine, on the VM's loopback (default: as it is; none on a new VM).",
        ),
    ] = None,
    keep_warm: Annotated[
        bool | None,
        typer.Option(
            "--keep-warm/--no-keep-warm",
            help="Keep weights, images and compiled kernels on a volume for later sessions; it bills until `warm drop`.",
        ),
    ] = None,
    wait: Annotated[
        bool,
        typer.Option("--wait-for-capacity", help="Keep trying when no place has capacity, within the price shown."),
    ] = False,
    wait_for: Annotated[
        str | None, typer.Option("--for", help="How long to keep trying, up to 7 days (default 2h).")
    ] = None,
    replicas: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="A group of N sessions instead, NAME-1 to NAME-N, for one endpoint: `use NAME`."
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(metavar="GROUP", help="The group of the session, which is called GROUP-1, GROUP-2 and so on."),
    ] = None,
    converge: Annotated[bool, typer.Option("--converge", help="Run the playbook even if all looks unchanged.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show plan and price, create nothing; needs no token.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines of events.")] = False,
) -> None:
    """Create a session, or finish and verify one; or all sessions of a group."""
    console = Console(as_json)
    validate_session_name(name)
    if replicas is not None and group is not None:
        raise Failure(
            "usage",
            "replicas: a session of a group has none itself.",
            remedy="Leave --group out, and name the group: linode-coder up GROUP --replicas N",
            field="replicas",
            value=replicas,
        )
    waiting = _waiting(wait, wait_for)
    # What only shows needs no account: plans, prices and regions are everybody's.
    anonymous = dry_run and not has_token()
    reader = LinodeReader(public=anonymous)
    if dead_man:
        _take_dead_man_token()
    instances = [] if anonymous else reader.list("linode/instances", {"tags": MARKER})
    now = int(time.time())
    # The configuration is about new sessions: what one that exists is told to become has to be said.
    existing_view = None if replicas is not None else find_session(instances, name, now)
    if existing_view and authorized_key:
        raise Failure(
            "usage",
            f"authorized-key: the VM of session {name!r} exists, and `up` changes none of its keys.",
            remedy=f"Add it to the VM: linode-coder keys add FILE {name}",
            field="authorized_key",
            value=authorized_key[0],
        )
    keys = () if existing_view else _authorized_keys(authorized_key)
    let_in = parse_ssh_from(",".join(ssh_from).split(",")) if ssh_from else None
    if let_in is None and not existing_view:
        let_in = load().ssh_from.split(",")
    # Of the account, so also for a session that exists.
    limit = budget.this_month()
    wanted = Wanted(
        model=model,
        variant=variant,
        context=context,
        tensor_parallel=tensor_parallel,
        aliases=tuple(as_list(",".join(alias or ()))),
        traces=traces,
        plans=tuple(as_list(",".join(plan or ()))),
        regions=tuple(as_list(",".join(region or ()))),
        lease=lease,
        cap=cap,
        idle=idle,
        max_cost=max_cost,
        group=group,
        budget=None if anonymous else limit.dollars,
        records=limit.records,
        keep_warm=bool(keep_warm),
    )
    if not existing_view:
        wanted = _configured(wanted, keep_warm)
    owner = this_user()
    if replicas is not None:
        from .up_group import Group, bring_up, given_options

        all_of_them = Group(name, replicas, wanted, owner, *given_options(context_of))
        bring_up(console, all_of_them, describe, instances, yes=yes, dry_run=dry_run, public=anonymous)
        return
    quote = make_quote(
        reader,
        name,
        wanted,
        now=now,
        owner=owner,
        instances=instances,
        lookup=hub_lookup,
        has_hub_token=hub_token() is not None,
        volumes=[] if anonymous else None,
    )
    expected = None if quote["existing"] else estimate.expected(quote)
    before = history.refused_before(name)
    console.event("plan", quote=quote, estimate=expected, attempts_before=before)
    if not quote["existing"]:
        for line in describe(quote):
            console.text(line)
    for line in [*(estimate.describe_expected(expected) if expected else []), *describe_before(before)]:
        console.text(line)
    if let_in:
        console.text(f"SSH      {describe_access(let_in)}")
    if dead_man:
        console.text(
            "dead man a timer on the VM deletes it half an hour after its lease; root on the VM can read its token"
        )
    for line in describe_changes(quote):
        console.text(line)
    if waiting and not quote["existing"]:
        console.text(f"waits    up to {waiting} for capacity; the lease begins with the VM")
    if anonymous:
        console.text("token    none, so what the account has, may and has spent is not known; the prices are public")
    if dry_run:
        if quote["existing"]:
            console.text(f"Session {name} exists; `up` would verify it.")
        console.event("result", command="up", dry_run=True, changed=0)
        return
    if not quote["existing"] and not yes:
        confirm(f"Create it for {money(quote['hourly'])} per hour?", f"linode-coder up {name}")
    typed = {
        **{"model": model, "variant": variant, "context": context, "tensor_parallel": tensor_parallel, "alias": alias},
        **{"plan": plan, "region": region, "lease": lease, "cap": cap, "idle": idle, "max_cost": max_cost},
        **{"authorized_key": [_wherever(key) for key in authorized_key or ()], "ssh_from": ssh_from},
        **{"dead_man": dead_man, "webui": webui, "keep_warm": keep_warm, "traces": traces, "group": group},
    }
    with session_lock(name):
        existing = quote["existing"]
        engine_asked = context is not None or tensor_parallel is not None or quote["aliases"] is not None
        engine_asked = engine_asked or quote["traces"] is not None
        same = None
        makes_volume = bool(quote["warm"] and quote["warm"]["new"])
        if existing and not converge and dead_man is None and webui is None and not makes_volume:
            from ..endpoint.up_to_date import unchanged

            console.step("Check that all is as the last up left it")
            same = unchanged(existing, reader)
            if same:
                console.step_done()
            else:
                console.step_skipped()
        if same and not engine_asked:
            if not quote["changes"] and not ssh_from:
                wake.came_up(existing, typed, made=False)
                report(console, existing, same[0], same[1], 0)
                return
            adjusted = Adjust(
                session=name,
                owner=owner,
                lease=wanted.lease,
                cap=wanted.cap,
                idle=wanted.idle,
                max_cost=wanted.max_cost,
                budget=wanted.budget,
                budget_records=wanted.records,
                ssh_from=let_in,
            )
            _run(console, adjusted, typed, known=same[0])
            return
        variables = Up(
            session=name,
            owner=owner,
            model=wanted.model,
            variant=wanted.variant,
            context=wanted.context,
            tensor_parallel=wanted.tensor_parallel,
            alias=wanted.aliases or None,
            traces=wanted.traces,
            plan=wanted.plans or None,
            region=wanted.regions or None,
            near=wanted.near,
            group=group,
            lease=wanted.lease,
            cap=wanted.cap,
            idle=wanted.idle,
            max_cost=wanted.max_cost,
            budget=wanted.budget,
            budget_records=wanted.records,
            authorized_keys=keys or None,
            ssh_from=let_in,
            dead_man=dead_man,
            webui=webui,
            # All but the engine was just seen to be as it should; who lets other addresses in is told by another way.
            engine_only=True if same and not ssh_from else None,
            wait_for_capacity=waiting,
            keep_warm=True if wanted.keep_warm else None,
        )
        _run(console, variables, typed, expected=expected, before=before)


def _wherever(key: str) -> str:
    """A public key as it is, the file of one by a name that holds in every directory."""
    return key if " " in key else str(Path(key).expanduser().absolute())


def _waiting(wait: bool, wait_for: str | None) -> str | None:
    """How long to keep trying; None for not at all. Failure(usage) for a time that is none, or that nothing waits for."""
    if wait_for is not None and not wait:
        raise Failure(
            "usage",
            "for: nothing is waited for.",
            remedy="Add --wait-for-capacity, or leave --for out.",
            field="for",
            value=wait_for,
        )
    if not wait:
        return None
    waiting = wait_for or DEFAULT_WAIT
    wait_s(waiting)
    return waiting


def _take_dead_man_token() -> None:
    """Into the environment, where the playbook reads it. Failure(config) when it is missing or can do too much."""
    token = only("dead_man_token").dead_man_token
    if not token or token == os.environ.get("LINODE_TOKEN"):
        raise Failure(
            "config",
            "dead-man: the timer needs a token of its own, and "
            + ("this is the one that you work with." if token else "dead_man_token is not set."),
            remedy="Make one with the scope linodes:read_write and no other, best in an account that has nothing else, and export "
            "LINODE_CODER_DEAD_MAN_TOKEN.",
            field="dead_man_token",
        )
    os.environ[BY_KEY["dead_man_token"].env] = token


def _authorized_keys(files: list[str] | None) -> tuple[str, ...]:
    """Keys beside this machine's own: of the option, else of the configuration."""
    if not files:
        return load().authorized_keys
    try:
        return public_keys(files)
    except WrongValue as wrong:
        raise Failure(
            "usage",
            f"authorized-key: not {wrong}.",
            remedy="Name a file such as ~/.ssh/id_ed25519.pub.",
            field="authorized_key",
            value=files[0],
        ) from wrong


def _configured(wanted: Wanted, keep_warm: bool | None) -> Wanted:
    """With what the configuration says where there is no option."""
    config = load(
        model=wanted.model,
        plan=list(wanted.plans),
        region=list(wanted.regions),
        context=None if wanted.context is None else str(wanted.context),
        lease=wanted.lease,
        cap=wanted.cap,
        idle=wanted.idle,
        max_cost=wanted.max_cost,
        alias=list(wanted.aliases),
        keep_warm=keep_warm,
        # That none are wanted is no address.
        traces=None if wanted.traces == NO_TRACES else wanted.traces,
    )
    return replace(
        wanted,
        # A variant that was named names its model as well.
        model=config.model if wanted.variant is None else wanted.model,
        context=config.context,
        aliases=config.alias,
        traces=wanted.traces or config.traces,
        plans=config.plan,
        regions=config.region,
        near=config.near,
        lease=config.lease,
        cap=config.cap,
        idle=config.idle,
        max_cost=config.max_cost,
        keep_warm=bool(config.keep_warm),
    )


def _run(
    console: Console,
    variables: Adjust,
    typed: dict[str, Any],
    expected: dict[str, Any] | None = None,
    before: list[dict[str, Any]] | None = None,
    known: dict[str, Any] | None = None,
) -> None:
    """``typed`` are the options by their names, ``known`` is what a playbook that leaves the VM alone does not report."""
    from ..endpoint.tunnel import open_tunnel
    from ..endpoint.up_to_date import remember
    from ..playbook.runner import run_playbook

    name, started = variables.session, time.time()
    try:
        outcome = run_playbook(variables, console, expected["seconds"] if expected else None)
        outcome.data = {**(known or {}), **outcome.data}
        view = outcome.data["session"]
        history.saw([view], outcome.data.get("account"))
        console.step("Open the tunnel")
        port = open_tunnel(view)
        console.step_done()
        with recorded():
            remember(view, LinodeReader(), outcome.data)
            wake.came_up(view, typed, made=bool(outcome.data.get("created")))
            record(outcome.data.get("engine") or {}, outcome.data.get("measured") or {})
    except Failure as failure:
        history.ran(name, "up", started, failure.exit_code, None, failure.message)
        if not failure.billing:
            failure.billing = _still_billing(name)
        raise
    except (KeyboardInterrupt, Terminated):
        history.ran(name, "up", started, 130, None, "interrupted")
        for line in _still_billing(name):
            console.note(f"Still billing: {line}")
        console.note(f"Go on: linode-coder up {name}. End it: linode-coder down {name}.")
        raise
    history.ran(name, "up", started, 0, bool(outcome.changed), None)
    estimate.remember(view, outcome.data.get("timeline"), bool(outcome.data.get("created")))
    report(console, view, outcome.data, port, outcome.changed, expected, before)


def _still_billing(name: str) -> tuple[str, ...]:
    """What exists of the session now, as far as the API can say."""
    from ..local.sessions import all_sessions

    try:
        reader = LinodeReader()
        views = [view for view in all_sessions(reader) if view["name"] == name]
        kept = [row for row in all_warm(reader) or [] if row["linode_id"] in {view["linode_id"] for view in views}]
    except Failure as failure:
        return (f"unknown, since the API does not answer ({failure.message}) See: linode-coder list",)
    lines = [
        f"{view['label']} ({view['linode_id']}) at {money(view['hourly'])}/h; end it: linode-coder down {name}"
        for view in views
    ]
    return (*lines, *(warm.stays(volume) for volume in kept))
